"""The native publisher in both room servers: what arrives, what is told at the end, and the join nobody cancels."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import structlog

from overshootd.contracts import Picture, PixelFormat, PublishPlan, PublishTarget
from overshootd.errors import Transient
from overshootd.publish.livekit import LiveKit, LiveKitPublisher
from overshootd.simulator.media import MediaAdapter
from tests.integration.media_bed import STREAM, RecordingEye, eventually

TTL = 60.0
PLAN = PublishPlan(fps=10.0, width=320, height=240, max_bitrate=300_000, codec="vp8")
LARGE = replace(PLAN, width=1280, height=720, max_bitrate=2_000_000)
"""The SDK makes layers of it if asked for simulcast; a small picture it publishes plain whatever it is asked for."""

LAYOUTS = (PixelFormat.I420, PixelFormat.NV12)


def picture(level: int, layout: PixelFormat = PixelFormat.I420, plan: PublishPlan = PLAN) -> Picture:
    """A plain grey picture of this brightness, the same bytes in each of LAYOUTS."""
    pixels = plan.width * plan.height
    data = bytes([level]) * pixels + bytes([128]) * (pixels // 2)
    return Picture(data, plan.width, plan.height, layout, time.monotonic_ns())


def as_asked(first: Picture) -> Callable[[], Awaitable[Picture]]:
    """A camera that gives this picture."""

    async def give() -> Picture:
        return first

    return give


@pytest.fixture
async def livekit() -> AsyncIterator[LiveKit]:
    sdk = LiveKit()
    yield sdk
    await sdk.close(30.0)


@asynccontextmanager
async def published(
    livekit: LiveKit,
    rooms: MediaAdapter,
    level: int = 60,
    layout: PixelFormat = PixelFormat.I420,
    plan: PublishPlan = PLAN,
) -> AsyncIterator[LiveKitPublisher]:
    """A publisher in the room STREAM that shows this brightness, again and again."""
    access = rooms.publish_access(STREAM, TTL)
    publisher = livekit.publisher(plan, structlog.get_logger())
    try:
        await publisher.connect(PublishTarget(access.url, access.token), as_asked(picture(level, layout, plan)))
        pumping = asyncio.create_task(pump(publisher, level, layout, plan))
        yield publisher
        pumping.cancel()
        await asyncio.wait([pumping])
    finally:
        await publisher.close()


async def pump(publisher: LiveKitPublisher, level: int, layout: PixelFormat, plan: PublishPlan) -> None:
    for _ in range(600):
        publisher.push(picture(level, layout, plan))
        await asyncio.sleep(1 / plan.fps)


async def test_the_first_picture_is_the_first_that_arrives(
    livekit: LiveKit, rooms: MediaAdapter, eye: RecordingEye
) -> None:
    """The library would send black ones before it."""
    async with published(livekit, rooms, level=200):
        await eventually(lambda: eye.count, "the first picture")
        assert abs(eye.level() - 200) < 10


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_each_layout_arrives(
    layout: PixelFormat, livekit: LiveKit, rooms: MediaAdapter, eye: RecordingEye
) -> None:
    async with published(livekit, rooms, level=150, layout=layout):
        await eventually(lambda: eye.count and abs(eye.level() - 150) < 10, "the brightness of what was pushed")


async def test_nothing_but_one_plain_camera_track_is_published(
    livekit: LiveKit, rooms: MediaAdapter, eye: RecordingEye
) -> None:
    async with published(livekit, rooms, plan=LARGE):
        await eventually(lambda: eye.count, "the first picture")
        assert eye.violations == []


async def test_totals_count_what_was_encoded_and_sent(livekit: LiveKit, rooms: MediaAdapter, eye: RecordingEye) -> None:
    async with published(livekit, rooms) as publisher:
        await eventually(lambda: eye.count, "the first picture")
        stats = await publisher.stats()
        assert stats.frames_encoded >= 1
        assert stats.bytes_sent > 0


async def test_a_room_that_is_closed_is_told_at_once(livekit: LiveKit, rooms: MediaAdapter, eye: RecordingEye) -> None:
    async with published(livekit, rooms) as publisher:
        await eventually(lambda: eye.count, "the first picture")
        watching = asyncio.create_task(publisher.watch())
        await rooms.close_room(STREAM)
        with pytest.raises(Transient, match="the room was left"):
            async with asyncio.timeout(10):
                await watching


async def test_a_token_that_is_not_valid_is_told(livekit: LiveKit, rooms: MediaAdapter, eye: RecordingEye) -> None:
    access = rooms.publish_access(STREAM, TTL)
    publisher = livekit.publisher(PLAN, structlog.get_logger())
    with pytest.raises(Transient, match="joining the room failed"):
        await publisher.connect(PublishTarget(access.url, access.token + "x"), as_asked(picture(1)))
    await publisher.close()


async def test_a_join_that_nobody_waits_for_is_not_cancelled_but_left_to_end(livekit: LiveKit, media_net: str) -> None:
    """A cancelled join goes on in the library as a ghost, and panics later (livekit-notes.md, Traps)."""
    deaf = socket.create_server((media_net, 0))  # the kernel accepts, and nobody answers
    publisher = livekit.publisher(PLAN, structlog.get_logger())
    target = PublishTarget(f"ws://{media_net}:{deaf.getsockname()[1]}", "token")
    connecting = asyncio.create_task(publisher.connect(target, as_asked(picture(1))))
    await asyncio.wait([connecting], timeout=0.5)
    connecting.cancel()
    await asyncio.wait([connecting])
    async with asyncio.timeout(2):
        await publisher.close()
    assert livekit.joins_under_way == 1
    deaf.close()
    async with asyncio.timeout(60):
        await livekit.close(60)
    assert livekit.joins_under_way == 0
