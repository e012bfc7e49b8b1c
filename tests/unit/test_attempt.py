"""One attempt and the way that a camera's frames take in it: what is started, pushed, wished, and left to the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, cast

import pytest
from structlog.testing import CapturingLogger

from overshootd.config.model import StreamConfig
from overshootd.contracts import (
    AccessUnit,
    CaptureFormat,
    Due,
    Inference,
    Media,
    PublishPlan,
    PublishStats,
    PublishTarget,
    Session,
    StreamSpec,
    Wish,
)
from overshootd.errors import CameraLost, Congested
from overshootd.records import Records
from overshootd.route import Routes
from overshootd.stream import Parts, attempt

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


class OneSession:
    stream_id = "1"
    target = PublishTarget("ws://nowhere", "token")

    async def keep_lease(self) -> None:
        await asyncio.Event().wait()

    async def verify(self) -> None: ...

    async def results(self) -> AsyncGenerator[Inference, None]:
        await asyncio.Event().wait()
        yield Inference(0.0, {})

    async def set_prompt(self, prompt: str) -> None: ...

    async def info(self) -> Mapping[str, Any]:
        return {}

    async def close(self) -> None: ...


class Api:
    async def create(self, spec: StreamSpec) -> Session:
        return OneSession()


@dataclass
class Publisher:
    """Wishes for a keyframe and a rate at every frame. `congested`: its path takes less than half."""

    congested: bool = False
    pushed: int = 0

    async def connect(self, target: PublishTarget, first: Callable[[], Awaitable[Media]]) -> None: ...

    def push(self, media: Media) -> Wish:
        self.pushed += 1
        return Wish(keyframe=True, kbps=5000)

    async def watch(self) -> None:
        if self.congested:
            raise Congested("40 of 50 access units were not sent")
        await asyncio.Event().wait()

    async def stats(self) -> PublishStats:
        return PublishStats()

    async def close(self) -> None: ...


@dataclass
class Publishers:
    """One publisher, whatever the plan; remembers the plans."""

    publisher: Publisher = field(default_factory=Publisher)
    has_encoder: bool = False
    asked: int = 0
    plans: list[PublishPlan] = field(default_factory=list)

    async def hardware(self) -> bool:
        self.asked += 1
        return self.has_encoder

    def __call__(self, plan: PublishPlan) -> Publisher:
        self.plans.append(plan)
        return self.publisher


def parts(camera: Camera, publishers: Publishers, **changes: object) -> Parts:
    plain: dict[str, object] = {
        "camera": {"type": "command", "argv": ["film"], "format": "h264"},
        "mode": "frame",
        "processing": {"interval_seconds": 0.5},
        "inference": {"prompt": "What is there?", "model": "some"},
    }
    config = StreamConfig.model_validate(plain | changes)
    # Nothing is recorded here: no result comes.
    records = cast(Records, None)
    return Parts(config, camera, Api(), publishers, records, lambda: False, Routes(CapturingLogger()))


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
    assert publishers.publisher.pushed == 3


async def test_what_the_receiver_wishes_is_told_to_the_camera_that_encodes() -> None:
    camera = Camera(ENCODED)
    with pytest.raises(CameraLost):
        await ended(parts(camera, Publishers(), publish={"max_kbps": 700}))
    assert camera.told == [Wish(keyframe=True, kbps=700)], "once, however often it is wished"


async def test_a_camera_of_pictures_is_told_nothing() -> None:
    camera = Camera(replace(ENCODED, encoded=False))
    with pytest.raises(CameraLost):
        await ended(parts(camera, Publishers()))
    assert camera.told == []


async def test_a_path_that_took_too_little_gets_pictures_at_the_next_attempt() -> None:
    camera = Camera(ENCODED)
    publishers = Publishers(Publisher(congested=True))
    both = parts(camera, publishers)
    with pytest.raises(Congested):
        await ended(both)
    publishers.publisher = Publisher()
    with pytest.raises(CameraLost):
        await ended(both)
    assert camera.started == ["units", "stop", "pictures of 1280x720", "stop"]
    assert [plan.encoded for plan in publishers.plans] == [True, False]


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
