"""Decoding as late as possible: what nobody looks at is never decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import av

from overshootd.errors import CameraLost
from overshootd.ffmpeg.errors import FFMPEG_ERRORS, lost

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

PENDING_PACKETS, PENDING_BYTES = 64, 4 * 2**20
"""What is kept undecoded at most: beyond, decoding it all when a picture is asked would take a Pi 4 half a second."""

SHOWN_PACKETS = 4
"""The last packets are decoded in full; in those before, frames that no other refers to are skipped."""

HELD_PACKETS = 4
"""Packets that a decoder of reordered frames wants after a keyframe before it shows that. H.264 allows 16, encoders
take 2 or 3."""

CORRUPT_PACKETS = 100
"""Packets in a row that cannot be decoded before the video counts as lost. FFmpeg's own tools go on for ever."""

VideoPacket: TypeAlias = "av.Packet[av.VideoStream]"  # generic in the stubs only


class LazyDecoder:
    """Packets since the last keyframe wait undecoded until a picture is wanted; at the next keyframe they are dropped,
    for nothing refers to them any more. So of MJPEG and the like only the wanted packets are decoded.
    """

    def __init__(self, context: VideoCodecContext, name: str) -> None:
        """Errors begin with `name`."""
        self._context, self._name = context, name
        context.thread_count = 1  # a Pi has other work; and each thread of FFmpeg holds back a frame
        self._pending: list[VideoPacket] = []
        self._pending_bytes = 0
        self._jump = False
        self._corrupt = 0
        self.newest: av.VideoFrame | None = None
        """The newest frame that was decoded since the last keyframe."""

    def add(self, packet: VideoPacket) -> None:
        """Take the next packet. Costs nothing, but for `full`."""
        self._pending.append(packet)
        self._pending_bytes += packet.size
        # With B-frames the keyframe must be some packets old: the decoder would have no picture to show until then.
        keyframe = len(self._pending) - 1 - (HELD_PACKETS if self.reorders else 0)
        if keyframe > 0 and self._pending[keyframe].is_keyframe:
            self._skip_to(keyframe)

    @property
    def reorders(self) -> bool:
        """Whether frames are shown in another order than they come (B-frames), as far as the decoder knows by now."""
        return bool(self._context.has_b_frames)

    @property
    def full(self) -> bool:
        """Whether more waits than should: decode it, or forget it until the next keyframe."""
        return len(self._pending) > PENDING_PACKETS or self._pending_bytes > PENDING_BYTES

    def forget(self) -> None:
        """Drop what waits. What comes next must be a keyframe."""
        self._skip_to(len(self._pending))

    def decode_pending(self) -> None:
        """Decode what waits. Raises CameraLost."""
        if self._jump:
            # What a seek does: frames that refer to the dropped ones must not be shown.
            self._context.flush_buffers()
            self.newest, self._jump = None, False
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        for index, packet in enumerate(pending):
            self._context.skip_frame = "NONREF" if len(pending) - index > SHOWN_PACKETS else "DEFAULT"
            self._decode(packet)

    def decode(self, packet: VideoPacket | None) -> None:
        """Decode this one in full; None drains the frames that the decoder holds back. Raises CameraLost."""
        self._context.skip_frame = "DEFAULT"
        self._decode(packet)

    def _skip_to(self, index: int) -> None:
        self._pending_bytes -= sum(packet.size for packet in self._pending[:index])
        del self._pending[:index]
        self._jump = True

    def _decode(self, packet: VideoPacket | None) -> None:
        try:
            frames = self._context.decode(packet)
        except av.InvalidDataError as error:
            self._corrupt += 1
            if self._corrupt >= CORRUPT_PACKETS:
                raise CameraLost(f"{self._name}: {self._corrupt} packets in a row cannot be decoded") from error
            return
        except FFMPEG_ERRORS as error:
            raise lost(self._name, error) from error
        if frames:
            self.newest, self._corrupt = frames[-1], 0
