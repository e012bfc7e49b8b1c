"""A jitter buffer that gives a video frame away as soon as its last packet is in."""

from __future__ import annotations

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket

_CAPACITY = 512  # packets, as aiortc has it; at 720p even a keyframe stays under 150
_ATTRIBUTE = "_RTCRtpReceiver__jitter_buffer"


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


def install(receiver: RTCRtpReceiver) -> None:
    """Give `receiver` a MarkerBuffer, before its first packet.

    aiortc has no option for it, so this replaces a private attribute. Raises RuntimeError when aiortc no longer has it.
    """
    if not isinstance(getattr(receiver, _ATTRIBUTE, None), JitterBuffer):
        raise RuntimeError("this version of aiortc keeps its jitter buffer elsewhere; 1.16 is known to fit")
    setattr(receiver, _ATTRIBUTE, MarkerBuffer())
