"""One attempt and the way that a camera's frames take in it: what is started, pushed, wished, and left to the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import NoReturn, cast

import pytest
from structlog.testing import CapturingLogger

from overshootd import records
from overshootd.config.model import StreamConfig
from overshootd.contracts import AccessUnit, CaptureFormat, Due, Inference, Media, Spent, Wish
from overshootd.controls import Control
from overshootd.errors import CameraLost, Congested, Permanent, StreamGone, Transient
from overshootd.route import Routes
from overshootd.status import StreamState
from overshootd.stream import Parts, attempt
from tests.unit.attempt_parts import Api, NoLeftovers, OneSession, Paths, Publisher, Publishers, Tally

UNIT = AccessUnit(b"", 1280, 720, True, 0)
ENCODED = CaptureFormat(6.0, 1280, 720, encoded=True)


@dataclass
class Camera:
    """Gives `frames` access units, then it is lost."""

    format: CaptureFormat
    frames: int = 3
    started: list[str] = field(default_factory=list)
    told: list[Wish] = field(default_factory=list)

    async def ready(self) -> CaptureFormat:
        return self.format

    def start(self, due: Due, width: int, height: int) -> None:
        self.started.append(f"pictures of {width}x{height}")

    def start_encoded(self, due: Due | None = None) -> None:
        self.started.append("keyframes" if due else "units")

    def stop(self) -> None:
        self.started.append("stop")

    async def next(self) -> Media:
        if not self.frames:
            raise CameraLost("the film is over")
        self.frames -= 1
        return UNIT

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        self.told.append(Wish(keyframe, kbps, fps))

    def close(self) -> None: ...


class Records:
    """No result comes here; only the state is looked at."""

    def __init__(self) -> None:
        self.state = StreamState()
        self.prompts: list[str] = []

    def asked(self, prompt: str) -> None:
        self.prompts.append(prompt)

    async def result(self, inference: Inference, stream_id: str) -> None: ...

    def changed(self) -> None: ...

    def trouble(self, why: str) -> None: ...


def parts(camera: Camera, publishers: Publishers, **changes: object) -> Parts:
    plain: dict[str, object] = {
        "camera": {"type": "command", "argv": ["film"], "format": "h264"},
        "mode": "frame",
        "processing": {"interval_seconds": 0.5},
        "inference": {"prompt": "What is there?", "model": "some"},
    }
    log = CapturingLogger()
    return Parts(
        name="one",
        config=StreamConfig.model_validate(plain | changes),
        camera=camera,
        control=Control("What is there?"),
        api=Api(),
        publishers=publishers,
        records=cast(records.Records, Records()),
        tally=Tally(),
        keep_stream=lambda: False,
        routes=Routes(log),
        paths=Paths(),
        leftovers=NoLeftovers(),
        log=log,
    )


async def ended(of: Parts) -> NoReturn:
    async with asyncio.timeout(5):
        await attempt(of)


@pytest.mark.parametrize(
    ("camera", "changes", "started"),
    [
        (ENCODED, {}, "units"),
        (replace(ENCODED, fps=30.0, keyframe_seconds=0.25), {}, "keyframes"),
        (replace(ENCODED, fps=30.0), {}, "pictures of 1280x720"),
        (ENCODED, {"publish": {"size": "640x360"}}, "pictures of 640x360"),
        (ENCODED, {"crop": {"x": 0.0, "y": 0.0, "width": 0.5, "height": 1.0}}, "pictures of 1280x720"),
    ],
)
async def test_the_camera_is_started_the_way_its_frames_take(
    camera: CaptureFormat, changes: dict[str, object], started: str
) -> None:
    camera_, publishers = Camera(camera), Publishers()
    with pytest.raises(CameraLost):
        await ended(parts(camera_, publishers, **changes))
    assert camera_.started == [started, "stop"]
    assert publishers.plans[0].encoded == (started in ("units", "keyframes"))
    assert publishers.made[0].pushed == 3


async def test_what_the_receiver_wishes_is_told_to_the_camera_that_encodes() -> None:
    camera = Camera(ENCODED)
    with pytest.raises(CameraLost):
        await ended(parts(camera, Publishers(), publish={"max_kbps": 700}))
    first = Wish(keyframe=True)
    assert camera.told == [first, Wish(keyframe=True, kbps=700)], "once, however often it is wished"


async def test_a_camera_of_pictures_is_told_nothing() -> None:
    camera = Camera(replace(ENCODED, encoded=False))
    with pytest.raises(CameraLost):
        await ended(parts(camera, Publishers()))
    assert camera.told == []


async def test_a_path_that_took_too_little_gets_pictures_at_the_next_attempt() -> None:
    camera = Camera(ENCODED)
    publishers = Publishers([Publisher(trouble=[Congested("40 of 50 access units were not sent")])])
    both = parts(camera, publishers)
    with pytest.raises(Congested):
        await ended(both)
    with pytest.raises(CameraLost):
        await ended(both)
    assert camera.started == ["units", "stop", "pictures of 1280x720", "stop"]
    assert [plan.encoded for plan in publishers.plans] == [True, False]


async def test_a_better_transport_is_tried_by_a_new_stream() -> None:
    publishers = Publishers()
    publishers.better.set()
    both = parts(Camera(replace(ENCODED, encoded=False), frames=10**9), publishers)
    with pytest.raises(StreamGone, match="tried again"):
        await ended(both)
    assert cast(Api, both.api).session.asked[-1] == "delete"


async def test_a_transport_that_needs_keyframes_gets_pictures_of_a_camera_that_sends_few() -> None:
    camera, publishers = Camera(replace(ENCODED, keyframe_seconds=10.0)), Publishers(keyframe_seconds=2.0)
    with pytest.raises(CameraLost):
        await ended(parts(camera, publishers))
    assert camera.started == ["pictures of 1280x720", "stop"]


@pytest.mark.parametrize(
    ("camera", "codec", "asked", "planned"),
    [
        (replace(ENCODED, encoded=False), "auto", 1, "h264"),
        (replace(ENCODED, encoded=False), "h264", 1, "h264"),
        (replace(ENCODED, encoded=False), "vp9", 0, "vp9"),
        (replace(ENCODED, fps=30.0), "auto", 1, "h264"),
        (ENCODED, "auto", 0, "h264"),
    ],
)
async def test_the_machines_encoder_is_asked_for_only_where_pictures_may_go_through_it(
    camera: CaptureFormat, codec: str, asked: int, planned: str
) -> None:
    publishers = Publishers(has_encoder=True)
    with pytest.raises(CameraLost):
        await ended(parts(Camera(camera), publishers, publish={"codec": codec}))
    assert (publishers.asked, publishers.plans[0].codec) == (asked, planned)


# -- what is asked of it, and what it costs


class Still(Camera):
    """Is never lost, and gives nothing."""

    async def next(self) -> Media:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # for ever


def endless(**changes: object) -> Parts:
    """Nothing of it fails."""
    return parts(Still(replace(ENCODED, encoded=False)), Publishers(), **changes)


@asynccontextmanager
async def running(of: Parts) -> AsyncIterator[OneSession]:
    """An attempt, and what it has at the API. Cancelled at the end."""
    task = asyncio.create_task(attempt(of))
    async with asyncio.timeout(5):
        while not told(of):
            assert not task.done()
            await asyncio.sleep(0)
        yield cast(Api, of.api).session
        task.cancel()
        await asyncio.wait([task])


def told(of: Parts) -> list[str]:
    return cast(Records, of.records).prompts


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what is looked at is of many kinds
        await asyncio.sleep(0.01)


async def test_a_stream_is_made_with_what_is_asked_of_it_and_not_what_is_configured() -> None:
    both = endless()
    both.control.set_prompt("Is it raining?")
    async with running(both):
        assert cast(Api, both.api).created[0].inference["prompt"] == "Is it raining?"
        assert told(both) == cast(NoLeftovers, both.leftovers).prompts == ["Is it raining?"]


async def test_another_prompt_reaches_the_running_stream_and_is_told_and_remembered() -> None:
    both = endless()
    async with running(both) as session:
        both.control.set_prompt("Is it raining?")
        await until(lambda: len(told(both)) == 2)
    assert "prompt Is it raining?" in session.asked
    assert told(both) == cast(NoLeftovers, both.leftovers).prompts == ["What is there?", "Is it raining?"]


async def test_a_prompt_that_could_not_be_told_is_told_again() -> None:
    both = endless()
    async with running(both) as session:
        session.takes_not.append(Transient("503", retry_after=0.01))
        both.control.set_prompt("Is it raining?")
        await until(lambda: len(told(both)) == 2)
    assert told(both)[-1] == "Is it raining?"


async def test_a_prompt_that_the_api_refuses_leaves_the_stream_with_the_one_that_it_has() -> None:
    both = endless()
    async with running(both) as session:
        session.takes_not.append(Permanent("422 too long"))
        both.control.set_prompt("Is it raining?")
        await until(lambda: both.control.prompt == "What is there?")
    assert told(both) == ["What is there?"]


async def test_a_stream_that_is_gone_when_its_prompt_changes_is_made_anew_with_it() -> None:
    both = endless()
    session = cast(Api, both.api).session
    session.takes_not.append(StreamGone("404"))
    both.control.set_prompt("Is it raining?")
    task = asyncio.create_task(attempt(both))
    async with asyncio.timeout(5):
        await until(lambda: told(both))
        both.control.set_prompt("Is it snowing?")
        with pytest.raises(StreamGone):
            await task


async def test_what_was_spent_sent_and_received_is_counted_to_the_end() -> None:
    both = endless()
    publisher = Publisher(bytes_sent=7000)
    cast(Publishers, both.publishers).ready.append(publisher)
    async with running(both) as session:
        await session.inferences.put(Inference(0.0, {}, 640))
        await until(lambda: "one" in cast(Tally, both.tally).counts)
        session.spent = Spent(15.0, 0.3, 99.0)
    count = cast(Tally, both.tally).counts["one"]
    assert (count.seconds, count.cents, count.bytes_up) == (15.0, 0.3, 7000)
    assert (count.bytes_down, count.received) == (640, 1)
    assert 0 < count.due < 10, "of one each half second"
