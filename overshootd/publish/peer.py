"""What aiortc is given, and what it keeps to itself: the frames, the other side's word on them, the path they take.

It has no event for what a receiver asks, and no way to its own checks of the path; for both this reaches into it
(aiortc 1.16, aioice 0.13).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aioice import Connection, stun
from aioice.ice import CandidatePair
from aiortc import RTCRtpSender
from aiortc.codecs import h264, vpx
from aiortc.mediastreams import VIDEO_CLOCK_RATE, MediaStreamTrack
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)

from overshootd.contracts import AccessUnit
from overshootd.ffmpeg.packet import packet
from overshootd.handoff import Handoff
from overshootd.publish.feedback import Feedback

if TYPE_CHECKING:
    from overshootd.ffmpeg.packet import AnyPacket

PAYLOAD_BYTES = 1180
"""Of a packet. With the headers of RTP, SRTP, a relay, UDP and IPv6 that is 1280, which every path of IPv6 takes and
nearly every other; aiortc's 1300 vanish in tunnels whose routers do not say why."""

ASKED_AGAIN = 1
"""So often is each question repeated, after 0.5 s; an answer may then take 1.5 s."""


def make_packets_small() -> None:
    """In this process: aiortc has its size as a constant of its modules."""
    vpx.PACKET_MAX = h264.PACKET_MAX = PAYLOAD_BYTES


class FrameTrack(MediaStreamTrack):
    """A bounded run of frames; when nobody takes them, those up to the next keyframe are dropped.

    Frames and not pictures: what aiortc is to encode it encodes in the event loop's default executor, which is there
    for names alone, and with 250 kbit/s (H.264: 500) at least, of which a plan for 0.5 fps has a quarter.
    """

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._handoff = Handoff()
        self._came = asyncio.Event()
        self._taken = self._put = 0
        self._origin_ns: int | None = None
        self._ticks = -1
        self.sent = 0
        """Frames that are packets on their way."""
        self.first_sent = asyncio.Event()

    @property
    def pushed(self) -> int:
        """Frames that were sent, or will be."""
        return self._put - self._handoff.dropped

    @property
    def dropped(self) -> int:
        return self._handoff.dropped

    def put(self, frame: AccessUnit) -> bool:
        """Send this next. True when nothing can be sent before a keyframe."""
        self._put += 1
        wanted = self._handoff.put(frame)
        self._came.set()
        return wanted

    async def recv(self) -> AnyPacket:
        """For aiortc, which asks for the next frame once it has sent the one before."""
        self.sent = self._taken
        if self.sent:
            self.first_sent.set()
        while not isinstance(frame := self._handoff.take(), AccessUnit):
            self._came.clear()
            await self._came.wait()
        self._taken += 1
        return packet(frame.data, self._time(frame.captured_ns), VIDEO_CLOCK_RATE)

    def _time(self, captured_ns: int) -> int:
        """RTP ticks since the first frame. They rise: two frames of one time would be one to the receiver."""
        if self._origin_ns is None:
            self._origin_ns = captured_ns
        self._ticks = max(self._ticks + 1, (captured_ns - self._origin_ns) * VIDEO_CLOCK_RATE // 10**9)
        return self._ticks


class Path:
    """The two addresses that ICE has chosen for a sender, once it has."""

    def __init__(self, sender: RTCRtpSender) -> None:
        self._sender = sender

    @property
    def hosts(self) -> frozenset[str]:
        """Where packets go: to the other side, or to a relay, by its name."""
        if (pair := self._pair()) is None:
            return frozenset()
        relay = self._agent.turn_server
        if pair.local_candidate.type == "relay" and relay is not None:
            return frozenset({relay[0]})
        return frozenset({pair.remote_addr[0]})

    async def answers(self) -> bool:
        """Whether the other side answers a check now, as RFC 7675 has it. aiortc sends one every 5 s, and does not tell
        what came of it. Takes 1.5 s at most."""
        if (pair := self._pair()) is None:
            return False
        password = (self._agent.remote_password or "").encode()
        request = self._agent.build_request(pair, nominate=False)
        try:
            await pair.protocol.request(request, pair.remote_addr, password, retransmissions=ASKED_AGAIN)
        except stun.TransactionError:
            return False
        return True

    @property
    def _agent(self) -> Connection:
        return self._sender.transport.transport.iceGatherer._connection

    def _pair(self) -> CandidatePair | None:
        return self._agent._nominated.get(1)


def listen(sender: RTCRtpSender, feedback: Feedback) -> None:
    """Let `feedback` hear what the receiver says. aiortc heeds it for what it encodes itself, and has no event."""
    heed = sender._handle_rtcp_packet

    async def heard(packet: AnyRtcpPacket) -> None:
        match packet:
            case RtcpPsfbPacket(fmt=fmt) if fmt in (RTCP_PSFB_PLI, RTCP_PSFB_FIR):
                feedback.keyframe()
            case RtcpPsfbPacket(fmt=fmt) if fmt == RTCP_PSFB_APP:
                _estimate(packet, sender._ssrc, feedback)
            case RtcpRrPacket() | RtcpSrPacket():
                for report in packet.reports:
                    if report.ssrc == sender._ssrc:
                        feedback.report(report.highest_sequence, report.packets_lost, report.fraction_lost / 256)
        await heed(packet)

    sender._handle_rtcp_packet = heard  # type: ignore[method-assign]


def _estimate(packet: RtcpPsfbPacket, ssrc: int, feedback: Feedback) -> None:
    try:
        bits_per_second, ssrcs = unpack_remb_fci(packet.fci)
    except ValueError:
        return  # another application's message
    if ssrc in ssrcs:
        feedback.estimate(bits_per_second)
