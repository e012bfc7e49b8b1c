"""One camera feeds many streams, comes back whenever it can, and hangs nobody when its driver does."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from overshootd.backoff import Backoff
from overshootd.capture.feed import WEDGED_LIMIT, CameraFeed, Limits
from overshootd.contracts import AccessUnit, CaptureFormat, CaptureNeed, Picture
from overshootd.errors import CameraEnded, CameraLost, Permanent
from tests.integration.feed_bench import (
    BOUND,
    ENCODED,
    HASTY,
    LARGE,
    RAW,
    SMALL,
    Journal,
    Script,
    ScriptedCamera,
    bench,
    unit,
    until,
)


async def test_a_camera_is_open_while_it_has_a_subscription() -> None:
    async with bench() as it:
        assert it.script.opened == 0
        subscription = await it.start()
        assert (it.script.opened, it.script.closed) == (1, 0)
        subscription.close()
        await until(lambda: it.script.closed == 1, "closed")
        await it.start()
        assert it.script.opened == 2
        assert it.states == ["opening", "live", "idle", "opening", "live"]


async def test_only_due_frames_become_pictures() -> None:
    async with bench() as it:
        subscription = await it.start()
        subscription.start(lambda captured_ns: captured_ns % 10 == 0, 64, 36)
        for number in range(1, 20):
            it.script.steps.put(number)
        assert (await it.give(subscription, 20)).captured_ns in (10, 20)
        await until(lambda: it.script.steps.empty() and len(it.script.made) == 2, "two pictures")
        assert it.script.made == [(10, 64, 36), (20, 64, 36)]


async def test_a_picture_is_made_once_for_each_size_however_many_streams_want_it() -> None:
    async with bench() as it:
        all_of_them = [await it.start(size=size) for size in [(64, 36), (64, 36), (32, 18)]]
        it.script.made.clear()
        pictures = [await it.give(all_of_them[0], 7), *[await one.next() for one in all_of_them[1:]]]
        assert it.script.made == [(7, 64, 36), (7, 32, 18)]
        assert [(picture.width, picture.height) for picture in pictures] == [(64, 36), (64, 36), (32, 18)]
        assert pictures[0] is pictures[1]


async def test_a_slow_stream_gets_the_latest_picture_and_holds_back_no_other() -> None:
    async with bench() as it:
        slow, quick = await it.start(), await it.start()
        for number in range(1, 6):
            assert (await it.give(quick, number)).captured_ns == number
        assert (await slow.next()).captured_ns == 5


async def test_a_new_start_gives_nothing_of_the_old() -> None:
    async with bench() as it:
        subscription = await it.start()
        it.script.steps.put(1)
        await until(lambda: (1, 64, 36) in it.script.made, "the picture is made")
        subscription.start(lambda captured_ns: True, 32, 18)
        picture = await it.give(subscription, 2)
        assert (picture.width, picture.captured_ns) == (32, 2)


async def test_a_lost_camera_is_told_and_opened_again_until_it_is_back() -> None:
    async with bench() as it:
        subscription = await it.start()
        it.script.refuse = CameraLost("unplugged")
        it.script.steps.put(CameraLost("read failed"))
        for _ in range(2):
            with pytest.raises(CameraLost, match=r"read failed|unplugged"):
                await subscription.next()
        await until(lambda: it.script.opened > 5, "retries")
        assert it.states == ["opening", "live", "lost"], "retries are no change"
        it.script.refuse = None
        it.script.steps.put(1)
        async with asyncio.timeout(BOUND):
            assert await subscription.ready() == RAW
        assert (await it.give(subscription, 2)).captured_ns in (1, 2), "what was started stands through a loss"
        assert it.states == ["opening", "live", "lost", "live"]
        assert it.script.closed == it.script.opened - 1, "whatever was opened is closed, failed or not"


async def test_ready_waits_for_a_camera_that_is_not_there_yet() -> None:
    async with bench(Script(refuse=CameraLost("not plugged in"))) as it:
        waiting = asyncio.create_task(it.feed.subscribe(SMALL).ready())
        await until(lambda: it.script.opened > 3, "retries")
        assert not waiting.done()
        it.script.refuse = None
        it.script.steps.put(0)
        async with asyncio.timeout(BOUND):
            assert await waiting == RAW


async def test_what_was_not_taken_before_a_loss_is_not_given_after_it() -> None:
    async with bench() as it:
        subscription = await it.start()
        subscription.start(lambda captured_ns: captured_ns != 2, 64, 36)
        it.script.steps.put(1)
        it.script.steps.put(CameraLost("unplugged"))
        await until(lambda: "lost" in it.states, "lost")
        it.script.steps.put(2)
        async with asyncio.timeout(BOUND):
            await subscription.ready()
        assert (await it.give(subscription, 3)).captured_ns == 3


async def test_an_end_is_final_and_comes_after_the_last_picture() -> None:
    async with bench() as it:
        subscription = await it.start()
        it.script.steps.put(1)
        it.script.steps.put(CameraEnded("played to its end"))
        async with asyncio.timeout(BOUND):
            await it.running
        assert (await subscription.next()).captured_ns == 1
        late = it.feed.subscribe(SMALL)
        for ended in (subscription.next(), subscription.ready(), late.ready(), late.next()):
            with pytest.raises(CameraEnded, match="played"):
                await ended
        assert (it.script.opened, it.script.closed, it.states[-1]) == (1, 1, "ended")


async def test_a_camera_that_cannot_work_fails_for_good() -> None:
    async with bench(Script(refuse=Permanent("no such format"))) as it:
        with pytest.raises(Permanent, match="no such format"):
            await it.feed.subscribe(SMALL).ready()
        async with asyncio.timeout(BOUND):
            await it.running
        assert (it.script.opened, it.states) == (1, ["opening", "failed"])


async def test_a_camera_that_has_worked_never_fails_for_good() -> None:
    async with bench() as it:
        subscription = await it.start()
        it.script.refuse = Permanent("no such file")
        it.script.steps.put(CameraLost("gone"))
        await until(lambda: it.script.opened > 4, "retries")
        it.script.refuse = None
        it.script.steps.put(1)
        async with asyncio.timeout(BOUND):
            await subscription.ready()


async def test_silence_is_a_lost_camera() -> None:
    async with bench(limits=HASTY) as it:
        subscription = await it.start()
        with pytest.raises(CameraLost, match=r"gave no frame for 0\.3 s"):
            async with asyncio.timeout(BOUND):
                await subscription.next()


async def test_a_slow_camera_is_not_silent() -> None:
    async with bench(Script(format=CaptureFormat(0.1, 1280, 720)), HASTY) as it:
        subscription = await it.start()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3 * HASTY.silence):
                await subscription.next()
        assert it.states == ["opening", "live"]


@pytest.mark.parametrize("where", ["open", "read", "close"])
async def test_a_wedged_driver_is_left_behind_and_said(where: str) -> None:
    async with bench(Script(wedge=where), HASTY) as it:
        subscription = it.feed.subscribe(SMALL)
        await until(lambda: it.script.opened == 1, "the driver is called")
        if where == "close":
            subscription.close()
        await until(lambda: it.journal.errors, "the log says so")
        assert "does not return" in it.journal.errors[0]


@pytest.mark.parametrize("where", ["open", "read", "close"])
async def test_a_wedged_driver_does_not_hold_up_the_end(where: str) -> None:
    async with bench(Script(wedge=where), Limits(open=60, silence=60, close=0.2, read=0.02)) as it:
        it.feed.subscribe(SMALL)
        await until(lambda: it.script.opened == 1, "the driver is called")
        it.running.cancel()
        began = time.monotonic()
        await asyncio.wait([it.running], timeout=BOUND)
        assert it.running.cancelled()
        assert time.monotonic() - began < 5.0


async def test_wedged_drivers_do_not_pile_up() -> None:
    async with bench(Script(wedge="open"), Limits(open=0.02, silence=0.02, close=0.02, read=0.02)) as it:
        subscription = it.feed.subscribe(SMALL)
        await until(lambda: len(it.journal.errors) == WEDGED_LIMIT, "all are wedged")
        await asyncio.sleep(0.3)  # not for something to happen, but for it not to
        assert it.script.opened == WEDGED_LIMIT
        it.script.wedge = ""
        it.script.released.set()
        it.script.steps.put(0)
        async with asyncio.timeout(BOUND):
            await subscription.ready()


def test_a_driver_that_returns_after_the_loop_has_closed_disturbs_nobody() -> None:
    """A thread that dies of it would be said on stderr, and by pytest."""
    script = Script(wedge="read")

    async def abandon() -> None:
        feed = CameraFeed("yard", lambda: ScriptedCamera(script), on_state=lambda *_: None, log=Journal(), limits=HASTY)
        running = asyncio.create_task(feed.run())
        feed.subscribe(SMALL)
        await until(lambda: script.opened == 1, "opened")
        running.cancel()
        await asyncio.wait([running], timeout=BOUND)

    asyncio.run(abandon())
    thread = next(thread for thread in threading.enumerate() if thread.name == "camera yard")
    script.released.set()
    thread.join(BOUND)
    assert not thread.is_alive()
    assert script.closed == 1, "late, but closed"


async def test_a_higher_need_opens_the_camera_again_and_nobody_loses_it() -> None:
    async with bench(Script(format=CaptureFormat(5.0, 640, 360))) as it:
        first = await it.start(SMALL)
        waiting = asyncio.create_task(first.next())
        it.script.format = RAW
        second = it.feed.subscribe(LARGE)
        await until(lambda: it.script.opened == 2, "opened again")
        assert it.script.needs == [SMALL, LARGE]
        it.script.steps.put(1)
        async with asyncio.timeout(BOUND):
            assert await second.ready() == RAW
            assert (await waiting).captured_ns == 1, "only a pause"
        assert it.states == ["opening", "live", "opening", "live"]
        second.close()
        assert (await it.give(first, 2)).captured_ns == 2
        assert (it.script.opened, it.script.closed) == (2, 1), "a lower need opens nothing"


async def test_a_camera_that_gives_more_than_it_was_asked_for_is_not_opened_again() -> None:
    async with bench(Script(format=RAW)) as it:
        first = await it.start(SMALL)
        second = await it.start(LARGE)
        assert (await it.give(first, 1)).captured_ns == 1
        assert (await second.next()).captured_ns == 1
        assert it.script.needs == [SMALL]


async def test_access_units_of_two_openings_are_never_joined() -> None:
    async with bench(Script(format=CaptureFormat(5.0, 640, 360, encoded=True))) as it:
        subscription = await it.live(unit(0, keyframe=True))
        subscription.start_encoded()
        it.script.steps.put(unit(1, keyframe=True))
        await until(it.script.steps.empty, "read")
        it.script.format = ENCODED
        it.feed.subscribe(LARGE)
        await until(lambda: it.script.opened == 2, "opened again")
        for step in (unit(2), unit(3, keyframe=True), unit(4)):
            it.script.steps.put(step)
        async with asyncio.timeout(BOUND):
            assert [(await subscription.next()).captured_ns for _ in range(2)] == [3, 4]


async def test_a_need_is_the_most_that_any_stream_has() -> None:
    async with bench() as it:
        for need in (CaptureNeed(30.0, 320, 240), CaptureNeed(1.0, 1280, 480), CaptureNeed(1.0, 320, 720)):
            it.feed.subscribe(need)
        await until(lambda: it.script.opened, "opened")
        assert it.script.needs[-1] == CaptureNeed(30.0, 1280, 720)


async def test_a_mistake_in_a_backend_is_said_in_full_and_retried() -> None:
    async with bench() as it:
        subscription = await it.start()
        it.script.steps.put(ZeroDivisionError("of all things"))
        with pytest.raises(CameraLost, match="unexpected: ZeroDivisionError"):
            await subscription.next()
        await until(lambda: it.journal.errors, "the log says so")
        assert "exc_info" in it.journal.errors[0]
        await it.start()


async def test_access_units_pass_whole_and_in_order_from_a_keyframe_on() -> None:
    async with bench(Script(format=ENCODED)) as it:
        subscription = it.feed.subscribe(SMALL)
        it.script.steps.put(unit(0, keyframe=True))
        async with asyncio.timeout(BOUND):
            assert (await subscription.ready()).encoded
        subscription.start_encoded()
        it.script.steps.put(unit(1))
        await until(lambda: it.script.feedback == [(True, None, None)], "in the middle a keyframe is asked for")
        for number in range(2, 9):
            it.script.steps.put(unit(number, keyframe=number == 3))
        async with asyncio.timeout(BOUND):
            assert [(await subscription.next()).captured_ns for _ in range(6)] == [3, 4, 5, 6, 7, 8]
        assert not it.script.made, "nothing is decoded"


async def test_one_encoded_camera_serves_pictures_and_access_units() -> None:
    async with bench(Script(format=ENCODED)) as it:
        encoded, masked = it.feed.subscribe(SMALL), it.feed.subscribe(SMALL)
        it.script.steps.put(unit(0, keyframe=True))
        async with asyncio.timeout(BOUND):
            await encoded.ready()
        encoded.start_encoded()
        masked.start(lambda captured_ns: True, 64, 36)
        assert isinstance(await it.give(encoded, unit(1, keyframe=True)), AccessUnit)
        async with asyncio.timeout(BOUND):
            assert isinstance(await masked.next(), Picture)


async def test_a_raw_camera_gives_no_access_units_and_says_so() -> None:
    async with bench() as it:
        subscription = await it.start()
        subscription.start_encoded()
        with pytest.raises(CameraLost, match="no encoded video"):
            await subscription.next()


async def test_wishes_reach_the_camera_and_are_harmless_without_one() -> None:
    async with bench() as it:
        subscription = it.feed.subscribe(SMALL)
        subscription.feedback(True, 300, 5.0)
        it.script.steps.put(0)
        async with asyncio.timeout(BOUND):
            await subscription.ready()
        subscription.feedback(False, 200, None)
        assert it.script.feedback[-1] == (False, 200, None)


async def test_of_two_streams_that_pass_the_same_video_on_the_narrower_path_counts() -> None:
    async with bench(Script(format=ENCODED)) as it:
        wide, narrow = await it.live(unit(0, keyframe=True)), it.feed.subscribe(SMALL)
        narrow.feedback(False, 300, None)
        wide.feedback(False, 900, None)
        assert it.script.feedback[-1] == (False, 300, None)
        narrow.close()
        wide.feedback(False, 800, None)
        assert it.script.feedback[-1] == (False, 800, None)


async def test_due_keyframes_alone_are_the_newest_and_asked_for_once() -> None:
    async with bench(Script(format=ENCODED)) as it:
        subscription = await it.live(unit(0, keyframe=True))
        asked = list[int]()

        def due(captured_ns: int) -> bool:
            asked.append(captured_ns)
            return captured_ns != 4

        subscription.start_encoded(due)
        for number in range(1, 8):
            it.script.steps.put(unit(number, keyframe=number in (2, 4, 6)))
        await until(lambda: asked == [2, 4, 6], "keyframes, and nothing else, are asked about")
        async with asyncio.timeout(BOUND):
            assert (await subscription.next()).captured_ns == 6, "not the one from before"
        assert it.script.feedback == [(True, None, None)], "so that the first comes soon"
        assert not it.script.made, "nothing is decoded"


async def test_a_nudge_opens_a_lost_camera_at_once() -> None:
    async with bench(Script(refuse=CameraLost("unplugged")), backoff=Backoff(base=600, cap=600, floor=600)) as it:
        subscription = it.feed.subscribe(SMALL)
        await until(lambda: "lost" in it.states, "lost")
        it.script.refuse = None
        it.script.steps.put(0)
        it.feed.nudge()
        async with asyncio.timeout(BOUND):
            await subscription.ready()
        assert it.states == ["opening", "lost", "live"]


async def test_a_nudge_while_the_camera_is_being_opened_is_not_forgotten() -> None:
    """It may say that what this opening has missed is there now."""
    patient = Backoff(base=600, cap=600, floor=600)
    async with bench(Script(refuse=CameraLost("unplugged")), backoff=patient) as it:
        it.feed.subscribe(SMALL)
        await until(lambda: "lost" in it.states, "lost")
        it.script.wedge = "open"
        it.feed.nudge()
        await until(lambda: it.script.opened == 2, "opening")
        it.feed.nudge()
        it.script.wedge = ""
        it.script.released.set()
        await until(lambda: it.script.opened == 3, "opened once more")


async def test_a_nudge_does_nothing_to_a_camera_that_works() -> None:
    async with bench() as it:
        subscription = await it.start()
        it.feed.nudge()
        assert (await it.give(subscription, 1)).captured_ns == 1
        assert it.script.opened == 1


class Ladder:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.failures = self.successes = 0

    def worked(self) -> None:
        self.successes += 1

    async def failed(self) -> None:
        self.failures += 1


async def test_a_driver_that_hangs_for_good_still_climbs_the_ladder() -> None:
    limits, ladder = Limits(open=0.02, silence=0.02, close=0.02, read=0.02), Ladder()
    async with bench(Script(wedge="open"), limits, recoverer=ladder) as it:
        it.feed.subscribe(SMALL)
        await until(lambda: ladder.failures > 2 * WEDGED_LIMIT, "each try is a failure, opened or not")
        assert it.script.opened == WEDGED_LIMIT
        it.script.released.set()


async def test_a_camera_that_only_takes_long_to_fail_has_not_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overshootd.capture.feed.STABLE_SECONDS", 0.1)
    ladder = Ladder()
    async with bench(limits=Limits(open=10, silence=0.3, close=5, read=0.02), recoverer=ladder) as it:
        it.feed.subscribe(SMALL)
        await until(lambda: ladder.failures >= 2, "silent from the first moment on, again and again")
        assert ladder.successes == 0


async def test_a_rate_goes_with_the_stream_that_wished_for_it() -> None:
    async with bench(Script(format=ENCODED)) as it:
        wide, narrow = await it.live(unit(0, keyframe=True)), it.feed.subscribe(SMALL)
        wide.feedback(False, 900, None)
        narrow.feedback(False, 300, None)
        narrow.close()
        assert it.script.feedback[-1] == (False, 900, None)
