"""Both room servers, an Eye that remembers, and publishers made of the official SDK."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import numpy as np
from aiohttp import web
from livekit import rtc

from overshootd.simulator.embedded import EmbeddedRooms
from overshootd.simulator.livekit_child import LiveKitChild
from overshootd.simulator.media import ArrivedFrame, MediaAdapter, RoomAccess
from overshootd.simulator.rooms import LiveKitRooms

BOUND = 20.0
STREAM = "stream-1"


@dataclass
class RecordingEye:
    frames: deque[ArrivedFrame] = field(default_factory=lambda: deque(maxlen=100))
    count: int = 0
    violations: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def frame(self, frame: ArrivedFrame) -> None:
        self.count += 1
        self.frames.append(frame)

    def violation(self, what: str) -> None:
        self.violations.append(what)

    def publisher_left(self, why: str) -> None:
        self.left.append(why)

    def level(self) -> int:
        """The brightness of the newest frame's middle."""
        luma = self.frames[-1].luma()
        height, width = luma.shape
        return int(luma[height // 2 - 8 : height // 2 + 8, width // 2 - 8 : width // 2 + 8].mean())


async def eventually(condition: Callable[[], object], what: str, bound: float = BOUND) -> None:
    """Wait until `condition` holds; fail after `bound` seconds, naming `what`."""
    deadline = time.monotonic() + bound
    while not condition():
        assert time.monotonic() < deadline, f"not within {bound:g} s: {what}"
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def embedded(address: str) -> AsyncIterator[EmbeddedRooms]:
    """Embedded rooms on a port of their own."""
    runner = web.AppRunner(web.Application(), access_log=None, max_line_size=32 * 1024)
    rooms = EmbeddedRooms(address, lambda: f"ws://{address}:{runner.addresses[0][1]}")
    runner.app.add_routes(rooms.routes())
    await runner.setup()
    try:
        await web.TCPSite(runner, address, 0).start()
        await rooms.start()
        yield rooms
    finally:
        await rooms.close()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def real(child: LiveKitChild) -> AsyncIterator[LiveKitRooms]:
    """Rooms on `child`, which runs."""
    rooms = LiveKitRooms(child.url, child.key, child.secret)
    await rooms.start()
    try:
        yield rooms
    finally:
        await rooms.close()


def picture(width: int, height: int, level: int) -> rtc.VideoFrame:
    """Brightness `level`, with a black left and a white right tenth."""
    luma = np.full((height, width), level, np.uint8)
    luma[:, : width // 10] = 16
    luma[:, -(width // 10) :] = 235
    chroma = np.full(2 * ((width + 1) // 2) * ((height + 1) // 2), 128, np.uint8)
    return rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, luma.tobytes() + chroma.tobytes())


@dataclass
class SdkPublisher:
    """The official SDK in a room. `show` changes what it sends; frames go out at `fps`."""

    size: tuple[int, int] = (320, 240)
    fps: float = 15.0
    codec: rtc.VideoCodec.ValueType = rtc.VideoCodec.VP8
    simulcast: bool = False
    source: rtc.TrackSource.ValueType = rtc.TrackSource.SOURCE_CAMERA
    auto_subscribe: bool = False
    single_peer_connection: bool = True
    events: list[str] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        self.room = rtc.Room()
        for event in ("reconnecting", "reconnected", "disconnected"):
            self.room.on(event, self._remember(event))
        self.video = rtc.VideoSource(*self.size)
        self._level = 120
        self._sending: asyncio.Task[None] | None = None

    async def join(self, access: RoomAccess) -> None:
        """Raises rtc.ConnectError. Never cancelled: the SDK does not bear it."""
        options = rtc.RoomOptions(
            auto_subscribe=self.auto_subscribe,
            dynacast=False,
            connect_timeout=2.0,
            single_peer_connection=self.single_peer_connection,
        )
        await self.room.connect(access.url, access.token, options)

    async def publish(self) -> None:
        """Publish a new track. It must be made after the join (SDK 1.2.1): one made before crashes the process when it
        is dropped after the server has closed the room."""
        await self.pause()
        self.track = rtc.LocalVideoTrack.create_video_track("camera", self.video)
        self._send()
        options = rtc.TrackPublishOptions(
            source=self.source,
            simulcast=self.simulcast,
            video_codec=self.codec,
            video_encoding=rtc.VideoEncoding(max_bitrate=1_000_000, max_framerate=30),
            degradation_preference=rtc.DegradationPreference.MAINTAIN_RESOLUTION.value,
        )
        await self.room.local_participant.publish_track(self.track, options)
        self._sending = asyncio.create_task(self._keep_sending())

    def show(self, level: int) -> None:
        """Send a picture of this brightness now, and from now on."""
        self._level = level
        self._send()

    async def pause(self) -> None:
        """Send no more but what `show` asks for."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait([self._sending])

    async def stop(self) -> None:
        await self.pause()
        await self.room.disconnect()

    def _send(self) -> None:
        self.video.capture_frame(picture(*self.size, self._level))
        self.sent += 1

    async def _keep_sending(self) -> None:
        while True:
            await asyncio.sleep(1 / self.fps)
            self._send()

    def _remember(self, event: str) -> Callable[..., None]:
        return lambda *details: self.events.append(event)


@contextlib.asynccontextmanager
async def publishing(access: RoomAccess, publisher: SdkPublisher | None = None) -> AsyncIterator[SdkPublisher]:
    """`publisher` (or a plain one) in the room that `access` opens, its track published."""
    publisher = publisher or SdkPublisher()
    await publisher.join(access)
    try:
        await publisher.publish()
        yield publisher
    finally:
        await publisher.stop()


@dataclass(frozen=True)
class Bed:
    """A room server, and access to its room STREAM that grants everything: a real one refuses what is not granted."""

    rooms: MediaAdapter
    loose: RoomAccess
