"""The legacy transport with `aiortc`: one offer, one answer, one peer connection (api/README.md, v0.2 point 1).

aiortc's traps are kept in here. Without ICE servers it asks a public one; gathering must not be cancelled; it cannot
begin anew on another path, and takes 30 s to see that one is dead; the receiver's wishes it keeps to itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.stats import RTCOutboundRtpStreamStats, RTCRemoteInboundRtpStreamStats, RTCTransportStats

from overshootd.contracts import (
    AccessUnit,
    Answer,
    IceServer,
    Log,
    Media,
    Publisher,
    PublishPlan,
    PublishStats,
    Target,
    Wish,
)
from overshootd.errors import Congested, Transient, Unreachable
from overshootd.ffmpeg.encoder import H264Encoder
from overshootd.ffmpeg.vp8 import Vp8Encoder
from overshootd.publish.feedback import Feedback, Narrow
from overshootd.publish.first import within_reach
from overshootd.publish.hardware import HardwarePublisher
from overshootd.publish.health import Counters, Health
from overshootd.publish.ice import IceServers
from overshootd.publish.peer import FrameTrack, Path, listen, make_packets_small
from overshootd.publish.worker import Encoder

CODECS = {"vp8": "video/VP8", "h264": "video/H264"}

X264 = {"preset": "superfast", "profile": "baseline", "tune": "zerolatency", "forced-idr": "1"}

KEYFRAME_SECONDS = 2.0
"""Between keyframes of a camera's encoder, at most: not every receiver asks for those that it needs."""

GATHER_SECONDS = 8.0
"""For candidates. aioice gives servers that do not answer 5 s; the bound is for a lookup or an interface that hangs."""

CONNECT_SECONDS = 15.0
"""For ICE and DTLS: some six round trips, and lost packets of either are sent again after 0.5, 1, 2 s …"""

SENT_SECONDS = 5.0
"""For the first frame, which leaves in milliseconds unless the answer did not take the track."""

LEAVE_SECONDS = 3.0
"""For the end, which takes milliseconds. Towards a relay that is silent aioice gives up after 64 s."""

LOOK_SECONDS = 0.5

ASK_SECONDS = 1.0
"""After so much silence the other side is asked whether it is there. Receivers report once a second."""

FAULTS = (ValueError, InternalError, InvalidAccessError, InvalidStateError, OperationError, ConnectionError)
UNREADABLE = (*FAULTS, AssertionError, LookupError, StopIteration, AttributeError, TypeError)
"""What aiortc's parser raises for what is no SDP: it checks little, and leaves the rest to chance."""


