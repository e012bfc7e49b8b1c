"""What the legacy publisher sends, as it arrives at the simulator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from overshootd.contracts import AccessUnit, Picture, PixelFormat
from overshootd.ffmpeg.vp8 import Vp8Encoder
from overshootd.publish import webrtc
from overshootd.publish.webrtc import WebRtc
from overshootd.simulator.webrtc import OfferAnswerer
from tests.integration.legacy_bed import PICTURES, UNITS, Far, connected, grey, near, publishing
from tests.integration.media_bed import eventually
from tests.integration.test_offer_answer import nft
from tests.integration.test_publisher_encoded import Film, numbers, soon, unspoiled


@pytest.fixture
async def far(media_net: str) -> AsyncIterator[Far]:
    answerer = OfferAnswerer(media_net)
    yield Far(answerer)
    await answerer.close_all()


@pytest.fixture
async def library() -> AsyncIterator[WebRtc]:
    made = WebRtc()
    yield made
    await made.close(30.0)


class Recorded(ThreadPoolExecutor):
    """Remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(1)
        self.given: list[str] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.given.append(getattr(function, "__qualname__", repr(function)))
        return super().submit(function, *args, **kwargs)


@pytest.fixture
async def names() -> Recorded:
    """What the event loop's default executor is given: names to resolve, and nothing else."""
    executor = Recorded()
    asyncio.get_running_loop().set_default_executor(executor)
    return executor


async def test_the_offer_is_complete_for_one_track_that_is_sent_and_asks_nobody(
    library: WebRtc, media_net: str, names: Recorded
) -> None:
    """Without any server the library would ask a public one."""
    publisher = near(library)
    try:
        offer = (await publisher.source())["sdp"].splitlines()
    finally:
        await publisher.close()
    assert [line.split()[0] for line in offer if line.startswith("m=")] == ["m=video"]
    assert {"a=sendonly", "a=end-of-candidates"} <= set(offer)
    assert any(line.startswith("a=candidate:") and media_net in line for line in offer)
    assert names.given == []


@pytest.mark.parametrize(("wanted", "used"), [("vp8", "video/VP8"), ("h264", "video/H264"), ("av1", "video/VP8")])
async def test_pictures_arrive_in_a_codec_that_the_transport_has(
    wanted: str, used: str, library: WebRtc, far: Far
) -> None:
    plan = replace(PICTURES, fps=30.0, codec=wanted, width=640, height=360)
    async with publishing(near(library, plan), far, Film(plan)):
        await eventually(lambda: far.eye.count >= 15, "15 frames")
        assert far.connection.getTransceivers()[0]._codecs[0].mimeType == used
    assert unspoiled(numbers(far.eye))
    assert far.eye.violations == []


@pytest.mark.parametrize("layout", [PixelFormat.I420, PixelFormat.NV12])
async def test_each_layout_arrives(layout: PixelFormat, library: WebRtc, far: Far) -> None:
    publisher = near(library)
    try:
        await publisher.connect(await far.answer(publisher), soon(lambda: grey(150, layout)))
        await eventually(lambda: far.eye.count and abs(far.eye.level() - 150) < 10, "the brightness of the first")
    finally:
        await publisher.close()


async def test_a_frame_arrives_at_once_though_the_next_is_far(library: WebRtc, far: Far) -> None:
    publisher = near(library, replace(PICTURES, fps=0.5))
    shown = 60

    def seen() -> bool:
        return far.eye.count > 0 and abs(far.eye.level() - shown) < 10

    try:
        await publisher.connect(await far.answer(publisher), soon(lambda: grey(shown)))
        await eventually(seen, "the first")
        for level in (100, 200):
            shown = level
            publisher.push(grey(level))
            await eventually(seen, "the next, which nothing follows")
    finally:
        await publisher.close()


async def test_every_frame_of_the_camera_arrives(library: WebRtc, far: Far) -> None:
    plan = replace(UNITS, fps=30.0)
    async with publishing(near(library, plan), far, Film(plan)):
        await eventually(lambda: far.eye.count >= 40, "40 frames")
    assert unspoiled(numbers(far.eye, last=30))
    assert (far.eye.frames[-1].width, far.eye.frames[-1].height) == (640, 360)


async def test_a_keyframe_that_the_receiver_asks_for_is_wished_of_the_camera(library: WebRtc, far: Far) -> None:
    film = Film(UNITS)
    async with publishing(near(library, UNITS), far, film):
        await eventually(lambda: far.eye.count >= 5, "5 frames")
        film.asked.clear()
        await far.ask_for_keyframe()
        await eventually(lambda: any(wish.keyframe for wish in film.asked), "the wish", bound=1.5)


async def test_a_keyframe_that_the_receiver_asks_for_is_encoded(
    library: WebRtc, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []

    class Watched(Vp8Encoder):
        def encode(self, picture: Picture, *, keyframe: bool = False) -> list[AccessUnit]:
            units = super().encode(picture, keyframe=keyframe)
            made.extend(unit.keyframe for unit in units)
            return units

    monkeypatch.setattr(webrtc, "Vp8Encoder", Watched)
    async with publishing(near(library), far, Film(PICTURES)):
        await eventually(lambda: far.eye.count >= 5, "5 frames")
        await far.ask_for_keyframe()
        await eventually(lambda: sum(made) == 2, "a second keyframe")


async def test_a_camera_is_wished_a_keyframe_every_two_seconds_though_nobody_asks(library: WebRtc, far: Far) -> None:
    film, publisher = Film(UNITS), near(library, UNITS)
    async with connected(publisher, far, film):
        began = time.monotonic_ns()
        later = [replace(film.unit(), captured_ns=began + round(age * 1e9)) for age in (0.5, 1.5, 2.1)]
        assert [publisher.push(unit).keyframe for unit in later] == [False, False, True]


async def test_totals_count_what_was_sent(library: WebRtc, far: Far) -> None:
    publisher = near(library)
    async with publishing(publisher, far, Film(PICTURES)):
        await eventually(lambda: far.eye.count >= 5, "5 frames")
        stats = await publisher.stats()
    assert stats.frames_encoded >= 5
    assert stats.bytes_sent > 0


async def test_nothing_is_encoded_where_names_are_resolved(library: WebRtc, far: Far, names: Recorded) -> None:
    async with publishing(near(library), far, Film(PICTURES)):
        await eventually(lambda: far.eye.count >= 5, "5 frames")
    assert set(names.given) <= {"getaddrinfo"}


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_frames_pass_where_packets_above_1280_bytes_vanish(codec: str, library: WebRtc, far: Far) -> None:
    """As in a tunnel whose routers drop the messages that would tell."""
    plan = replace(PICTURES, width=1280, height=720, max_bitrate=2_000_000, codec=codec)
    nft("add table inet tunnel; add chain inet tunnel in { type filter hook input priority 0; }")
    nft("add rule inet tunnel in meta l4proto udp meta length > 1280 drop")
    try:
        async with publishing(near(library, plan), far, Film(plan)):
            await eventually(lambda: far.eye.count >= 10, "10 frames")
    finally:
        nft("delete table inet tunnel")
    assert unspoiled(numbers(far.eye))
