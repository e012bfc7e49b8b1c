"""VP8 from libvpx, for a transport that leaves encoding to us.

It is set as libwebrtc sets it: with that the bitrates of plans were measured (pacing.py).
"""

from __future__ import annotations

from fractions import Fraction

import av
from av.video.frame import PictureType

from overshootd.contracts import AccessUnit, Picture
from overshootd.errors import Transient
from overshootd.ffmpeg.errors import FFMPEG_ERRORS
from overshootd.ffmpeg.frame import frame_of
from overshootd.ffmpeg.lazy import VideoPacket

MICROSECONDS = Fraction(1, 1_000_000)

MOST_BETWEEN_KEYFRAMES = 3000
"""Frames. Receivers ask for those that they need."""

BUFFER_SECONDS = 1.0


class Vp8Encoder:
    """Pictures of one size in, one VP8 frame for each out. For one thread. Satisfies publish.worker.Encoder."""

    def __init__(self, width: int, height: int, fps: float, kbps: int) -> None:
        """Opens at the first picture."""
        self._size, self._fps, self._kbps = (width, height), fps, kbps
        self._context: av.VideoCodecContext | None = None
        self._pts = 0

    def encode(self, picture: Picture, *, keyframe: bool = False) -> list[AccessUnit]:
        """One VP8 frame. Raises Transient."""
        frame = frame_of(picture).reformat(format="yuv420p")
        # Times that rise, whatever the camera's do. The encoder shares its bits out by them.
        self._pts = max(self._pts + 1, picture.captured_ns // 1000)
        frame.pts, frame.time_base = self._pts, MICROSECONDS
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        return [
            AccessUnit(data, *self._size, _is_keyframe(data), picture.captured_ns)
            for data in map(bytes, self._send(frame))
        ]

    def set_kbps(self, kbps: int) -> None:
        """From the next picture on, which will be a keyframe: FFmpeg tells libvpx the rate when it opens it."""
        self._kbps = kbps
        self.close()

    def close(self) -> None:
        self._context = None  # which closes it

    def _send(self, frame: av.VideoFrame) -> list[VideoPacket]:
        try:
            if self._context is None:
                self._context = self._open()
            return self._context.encode(frame)
        except FFMPEG_ERRORS as error:
            raise Transient(f"libvpx failed: {error.strerror or error}") from error
        except av.codec.codec.UnknownCodecError as error:
            raise Transient("this FFmpeg has no libvpx") from error

    def _open(self) -> av.VideoCodecContext:
        context = av.CodecContext.create("libvpx", "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height = self._size
        context.pix_fmt = "yuv420p"
        context.time_base = MICROSECONDS
        context.framerate = Fraction(self._fps).limit_denominator(1000)
        context.bit_rate = self._kbps * 1000
        context.gop_size = MOST_BETWEEN_KEYFRAMES
        context.qmin, context.qmax = 2, 56
        context.thread_count = 1  # a Pi has other work
        context.options = {
            "deadline": "realtime",
            "cpu-used": "-6",
            "lag-in-frames": "0",
            # A constant rate, which is what equal bounds mean to FFmpeg's wrapper.
            "minrate": str(context.bit_rate),
            "maxrate": str(context.bit_rate),
            "bufsize": str(round(context.bit_rate * BUFFER_SECONDS)),
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            "max-intra-rate": "300",
            "static-thresh": "1",
            "noise-sensitivity": "0",
        }
        context.open()
        return context


def _is_keyframe(data: bytes) -> bool:
    """The frame tag's first bit (RFC 6386 section 9.1)."""
    return bool(data) and not data[0] & 1