class WebRtc:
    """aiortc in this process: makes publishers, and owns what outlives theirs."""

    def __init__(self) -> None:
        make_packets_small()
        self._leaving: set[asyncio.Task[None]] = set()
        self.connected: dict[PeerPublisher, frozenset[str]] = {}
        """The hosts that each connected publisher sends to: names or addresses."""

    def publisher(self, plan: PublishPlan, servers: IceServers, log: Log) -> Publisher:
        """`servers` are the stream's own: its publishers share what they learn."""
        if plan.encoded:
            return PeerPublisher(self, plan, servers, log, keyframe_seconds=KEYFRAME_SECONDS)
        if plan.codec not in CODECS:
            log.info(f"legacy WebRTC has no {plan.codec.upper()}: VP8 is published")
            plan = replace(plan, codec="vp8")
        inner = PeerPublisher(self, replace(plan, encoded=True), servers, log, keyframe_seconds=None)
        return HardwarePublisher(inner, _encoder(plan), plan, log, _no_other_way)

    def peers(self) -> frozenset[str]:
        """Every host that video goes to now."""
        return frozenset().union(*self.connected.values())

    def own(self, leaving: asyncio.Task[None]) -> None:
        """Let the end of a connection take the time that it takes."""
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def close(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for connections that are still ending. What is left dies with the process."""
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=timeout)


def _encoder(plan: PublishPlan) -> Encoder:
    kbps = plan.max_bitrate // 1000
    if plan.codec == "h264":
        bound = {"maxrate": str(plan.max_bitrate), "bufsize": str(plan.max_bitrate)}
        return H264Encoder("libx264", plan.width, plan.height, plan.fps, kbps, X264 | bound)
    return Vp8Encoder(plan.width, plan.height, plan.fps, kbps)


def _no_other_way(why: str) -> None:
    """A software encoder that fails is tried again; the error itself says why."""


@dataclass(slots=True)
class _Seen:
    """aiortc's totals, as they were last seen; `round_trip` in seconds."""

    received: int = 0
    bytes_sent: int = 0
    packets_sent: int = 0
    """Of the track alone."""
    round_trip: float | None = None


class PeerPublisher:
    """One peer connection with one track of frames that are encoded already. Satisfies contracts.Publisher."""

    def __init__(
        self, owner: WebRtc, plan: PublishPlan, servers: IceServers, log: Log, *, keyframe_seconds: float | None
    ) -> None:
        """`keyframe_seconds`: wish the encoder to send a keyframe so often, though nobody asked."""
        self._owner, self._plan, self._servers, self._log = owner, plan, servers, log
        self._track = FrameTrack()
        self._feedback = Feedback(keyframe_seconds)
        self._told = servers.next()
        self._connection = _connection(self._told)
        self._sender = self._prepared()
        self._path = Path(self._sender)
        self._gathering: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._up: asyncio.Future[None] = loop.create_future()
        self._lost: asyncio.Future[str] = loop.create_future()
        self._seen = _Seen()
        self._answers = 0
        self._heard = (0, 0.0)  # what had arrived, and when the last of it was seen
        self._health, self._narrow = Health(time.monotonic()), Narrow(time.monotonic())

    # -- the offer

    async def source(self) -> Mapping[str, Any]:
        self._say_left_out()
        # Never cancelled: aioice would leave a relay's allocation behind, and renew it for ever.
        self._gathering = asyncio.create_task(_gather(self._connection), name="gather candidates")
        await asyncio.wait([self._gathering], timeout=GATHER_SECONDS)
        if not self._gathering.done():
            raise Transient(f"no offer within {GATHER_SECONDS:g} s: gathering its candidates hangs")
        try:
            self._gathering.result()
        except (*FAULTS, OSError) as error:
            raise Transient(f"an offer could not be made: {error}") from error
        offer = self._connection.localDescription.sdp
        if "a=candidate:" not in offer:
            raise Unreachable("this machine has no network address but loopback, which WebRTC cannot use")
        self._look_for_relay(offer)
        return {"type": "webrtc", "sdp": offer}

    def _prepared(self) -> RTCRtpSender:
        """The track's sender, for the plan's codec alone."""
        self._connection.on("connectionstatechange", self._on_state)
        self._track.on("ended", lambda: self._lose("the library ended the track"))
        transceiver = self._connection.addTransceiver(self._track, direction="sendonly")
        wanted = (CODECS[self._plan.codec], "video/rtx")
        offered = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences([codec for codec in offered if codec.mimeType in wanted])
        listen(transceiver.sender, self._feedback)
        return transceiver.sender

    def _look_for_relay(self, offer: str) -> None:
        relays = [server.url for server in self._told if server.url.startswith("turn")]
        if relays and " typ relay" not in offer:
            self._servers.failed()
            self._log.warning(f"{relays[0]} gave no relay; the next connection asks another, if there is one")

    # -- the connection

    async def connect(self, target: Target | None, first: Callable[[], Awaitable[Media]]) -> None:
        if not isinstance(target, Answer):
            raise Transient("the API answered no offer")
        self._servers.learned(target.turn_servers)
        self._say_left_out()
        await self._accept(target.sdp)
        self._owner.connected[self] = self._path.hosts
        self.push(await within_reach(first))
        try:
            async with asyncio.timeout(SENT_SECONDS):
                await self._track.first_sent.wait()
        except TimeoutError as error:
            raise Transient(f"no frame was sent within {SENT_SECONDS:g} s of the connection") from error
        self._health, self._narrow = Health(time.monotonic()), Narrow(time.monotonic())

    def _say_left_out(self) -> None:
        if useless := self._servers.left_out():
            self._log.warning(
                f"ICE servers of no use here: {', '.join(useless)}; what is: stun, turn over udp or tcp, turns, "
                "each at a name or an IPv4 address, and turn and turns with a user name and password"
            )

    async def _accept(self, sdp: str) -> None:
        """Raises Transient unless that makes a connection."""
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer"))
        except UNREADABLE as error:
            raise Transient(f"the answer to the offer is of no use: {error!r}") from error
        either: list[asyncio.Future[Any]] = [self._up, self._lost]
        await asyncio.wait(either, timeout=CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if self._up.done() and not self._lost.done():
            return
        self._servers.failed()
        why = self._lost.result() if self._lost.done() else f"nothing within {CONNECT_SECONDS:g} s"
        raise Transient(f"no peer connection, neither directly nor by a relay: {why}")

    @property
    def connected(self) -> bool:
        return self._up.done() and not self._lost.done()

    async def rejoin(self) -> None:
        raise Transient("a legacy connection cannot begin anew on another path: it takes a new stream")

    def push(self, media: Media) -> Wish:
        if not isinstance(media, AccessUnit):
            raise TypeError("this publisher sends what is encoded already; it takes no pictures")
        if (media.width, media.height) != (self._plan.width, self._plan.height):
            raise Transient(
                f"the camera's H.264 has changed from {self._plan.width}x{self._plan.height} "
                f"to {media.width}x{media.height}"
            )
        wanted = self._track.put(media)
        wish = self._feedback.wish(media, self._plan.max_bitrate // 1000)
        return wish._replace(keyframe=wish.keyframe or wanted)

    async def watch(self) -> None:
        asking = asyncio.create_task(self._ask_when_silent(), name="ask whether it is there")
        either: list[asyncio.Future[Any]] = [self._lost, asking]
        try:
            while not any(future.done() for future in either):
                await asyncio.wait(either, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                await self._look()
            if not self._lost.done():
                asking.result()  # it ends by an error of ours alone
            raise Transient(f"the connection was lost: {self._lost.result()}")
        finally:
            asking.cancel()
            await asyncio.wait([asking])

    async def _look(self) -> None:
        """Raises Transient when nothing arrives any more."""
        now, seen = time.monotonic(), await self._totals()
        responses = seen.received + self._answers
        if responses != self._heard[0]:
            self._heard = responses, now
        if why := self._health.broken(Counters(now, responses, self._track.sent, self._track.pushed)):
            raise Transient(why)
        why = self._narrow.look(now, seen.packets_sent, self._feedback.arrived)
        if why and self._plan.replaceable:
            raise Congested(why)

    async def _ask_when_silent(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if time.monotonic() - self._heard[1] >= ASK_SECONDS:
                self._answers += await self._path.answers()

    async def stats(self) -> PublishStats:
        seen = await self._totals() if self._up.done() else self._seen
        return PublishStats(self._track.sent, seen.bytes_sent, seen.round_trip)

    async def _totals(self) -> _Seen:
        for entry in (await self._sender.getStats()).values():
            match entry:
                case RTCTransportStats():
                    self._seen.received, self._seen.bytes_sent = entry.packetsReceived, entry.bytesSent
                case RTCOutboundRtpStreamStats():
                    self._seen.packets_sent = entry.packetsSent
                case RTCRemoteInboundRtpStreamStats():
                    self._seen.round_trip = entry.roundTripTime
        return self._seen

    # -- the end

    async def close(self) -> None:
        self._owner.connected.pop(self, None)
        if self._up.done():
            await self._totals()
            self._log.info(
                "closing the peer connection",
                frames_encoded=self._track.sent,
                bytes_sent=self._seen.bytes_sent,
                skipped=self._track.dropped,
            )
        closing = asyncio.create_task(
            _close(self._connection, self._gathering, self._log), name="close a peer connection"
        )
        self._owner.own(closing)
        await asyncio.wait([closing], timeout=LEAVE_SECONDS)
        if not closing.done():
            self._log.info("the end of a peer connection is left to itself: its relay does not answer")

    def _on_state(self) -> None:
        state = self._connection.connectionState
        if state == "connected" and not self._up.done():
            self._up.set_result(None)
        elif state in ("failed", "closed"):
            self._lose(f"peer connection {state}")

    def _lose(self, why: str) -> None:
        if not self._lost.done():
            self._lost.set_result(why)


def _connection(servers: list[IceServer]) -> RTCPeerConnection:
    # Explicitly, also when there are none: with None aiortc would ask a public STUN server.
    told = [RTCIceServer(server.url, server.username, server.credential) for server in servers]
    return RTCPeerConnection(RTCConfiguration(iceServers=told))


async def _gather(connection: RTCPeerConnection) -> None:
    await connection.setLocalDescription(await connection.createOffer())


async def _close(connection: RTCPeerConnection, gathering: asyncio.Task[None] | None, log: Log) -> None:
    """End it and all that it started, gathering included, whose sockets are known when it is over."""
    if gathering is not None:
        await asyncio.gather(gathering, return_exceptions=True)
    try:
        await connection.close()
    except (*FAULTS, OSError) as error:
        log.error(f"the peer connection was not closed in order: {error!r}")
