"""Access units in both room servers: those of a camera, passed on untouched, and those of an encoder of our own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import NoReturn

import numpy as np
import pytest
import structlog
from livekit import rtc
from structlog.testing import capture_logs

from overshootd.contracts import (
    APART_SECONDS,
    AccessUnit,
    Media,
    Picture,
    PixelFormat,
    Publisher,
    PublishPlan,
    PublishTarget,
    Wish,
)
from overshootd.errors import Congested, Transient
from overshootd.ffmpeg.encoder import H264Encoder
from overshootd.marker import read_marker
from overshootd.publish import hardware, livekit, source
from overshootd.publish.hardware import HardwarePublisher
from overshootd.publish.livekit import LiveKit
from overshootd.publish.source import UnitSource
from overshootd.publish.worker import Encoder
from overshootd.simulator.livekit_child import LiveKitChild
from overshootd.simulator.media import MediaAdapter
from overshootd.wishes import Wishes
from tests.integration.media_bed import STREAM, RecordingEye, embedded, eventually, real
from tests.videos import marked

TTL = 60.0
PLAN = PublishPlan(fps=15.0, width=640, height=360, max_bitrate=1_000_000, codec="h264", encoded=True)
LOG = structlog.get_logger()


def encoder(plan: PublishPlan = PLAN) -> H264Encoder:
    """One that makes keyframes only when asked."""
    options = {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1"}
    return H264Encoder("libx264", plan.width, plan.height, plan.fps, plan.max_bitrate // 1000, options)


class Film:
    """A camera whose frame n bears the marker n."""

    def __init__(self, plan: PublishPlan = PLAN, *, keyframes_only: bool = False) -> None:
        self.plan = plan
        self.filmed = 0
        self.asked: list[Wish] = []
        self._keyframe = self._always = keyframes_only
        self._encoder = encoder(plan)

    def picture(self) -> Picture:
        luma = marked(self.filmed, self.plan.width, self.plan.height)
        self.filmed += 1
        data = luma.tobytes() + bytes([128]) * (luma.size // 2)
        return Picture(data, self.plan.width, self.plan.height, PixelFormat.I420, time.monotonic_ns())

    def unit(self) -> AccessUnit:
        (unit,) = self._encoder.encode(self.picture(), keyframe=self._keyframe)
        self._keyframe = self._always
        return unit

    def feedback(self, wish: Wish) -> None:
        self.asked.append(wish)
        self._keyframe = self._keyframe or wish.keyframe


def soon(give: Callable[[], Media]) -> Callable[[], Awaitable[Media]]:
    async def given() -> Media:
        return give()

    return given


async def pump(publisher: Publisher, film: Film, give: Callable[[], Media], *, obey: bool = True) -> NoReturn:
    wishes = Wishes(1000)
    while True:
        wish = wishes.told(publisher.push(give()), time.monotonic())
        if obey and any(wish):
            film.feedback(wish)
        await asyncio.sleep(1 / film.plan.fps)


@pytest.fixture
async def sdk(media_net: str) -> AsyncIterator[LiveKit]:
    made = LiveKit()
    yield made
    await made.close(30.0)


@asynccontextmanager
async def published(
    publisher: Publisher, rooms: MediaAdapter, film: Film, give: Callable[[], Media], *, obey: bool = True
) -> AsyncIterator[None]:
    """The publisher in the room STREAM, fed by `give`, and watched."""
    access = rooms.publish_access(STREAM, TTL)
    try:
        await publisher.connect(PublishTarget(access.url, access.token), soon(give))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(pump(publisher, film, give, obey=obey)), tasks.create_task(publisher.watch())]
            yield
            for task in running:
                task.cancel()
    finally:
        await publisher.close()


def numbers(eye: RecordingEye, last: int = 100) -> list[int]:
    """What the markers of the last frames that arrived say; -1 where none can be read."""
    markers = [read_marker(np.ascontiguousarray(frame.luma())) for frame in list(eye.frames)[-last:]]
    return [-1 if marker is None else marker.number for marker in markers]


def unspoiled(seen: list[int]) -> bool:
    """Each frame a newer one, and nearly all of them: a receiver that is busy leaves some out itself."""
    return seen[0] >= 0 and seen == sorted(set(seen)) and seen[-1] - seen[0] < 1.3 * len(seen)


async def test_every_frame_of_the_camera_arrives(sdk: LiveKit, rooms: MediaAdapter, eye: RecordingEye) -> None:
    film = Film()
    async with published(sdk.publisher(PLAN, LOG), rooms, film, film.unit):
        await eventually(lambda: eye.count >= 60, "60 frames")
    assert unspoiled(numbers(eye, last=30))
    assert (eye.frames[-1].width, eye.frames[-1].height) == (640, 360)
    assert eye.violations == []


@pytest.mark.parametrize("fps", [1.0, 0.5])
async def test_keyframes_alone_arrive(fps: float, sdk: LiveKit, rooms: MediaAdapter, eye: RecordingEye) -> None:
    plan = replace(PLAN, fps=fps)
    film = Film(plan, keyframes_only=True)
    async with published(sdk.publisher(plan, LOG), rooms, film, film.unit):
        await eventually(lambda: eye.count >= 4, "4 keyframes", bound=30)
    assert unspoiled(numbers(eye, last=3))


async def test_what_was_filmed_during_the_join_arrives_after_it(sdk: LiveKit, media_net: str) -> None:
    """The first one is offered again until it is sent, so the others are older than that."""
    film, eye = Film(), RecordingEye()
    units = [film.unit() for _ in range(20)]
    publisher = sdk.publisher(PLAN, LOG)
    async with embedded(media_net) as rooms:
        await rooms.open_room(STREAM, eye)
        access = rooms.publish_access(STREAM, TTL)
        try:
            await publisher.connect(PublishTarget(access.url, access.token), soon(lambda: units[0]))
            for waiting in units[1:]:
                publisher.push(waiting)
                await asyncio.sleep(APART_SECONDS)
            await eventually(lambda: 19 in numbers(eye), "the newest of those that waited")
        finally:
            await publisher.close()
    assert set(numbers(eye)) == set(range(20))


async def test_who_comes_late_gets_a_keyframe_because_the_camera_is_asked(sdk: LiveKit, child: LiveKitChild) -> None:
    film, eye = Film(), RecordingEye()
    async with real(child) as rooms, published(sdk.publisher(PLAN, LOG), rooms, film, film.unit):
        await eventually(lambda: film.filmed >= 30, "frames that nobody sees")
        before = len([wish for wish in film.asked if wish.keyframe])
        await rooms.open_room(STREAM, eye)
        await eventually(lambda: eye.count >= 10, "frames for the late one")
        assert len([wish for wish in film.asked if wish.keyframe]) > before
    assert unspoiled(numbers(eye))


async def test_the_camera_is_told_a_rate_and_never_one_above_its_plan(
    sdk: LiveKit, rooms: MediaAdapter, eye: RecordingEye
) -> None:
    film = Film()
    async with published(sdk.publisher(PLAN, LOG), rooms, film, film.unit):
        await eventually(lambda: any(wish.kbps for wish in film.asked), "a rate")
    assert all(wish.kbps is None or 0 < wish.kbps <= 1000 for wish in film.asked)
    assert all(wish.fps is None for wish in film.asked)


async def test_a_loss_that_the_library_does_not_tell_is_noticed_and_made_good_by_a_keyframe(
    sdk: LiveKit, rooms: MediaAdapter, eye: RecordingEye, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, publisher = Film(), sdk.publisher(PLAN, LOG)
    with capture_logs() as logged:
        async with published(publisher, rooms, film, film.unit):
            await eventually(lambda: eye.count >= 5, "the first frames")
            keyframes = len([wish for wish in film.asked if wish.keyframe])
            with monkeypatch.context() as patched:
                patched.setattr(rtc.EncodedVideoSource, "capture_frame", lambda source, frame: True)
                for _ in range(3):
                    publisher.push(film.unit())
            await eventually(lambda: [e for e in logged if "not sent: 3" in e["event"]], "the loss in the log")
            filmed = film.filmed
            await eventually(lambda: numbers(eye, last=1)[0] > filmed + 15, "frames after the loss")
            assert unspoiled(numbers(eye, last=10))
    assert len([wish for wish in film.asked if wish.keyframe]) > keyframes
    assert next(entry for entry in logged if entry["event"] == "leaving the room")["lost"] == 3


async def test_frames_that_are_accepted_and_not_sent_are_told(
    sdk: LiveKit, rooms: MediaAdapter, eye: RecordingEye, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a track of another codec the library takes every unit and sends none."""
    monkeypatch.setattr(livekit, "PUBLISH_TIMEOUT", 3.0)
    film = Film()
    with pytest.raises(Transient, match="no frame was encoded"):
        async with published(sdk.publisher(replace(PLAN, codec="vp8"), LOG), rooms, film, film.unit):
            raise AssertionError("unreachable")


