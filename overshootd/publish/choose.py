"""Which publisher a plan gets: the library alone, or this machine's own encoder before it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from overshootd.config.model import StreamConfig
from overshootd.config.transports import IceUrl
from overshootd.contracts import IceServer, Log, Publisher, PublishPlan
from overshootd.publish.fallback import Fallback
from overshootd.publish.hardware import HardwarePublisher
from overshootd.publish.ice import DEFAULTS, IceServers
from overshootd.publish.livekit import LiveKit
from overshootd.publish.managed import ManagedPublisher, OwnRoom

if TYPE_CHECKING:
    from overshootd.publish.webrtc import WebRtc

PROBE = (sys.executable, "-m", "overshootd.ffmpeg.encoder")
"""Prints the name of the encoder that works, or an empty line."""

PROBE_SECONDS = 10.0
"""For a Python, FFmpeg and two pictures on a Pi Zero. A driver that takes longer hangs."""

KILL_SECONDS = 1.0

WIDTH_MULTIPLE = 64
"""Pixels. FFmpeg copies rows into a V4L2 encoder's buffers as they are, and drivers pad theirs."""


LEGACY_KEYFRAME_SECONDS = 2.0


class Encoders:
    """What this machine can encode with, found out once, when it is first asked."""

    def __init__(self, log: Log, *, probe: Sequence[str] = PROBE, devices: Path = Path("/dev")) -> None:
        self._log, self._probe, self._devices = log, probe, devices
        self._asking: asyncio.Task[str | None] | None = None

    async def name(self) -> str | None:
        """FFmpeg's name of the H.264 encoder that works here, or None."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="probe for an encoder")
        return await asyncio.shield(self._asking)

    @property
    def found(self) -> str | None:
        """The same, as far as it is known already."""
        known = self._asking is not None and self._asking.done() and not self._asking.cancelled()
        return self._asking.result() if self._asking is not None and known else None

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask(self) -> str | None:
        found = await self._tried() if any(self._devices.glob("video*")) else None
        if found is None:
            self._log.info("pictures are encoded in software: no encoder of this machine's own was found")
        else:
            self._log.info(f"pictures are encoded by this machine's own encoder, {found}")
        return found

    async def _tried(self) -> str | None:
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            # A process, because a driver may hang or crash it, and because it gives back what it loaded.
            child = await asyncio.create_subprocess_exec(*self._probe, stdin=null, stdout=pipe, stderr=null)
        except OSError as error:
            self._log.warning(f"no search for an encoder: {error}")
            return None
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                said, _ = await child.communicate()
            return said.decode().strip() or None
        except TimeoutError:
            self._log.warning(f"the search for an encoder hung for {PROBE_SECONDS:g} s and was ended")
            return None
        finally:
            await _killed(child)


async def _killed(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.kill()
        with contextlib.suppress(TimeoutError):  # in a driver that hangs it dies when that returns
            async with asyncio.timeout(KILL_SECONDS):
                await child.wait()


class Transports:
    """What carries video in this process. The legacy transport's library is loaded when a stream first needs it."""

    def __init__(self) -> None:
        self.livekit = LiveKit()
        self._webrtc: WebRtc | None = None

    @property
    def webrtc(self) -> WebRtc:
        if self._webrtc is None:
            from overshootd.publish.webrtc import WebRtc

            self._webrtc = WebRtc()
        return self._webrtc

    def peers(self) -> frozenset[str]:
        """Every host that video or signalling goes to now."""
        return self.livekit.peers() | (self._webrtc.peers() if self._webrtc else frozenset())

    async def close(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for joins and connections that outlived their publishers."""
        await self.livekit.close(timeout)
        if self._webrtc is not None:
            await self._webrtc.close(timeout)


class StreamPublishers:
    """The publishers of one stream. Satisfies contracts.Publishers."""

    def __init__(
        self, config: StreamConfig, transports: Transports, encoders: Encoders, log: Log, room: OwnRoom | None = None
    ) -> None:
        """`room`: the user's own, where the transport is livekit."""
        self._room = room
        self._fixed = None if config.transport.type == "auto" else config.transport.type
        self._transports, self._encoders, self._log = transports, encoders, log
        self._ice = IceServers(DEFAULTS if config.ice is None else tuple(map(_server, config.ice)))
        self._fallback = Fallback(time.monotonic)
        self._given_up = False

    @property
    def transport(self) -> str:
        return self._fixed or self._fallback.now

    @property
    def rejoins(self) -> bool:
        return self.transport != "webrtc"

    def notes(self) -> tuple[str, ...]:
        return () if self._room is None else tuple(self._room.notes(time.time()))

    def joined(self) -> None:
        self._fallback.joined()

    def not_joined(self) -> bool:
        if self._fixed is not None or not self._fallback.not_joined():
            return False
        way = "legacy WebRTC, for half an hour" if self._fallback.now == "webrtc" else "the native one"
        self._log.warning(f"the room cannot be joined though the API answers: the transport is {way}")
        return True

    async def another(self) -> None:
        left = None if self._fixed is not None else self._fallback.seconds_left
        if left is None:
            await asyncio.Event().wait()
        await asyncio.sleep(left or 0.0)

    @property
    def keyframe_seconds(self) -> float:
        # Who joins a room late asks for a keyframe; not every legacy receiver does, and not every camera heeds it.
        return LEGACY_KEYFRAME_SECONDS if self.transport == "webrtc" else math.inf

    async def hardware(self) -> bool:
        return not self._given_up and await self._encoders.name() is not None

    def __call__(self, plan: PublishPlan) -> Publisher:
        name = None if self._given_up or not _suits(plan) else self._encoders.found
        if name is None:
            return self._publisher(plan)
        from overshootd.ffmpeg.encoder import H264Encoder

        encoder = H264Encoder(name, plan.width, plan.height, plan.fps, plan.max_bitrate // 1000)
        return HardwarePublisher(self._publisher(replace(plan, encoded=True)), encoder, plan, self._log, self._give_up)

    def _publisher(self, plan: PublishPlan) -> Publisher:
        match self.transport:
            case "native":
                return self._transports.livekit.publisher(plan, self._log)
            case "webrtc":
                return self._transports.webrtc.publisher(plan, self._ice, self._log)
            case "livekit" if self._room is not None:
                return ManagedPublisher(self._transports.livekit.publisher(plan, self._log), self._room)
            case other:
                raise AssertionError(other)

    def _give_up(self, why: str) -> None:
        """One failure is enough: a thread in a driver that hangs is left behind for ever."""
        self._given_up = True
        self._log.warning(f"{why}; this stream is encoded in software from now on")


def _server(one: IceUrl) -> IceServer:
    return IceServer(one.url, one.username, one.credential.reveal() if one.credential else None)


def _suits(plan: PublishPlan) -> bool:
    return plan.codec == "h264" and not plan.encoded and plan.width % WIDTH_MULTIPLE == 0
