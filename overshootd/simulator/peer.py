"""One peer connection that receives: an offer comes in, an answer goes out, and what arrives is shown to an Eye."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import socket
import time
from collections.abc import Callable

import numpy as np
from aioice import Candidate, Connection
from aioice.ice import get_host_addresses
from aiortc import RTCConfiguration, RTCIceGatherer, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.sdp import SessionDescription, candidate_from_sdp
from av import VideoFrame

from overshootd.simulator import receiving
from overshootd.simulator.media import ArrivedFrame, Eye, Luma

_LOG = logging.getLogger(__name__)
_REFUSALS = (ValueError, InternalError, InvalidAccessError, InvalidStateError, OperationError)
# what aiortc's parser of SDP raises for text that is none: it checks little, and leaves the rest to chance
_UNREADABLE = (ValueError, AssertionError, LookupError, StopIteration, AttributeError, TypeError)
_UNANSWERABLE = "the SDP offer cannot be answered"
_ONLY_LOOPBACK = (
    "this machine has no network address but loopback, which WebRTC cannot use: connect it to a network, or make an"
    " interface that leads nowhere: sudo ip link add dummy0 type dummy; sudo ip address add 192.0.2.1/24 dev dummy0;"
    " sudo ip link set dummy0 up"
)


class OfferError(ValueError):
    """The offer cannot be answered; the text says why."""


class Peer:
    """Takes one publisher's media. Frames of its video track go to `eye`; whatever else comes is a violation.

    `advertise`: the only address to offer, None for every address but loopback.
    `lost`: called once when the connection failed or the other side closed it, not after `close`.
    """

    def __init__(self, eye: Eye, advertise: str | None, lost: Callable[[str], None]) -> None:
        self._eye, self._advertise, self._lost = eye, advertise, lost
        # explicitly no servers: with None aiortc would ask a public STUN server
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connection.on("track", self._take)
        self._connection.on("connectionstatechange", self._state_changed)
        self._drains: set[asyncio.Task[None]] = set()
        self._watched: MediaStreamTrack | None = None
        self._sent = 0  # tracks
        self._gone = False
        self._deadline: asyncio.TimerHandle | None = None

    async def answer(self, offer: str) -> str:
        """A complete answer, candidates included, to an SDP offer. May be called again to renegotiate.

        Raises OfferError.
        """
        _demand_offer(offer)
        if "a=simulcast:" in offer:
            self._eye.violation("simulcast: the offer has more than one layer")
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
            if self._advertise is not None:
                for gatherer in _ice_gatherers(self._connection):
                    if gatherer.state == "new":
                        _restrict(gatherer._connection, self._advertise)
            await self._connection.setLocalDescription(await self._connection.createAnswer())
            self._choose_track()
        except _REFUSALS as error:
            raise OfferError(f"{_UNANSWERABLE}: {error} (VP8, H.264 and Opus are understood)") from error
        return self._connection.localDescription.sdp

    async def add_candidate(self, init: str) -> None:
        """Add a trickled candidate, in the JSON form of RTCIceCandidateInit. Raises OfferError."""
        try:
            fields = json.loads(init)
            if not (line := fields.get("candidate", "").removeprefix("candidate:")):
                return  # the end of candidates
            candidate = candidate_from_sdp(line)
            candidate.sdpMid, candidate.sdpMLineIndex = fields.get("sdpMid"), fields.get("sdpMLineIndex")
            await self._connection.addIceCandidate(candidate)
        except (ValueError, AssertionError, AttributeError) as error:
            raise OfferError(f"not an ICE candidate: {init!r}") from error

    def demand_connection(self, seconds: float) -> None:
        """Count the other side as lost unless it is connected within `seconds`; ICE itself would wait for ever for one
        that offered no candidates and never came."""
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._demand_connected, seconds)

    async def close(self) -> None:
        """End the connection and everything that it started. Idempotent."""
        self._gone = True
        if self._deadline is not None:
            self._deadline.cancel()
        await self._connection.close()
        for drain in self._drains:
            drain.cancel()
        await asyncio.gather(*self._drains, return_exceptions=True)

    def _take(self, track: MediaStreamTrack) -> None:
        """A track of the offer. Every track is read to its end: aiortc's queue of frames has no bound."""
        for transceiver in self._connection.getTransceivers():
            if transceiver.receiver.track is track and track.kind == "video":
                receiving.adjust(transceiver.receiver)
        drain = asyncio.create_task(self._drain(track), name=f"drain {track.id}")
        self._drains.add(drain)
        drain.add_done_callback(self._drains.discard)

    def _choose_track(self) -> None:
        """Watch the newest video track that is being sent; a publisher may replace its track, but has one at a time."""
        sent = [t.receiver.track for t in self._connection.getTransceivers() if t.currentDirection == "recvonly"]
        if len(sent) > max(1, self._sent):
            self._eye.violation(f"{len(sent)} tracks at a time: {', '.join(track.kind for track in sent)}")
        self._sent = len(sent)
        videos = [track for track in sent if track.kind == "video"]
        if self._watched not in videos:
            self._watched = videos[-1] if videos else None

    async def _drain(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return  # the track has ended
            if track is self._watched and isinstance(frame, VideoFrame):
                self._eye.frame(arrived(frame))

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        _LOG.debug("peer connection: %s", state)
        if state in ("failed", "closed"):
            self._lose(f"peer connection {state}")

    def _demand_connected(self, seconds: float) -> None:
        if self._connection.connectionState != "connected":
            self._lose(f"not connected within {seconds:g} s")

    def _lose(self, why: str) -> None:
        if not self._gone:
            self._gone = True
            self._lost(why)


def _demand_offer(offer: str) -> None:
    try:
        media = SessionDescription.parse(offer).media
    except _UNREADABLE as error:
        raise OfferError(f"{_UNANSWERABLE}: it is no SDP ({error!r})") from error
    if not media:
        raise OfferError(f"{_UNANSWERABLE}: it has no media section")
    if any(section.dtls is None or not section.dtls.fingerprints for section in media):
        raise OfferError(f"{_UNANSWERABLE}: it has no DTLS fingerprint")


async def host_address(host: str | None) -> str | None:
    """The address that ICE shall offer for `host` (a name or an address); None means every address but loopback.

    Raises RuntimeError when `host` is none of this machine, or when there is nothing but loopback.
    """
    if host is None:
        if not get_host_addresses(use_ipv4=True, use_ipv6=True):
            raise RuntimeError(_ONLY_LOOPBACK)
        return None
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
        family, kind, _, _, address = found[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError as error:
        raise RuntimeError(f"cannot offer {host} for media: it is no address of this machine ({error})") from error
    return str(address[0])


def first_address() -> str:
    """An address of this machine that is not loopback, IPv4 if there is one. Raises RuntimeError when there is none."""
    addresses = get_host_addresses(use_ipv4=True, use_ipv6=False) or get_host_addresses(use_ipv4=False, use_ipv6=True)
    if not addresses:
        raise RuntimeError(_ONLY_LOOPBACK)
    return addresses[0]


def arrived(frame: VideoFrame) -> ArrivedFrame:
    """`frame` as it leaves the decoder now. The Y plane is looked at only when asked for, and not copied."""
    return ArrivedFrame(frame.width, frame.height, time.time(), functools.partial(_luma, frame))


def _luma(frame: VideoFrame) -> Luma:
    plane = frame.planes[0]  # yuv420p and its kin: one byte a sample, lines padded to line_size
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return lines[: frame.height, : frame.width]


def _ice_gatherers(connection: RTCPeerConnection) -> set[RTCIceGatherer]:
    transports = [transceiver.receiver.transport for transceiver in connection.getTransceivers()]
    if connection.sctp is not None:
        transports.append(connection.sctp.transport)
    return {transport.transport.iceGatherer for transport in transports}


def _restrict(agent: Connection, address: str) -> None:
    """Let ICE use `address` only. aiortc has no option for it; this is where aioice is told the addresses to use."""
    gather = agent.get_component_candidates

    async def candidates(component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:
        return await gather(component, [address], timeout)

    agent.get_component_candidates = candidates  # type: ignore[method-assign]