# -- the source by itself


@pytest.fixture
async def units(media_net: str) -> AsyncIterator[UnitSource]:
    made = UnitSource(replace(PLAN, replaceable=True), LOG)
    yield made
    await made.close()


def unit(*, keyframe: bool = False, width: int = 640, captured_ns: int = 0) -> AccessUnit:
    return AccessUnit(b"\0\0\0\1\x65x", width, 360, keyframe, captured_ns or time.monotonic_ns())


async def test_nothing_goes_out_before_a_keyframe_and_one_is_wished_for(units: UnitSource) -> None:
    assert units.push(unit()).keyframe
    assert units.taken == 0
    assert not units.push(unit(keyframe=True)).keyframe
    assert not units.push(unit()).keyframe
    assert units.taken == 2


async def test_after_a_loss_nothing_goes_out_up_to_the_next_keyframe(units: UnitSource) -> None:
    units.push(unit(keyframe=True))
    later = time.monotonic() + 1
    for sent in (1, 1):
        units.look(sent, later)
    units.push(unit())
    for _ in range(2):
        units.look(1, later)
    assert units.push(unit()).keyframe
    assert units.taken == 2
    units.push(unit(keyframe=True))
    assert units.taken == 3
    assert units.summary() == {"lost": 1, "skipped": 1}


