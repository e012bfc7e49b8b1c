"""What aiortc's receiver does too late or too timidly for a test bed, put right.

aiortc (1.16) has no options for these, so `adjust` replaces two private attributes of its receiver.
"""

from __future__ import annotations

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rate import RemoteBitrateEstimator
from aiortc.rtp import RtpPacket

_CAPACITY = 512  # packets, as aiortc has it; at 720p even a keyframe stays under 150
_BITRATE = 6_000_000  # bit/s; what the SDK estimates on a LAN towards a livekit-server (measured: 5.2 to 6.0)
_INTERVAL_MS = 500


class MarkerBuffer(JitterBuffer):
    """aiortc's buffer, but a frame ends at the RTP marker bit (RFC 7741 section 4.1, RFC 6184 section 5.1).

    aiortc (1.16) takes a frame for complete when the first packet of the *next* one arrives. At 0.5 frames a second
    every picture would be seen 2 s late, and every age that the simulator measures be wrong by a publish interval.
    """

    def __init__(self) -> None:
        super().__init__(capacity=_CAPACITY, is_video=True)

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        self._drop_padding()
        packets: list[RtpPacket] = []
        for packet in self._contiguous():
            if packets and packet.timestamp != packets[0].timestamp:
                return self._take(packets)
            packets.append(packet)
            if packet.marker:
                return self._take(packets)
        return None

    def _contiguous(self) -> list[RtpPacket]:
        """The packets from the oldest up to the first hole."""
        found: list[RtpPacket] = []
        assert self._origin is not None  # `add` has set it
        for offset in range(self._capacity):
            packet = self._packets[(self._origin + offset) % self._capacity]
            if packet is None:
                break
            found.append(packet)
        return found

    def _drop_padding(self) -> None:
        """Probing sends empty packets after a frame's marker: they begin no frame (and would flush the decoder)."""
        assert self._origin is not None
        while (packet := self._packets[self._origin % self._capacity]) is not None and not _data(packet):
            self.remove(1)

    def _take(self, packets: list[RtpPacket]) -> JitterFrame:
        self.remove(len(packets))
        return JitterFrame(data=b"".join(map(_data, packets)), timestamp=packets[0].timestamp)


def _data(packet: RtpPacket) -> bytes:
    """The depacketised payload, which RTCRtpReceiver hangs onto the packet before it adds it."""
    data: bytes = packet._data  # type: ignore[attr-defined]
    return data


class SteadyEstimate:
    """In place of aiortc's bandwidth estimator: tells the sender (REMB) that there is always `_BITRATE`.

    A real server lets the sender estimate (transport-wide feedback), which aiortc does not speak. Its own estimator
    follows the rate that arrives, so the sender was held at 150-480 kbit/s: a 720p30 camera came at 0.6 fps. With this
    the sender still backs off when it sees loss.
    """

    def __init__(self) -> None:
        self._ssrcs: set[int] = set()
        self._sent_ms: int | None = None

    def add(
        self, arrival_time_ms: int, abs_send_time: int, payload_size: int, ssrc: int
    ) -> tuple[int, list[int]] | None:
        self._ssrcs.add(ssrc)
        if self._sent_ms is not None and arrival_time_ms - self._sent_ms < _INTERVAL_MS:
            return None
        self._sent_ms = arrival_time_ms
        return _BITRATE, sorted(self._ssrcs)


def adjust(receiver: RTCRtpReceiver) -> None:
    """Give the video receiver `receiver` our parts, before its first packet.

    Raises RuntimeError when this version of aiortc keeps them elsewhere.
    """
    _replace(receiver, "_RTCRtpReceiver__jitter_buffer", JitterBuffer, MarkerBuffer())
    _replace(receiver, "_RTCRtpReceiver__remote_bitrate_estimator", RemoteBitrateEstimator, SteadyEstimate())


def _replace(receiver: RTCRtpReceiver, name: str, former: type, part: object) -> None:
    if not isinstance(getattr(receiver, name, None), former):
        raise RuntimeError(f"this version of aiortc has no {name.partition('__')[2]} to replace; 1.16 is known to fit")
    setattr(receiver, name, part)
