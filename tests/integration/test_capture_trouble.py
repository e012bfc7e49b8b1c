"""Frames that cannot be shown, and cameras that show nothing: what is given up, when, and what makes it good again."""

from __future__ import annotations

import asyncio

import pytest

from overshootd.capture.feed import Limits
from overshootd.capture.scrutiny import Scrutiny
from overshootd.contracts import AccessUnit, CaptureFormat, Picture
from overshootd.errors import CameraLost, FrameSpoiled
from tests.integration.feed_bench import BOUND, ENCODED, Bench, Script, bench, unit, until

SECOND = 1_000_000_000
IMPATIENT = Limits(open=10, silence=2.0, close=5, read=0.02)
"""Frames carry their times, so that seconds of spoiled ones take none."""


def spoiled(captured_ns: int, width: int, height: int) -> bytes:
    raise FrameSpoiled("a truncated JPEG picture")


def noise(captured_ns: int, width: int, height: int) -> bytes:
    return bytes((captured_ns // SECOND * 7 + place * 31) % 200 + 30 for place in range(width * height * 3 // 2))


def still(captured_ns: int, width: int, height: int) -> bytes:
    return noise(0, width, height)


def black(captured_ns: int, width: int, height: int) -> bytes:
    return b"\x10" * (width * height) + b"\x80" * (width * height // 2)


async def lost(it: Bench, seconds: int, begin: int = 1) -> str:
    """Give a frame a second until the camera is lost; its words."""
    for second in range(begin, begin + seconds):
        it.script.steps.put(second * SECOND)
    await until(lambda: it.states[-1] == "lost", "lost")
    return it.details[-1]


async def test_a_spoiled_frame_is_left_out_and_the_next_one_takes_its_place() -> None:
    def paint(captured_ns: int, width: int, height: int) -> bytes:
        return spoiled(captured_ns, width, height) if captured_ns == 20 else noise(captured_ns, width, height)

    async with bench(Script(paint=paint)) as it:
        subscription = await it.start()
        subscription.start(lambda captured_ns: captured_ns % 20 == 0, 64, 36)
        for captured_ns in (19, 20, 21, 22):
            it.script.steps.put(captured_ns)
        async with asyncio.timeout(BOUND):
            assert (await subscription.next()).captured_ns == 21, "though only 20 was due"
        await until(it.script.steps.empty, "read")
        assert (await it.give(subscription, 40)).captured_ns == 40, "and 22 was not taken"
        assert it.states == ["opening", "live"]


async def test_a_spoiled_frame_is_decoded_once_for_all_streams() -> None:
    async with bench(Script(paint=spoiled)) as it:
        for size in [(64, 36), (32, 18)]:
            await it.start(size=size)
        it.script.made.clear()
        it.script.steps.put(5)
        await until(lambda: it.script.made, "tried")
        await until(it.script.steps.empty, "read")
        assert len(it.script.made) == 1


async def test_nothing_but_spoiled_frames_is_a_lost_camera() -> None:
    async with bench(Script(paint=spoiled), IMPATIENT) as it:
        subscription = await it.start()
        words = "a truncated JPEG picture, and no picture that can be shown for 2 s"
        assert await lost(it, 3) == words
        with pytest.raises(CameraLost, match=words):
            await subscription.next()


async def test_a_camera_lost_for_spoiled_frames_is_back_with_a_whole_one_only() -> None:
    async with bench(Script(paint=spoiled), IMPATIENT) as it:
        subscription = await it.start()
        await lost(it, 3)
        for second in range(10, 30):
            it.script.steps.put(second * SECOND)
        await until(lambda: it.script.opened >= 3, "opened again and again")
        assert it.states == ["opening", "live", "lost"], "frames alone prove nothing"
        it.script.paint = noise
        for second in range(40, 42):
            it.script.steps.put(second * SECOND)
        async with asyncio.timeout(BOUND):
            await subscription.ready()
        assert it.states == ["opening", "live", "lost", "live"]


async def test_an_encoded_camera_is_asked_for_the_keyframe_that_is_missing_and_given_time() -> None:
    fifty = CaptureFormat(30.0, 1280, 720, encoded=True, keyframe_seconds=50.0)
    async with bench(Script(format=fifty, paint=spoiled), IMPATIENT) as it:
        subscription = await it.live(unit(0))
        subscription.start(lambda captured_ns: True, 64, 36)
        for second in range(1, 90):
            it.script.steps.put(unit(second * SECOND))
        await until(it.script.steps.empty, "read")
        assert it.states == ["opening", "live"]
        assert it.script.feedback == [(True, None, None)]


async def test_black_pictures_are_a_lost_camera_which_is_back_when_it_sees_something() -> None:
    async with bench(Script(paint=black), scrutiny=Scrutiny(black_seconds=60, frozen_seconds=180)) as it:
        subscription = await it.start()
        assert await lost(it, 63) == "black pictures for 60 s"
        for second in range(100, 120):
            it.script.steps.put(second * SECOND)
        await until(lambda: it.script.opened >= 3, "opened again and again")
        assert it.states == ["opening", "live", "lost"], "said once"
        it.script.paint = noise
        for second in range(200, 203):
            it.script.steps.put(second * SECOND)
        async with asyncio.timeout(BOUND):
            await subscription.ready()
        assert isinstance(await it.give(subscription, 210 * SECOND), Picture)


async def test_what_a_camera_gives_under_suspicion_reaches_nobody() -> None:
    async with bench(Script(paint=black), scrutiny=Scrutiny(black_seconds=60)) as it:
        subscription = await it.start()
        await lost(it, 63)
        waiting = asyncio.create_task(subscription.ready())
        it.script.made.clear()
        for second in range(100, 104):
            it.script.steps.put(second * SECOND)
        await until(it.script.steps.empty, "read")
        assert not waiting.done()
        waiting.cancel()


async def test_the_same_picture_for_minutes_is_a_lost_camera_until_it_changes() -> None:
    async with bench(Script(paint=still), scrutiny=Scrutiny(black_seconds=60, frozen_seconds=180)) as it:
        subscription = await it.start()
        assert await lost(it, 183) == "the same picture for 180 s"
        for second in range(200, 220):
            it.script.steps.put(second * SECOND)
        await until(lambda: it.script.opened >= 3, "opened again and again")
        assert it.states == ["opening", "live", "lost"]
        it.script.paint = noise
        for second in range(300, 303):
            it.script.steps.put(second * SECOND)
        async with asyncio.timeout(BOUND):
            await subscription.ready()


async def test_what_is_passed_on_untouched_is_looked_at_once_a_minute() -> None:
    async with bench(Script(format=ENCODED, paint=black), scrutiny=Scrutiny(black_seconds=60)) as it:
        subscription = await it.live(unit(SECOND, keyframe=True))
        subscription.start_encoded()
        for second in range(2, 62):
            it.script.steps.put(unit(second * SECOND, keyframe=second % 10 == 1))
        await until(lambda: it.states[-1] == "lost", "lost")
        assert it.details[-1] == "black pictures for 60 s"
        assert [captured_ns // SECOND for captured_ns, _, _ in it.script.made] == [1, 61]


async def test_what_is_passed_on_need_not_be_decodable_here() -> None:
    async with bench(Script(format=ENCODED, paint=spoiled), IMPATIENT, scrutiny=Scrutiny(60, 180)) as it:
        subscription = await it.live(unit(SECOND, keyframe=True))
        subscription.start_encoded()
        for second in range(2, 200):
            it.script.steps.put(unit(second * SECOND, keyframe=True))
        await until(it.script.steps.empty, "read")
        assert isinstance(await subscription.next(), AccessUnit)
        assert it.states == ["opening", "live"]


async def test_without_scrutiny_nothing_that_is_passed_on_is_decoded() -> None:
    async with bench(Script(format=ENCODED)) as it:
        subscription = await it.live(unit(0, keyframe=True))
        subscription.start_encoded()
        for second in range(1, 200):
            it.script.steps.put(unit(second * SECOND, keyframe=True))
        await until(it.script.steps.empty, "read")
        assert not it.script.made


async def test_without_scrutiny_a_still_black_picture_is_a_picture() -> None:
    async with bench(Script(paint=black)) as it:
        subscription = await it.start()
        for second in range(1, 400):
            it.script.steps.put(second * SECOND)
        await until(it.script.steps.empty, "read")
        assert (await it.give(subscription, 500 * SECOND)).captured_ns >= 398 * SECOND
        assert it.states == ["opening", "live"]


async def test_a_thread_that_was_left_behind_gives_nothing_to_anybody() -> None:
    """It hung in the driver while it drew; by the time that it is done, another opening is live."""
    script = Script()
    async with bench(script, Limits(open=10, silence=0.3, close=0.1, read=0.02)) as it:
        streams = [await it.start(), await it.start()]

        def hang(captured_ns: int, width: int, height: int) -> bytes:
            script.paint = noise
            script.released.wait(60)
            return noise(captured_ns, width, height)

        script.paint = hang
        script.steps.put(1)
        await until(lambda: "lost" in it.states, "lost")
        script.format = CaptureFormat(0.1, 1280, 720)  # one that is not silent while this test looks on
        script.steps.put(2)
        async with asyncio.timeout(BOUND):
            for stream in streams:
                await stream.ready()
                assert (await stream.next()).captured_ns == 2
        script.released.set()
        await until(lambda: script.closed == 1, "the thread has come to its end")
        for stream in streams:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await stream.next()
