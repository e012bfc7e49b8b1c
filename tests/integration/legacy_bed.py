"""A legacy publisher, and the simulator's end of its peer connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from aiortc import RTCPeerConnection

from overshootd.contracts import Answer, Picture, PixelFormat, Publisher, PublishPlan
from overshootd.publish.ice import IceServers
from overshootd.publish.webrtc import WebRtc
from overshootd.simulator.webrtc import OfferAnswerer
from tests.integration.media_bed import STREAM, RecordingEye
from tests.integration.test_publisher_encoded import Film, pump, soon

PICTURES = PublishPlan(fps=10.0, width=320, height=240, max_bitrate=300_000, codec="vp8")
UNITS = PublishPlan(fps=15.0, width=640, height=360, max_bitrate=1_000_000, codec="h264", encoded=True)


@dataclass
class Far:
    """The other side: answers one offer, and sees what comes of it."""

    answerer: OfferAnswerer
    eye: RecordingEye = field(default_factory=RecordingEye)

    async def answer(self, publisher: Publisher) -> Answer:
        source = await publisher.source()
        assert source["type"] == "webrtc"
        return Answer(await self.answerer.answer(STREAM, source["sdp"], self.eye))

    async def close(self) -> None:
        await self.answerer.close(STREAM)

    @property
    def connection(self) -> RTCPeerConnection:
        return self.answerer._peers[STREAM]._connection

    async def ask_for_keyframe(self) -> None:
        (receiver,) = self.connection.getReceivers()
        (source,) = receiver.getSynchronizationSources()
        await receiver._send_rtcp_pli(source.source)


def near(library: WebRtc, plan: PublishPlan = PICTURES, servers: IceServers | None = None) -> Publisher:
    """A publisher that asks these ICE servers, or none."""
    return library.publisher(plan, servers or IceServers([]), structlog.get_logger())


def grey(level: int, layout: PixelFormat = PixelFormat.I420, plan: PublishPlan = PICTURES) -> Picture:
    """A plain picture of this brightness."""
    pixels = plan.width * plan.height
    data = bytes([level]) * pixels + bytes([128]) * (pixels // 2)
    return Picture(data, plan.width, plan.height, layout, time.monotonic_ns())


@asynccontextmanager
async def connected(publisher: Publisher, far: Far, film: Film) -> AsyncIterator[None]:
    """The publisher connected with the other side, its first frame sent."""
    try:
        await publisher.connect(await far.answer(publisher), soon(film.unit if film.plan.encoded else film.picture))
        yield
    finally:
        await publisher.close()


@asynccontextmanager
async def publishing(publisher: Publisher, far: Far, film: Film) -> AsyncIterator[None]:
    """The same, fed and watched."""
    give = film.unit if film.plan.encoded else film.picture
    async with connected(publisher, far, film), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(pump(publisher, film, give)), tasks.create_task(publisher.watch())]
        yield
        for task in running:
            task.cancel()