async def test_another_size_ends_the_attempt(units: UnitSource) -> None:
    units.push(unit(keyframe=True))
    with pytest.raises(Transient, match="from 640x360 to 320x360"):
        units.push(unit(keyframe=True, width=320))


@pytest.mark.parametrize("replaceable", [True, False])
async def test_a_path_that_takes_too_little_ends_the_attempt_where_pictures_can_be_had(
    replaceable: bool, media_net: str
) -> None:
    units = UnitSource(replace(PLAN, replaceable=replaceable), LOG)
    began = time.monotonic()
    units.look(0, began)
    for _ in range(50):
        units.push(unit(keyframe=True))
    units.look(10, began + 10)
    try:
        if replaceable:
            with pytest.raises(Congested, match="40 of 50 access units were not sent"):
                units.look(10, began + 31)
        else:
            units.look(10, began + 31)
    finally:
        await units.close()


# -- an encoder of our own

RAW = replace(PLAN, encoded=False)


def by_hardware(sdk: LiveKit, made: Encoder, given_up: list[str]) -> HardwarePublisher:
    return HardwarePublisher(sdk.publisher(PLAN, LOG), made, RAW, LOG, given_up.append)


async def test_pictures_encoded_outside_the_library_arrive(
    sdk: LiveKit, rooms: MediaAdapter, eye: RecordingEye
) -> None:
    film, given_up = Film(RAW), list[str]()
    async with published(by_hardware(sdk, encoder(), given_up), rooms, film, film.picture):
        await eventually(lambda: eye.count >= 40, "40 frames")
    assert unspoiled(numbers(eye))
    assert film.asked == [] == given_up


async def test_who_comes_late_gets_a_keyframe_of_our_encoder(sdk: LiveKit, child: LiveKitChild) -> None:
    film, eye = Film(RAW), RecordingEye()
    async with real(child) as rooms, published(by_hardware(sdk, encoder(), []), rooms, film, film.picture):
        await eventually(lambda: film.filmed >= 30, "frames that nobody sees")
        await rooms.open_room(STREAM, eye)
        await eventually(lambda: eye.count >= 10, "frames for the late one")


class Wedged:
    """An encoder that hangs at its `good`-th picture until it is let go."""

    def __init__(self, good: int) -> None:
        self._inner, self._good = encoder(), good
        self.let_go, self.closed = threading.Event(), threading.Event()

    def encode(self, picture: Picture, *, keyframe: bool = False) -> list[AccessUnit]:
        self._good -= 1
        if self._good < 0:
            self.let_go.wait(60)
        return self._inner.encode(picture, keyframe=keyframe)

    def set_kbps(self, kbps: int) -> None:
        self._inner.set_kbps(kbps)

    def close(self) -> None:
        self._inner.close()
        self.closed.set()


@pytest.mark.parametrize("good", [0, 10])
async def test_an_encoder_that_hangs_ends_the_attempt_and_its_thread_is_left_behind(
    good: int, sdk: LiveKit, media_net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "WEDGED_SECONDS", 1.0)
    film, made, given_up = Film(RAW), Wedged(good), list[str]()
    with capture_logs() as logged:
        try:
            async with embedded(media_net) as rooms:
                await rooms.open_room(STREAM, RecordingEye())
                with pytest.RaisesGroup(Transient, allow_unwrapped=True):
                    async with published(by_hardware(sdk, made, given_up), rooms, film, film.picture):
                        await asyncio.Event().wait()
            assert any("thread is left behind" in entry["event"] for entry in logged)
            assert len(given_up) == 1
        finally:
            made.let_go.set()
            assert await asyncio.to_thread(made.closed.wait, 30), "the thread ends once the driver returns"


async def test_an_encoder_that_fails_ends_the_attempt_and_says_why(sdk: LiveKit, media_net: str) -> None:
    film, given_up = Film(RAW), list[str]()
    absent = H264Encoder("h264_v4l2m2m", 640, 360, 15.0, 500)
    async with embedded(media_net) as rooms:
        await rooms.open_room(STREAM, RecordingEye())
        with pytest.raises(Transient, match="h264_v4l2m2m failed"):
            async with published(by_hardware(sdk, absent, given_up), rooms, film, film.picture):
                raise AssertionError("unreachable")
    assert "h264_v4l2m2m failed" in given_up[0]


def test_the_transport_may_take_more_than_the_encoder_is_told() -> None:
    assert source.options(PLAN).video_encoding.max_bitrate > PLAN.max_bitrate
    assert source.options(RAW).video_encoding.max_bitrate == PLAN.max_bitrate
