"""H.264 from an encoder that FFmpeg drives: the one of the board, where it has one.

`h264_v4l2m2m` is what a Raspberry Pi up to the 4 has; it has not been tried on one, only the code around it has, with
libx264 in its place.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from fractions import Fraction

import av
from av.video.frame import PictureType

from overshootd.contracts import AccessUnit, Picture, PixelFormat
from overshootd.errors import Transient
from overshootd.ffmpeg.errors import FFMPEG_ERRORS
from overshootd.ffmpeg.frame import frame_of
from overshootd.ffmpeg.lazy import VideoPacket
from overshootd.h264 import ParameterSets

ENCODERS = ("h264_v4l2m2m",)
"""FFmpeg's names of the encoders that a board may have and that this FFmpeg knows."""

KEYFRAME_SECONDS = 60.0
"""Between keyframes that nobody asked for: receivers ask, but not every driver obeys."""

HELD_BACK = 4
"""Pictures that an encoder may hold back before what it makes of the first comes out."""

MICROSECONDS = Fraction(1, 1_000_000)


class H264Encoder:
    """Pictures of one size in, access units out; no B-frames. For one thread; a driver may block it for ever."""

    def __init__(
        self, name: str, width: int, height: int, fps: float, kbps: int, options: Mapping[str, str] | None = None
    ) -> None:
        """Opens at the first picture. `name` and `options` are FFmpeg's."""
        self._name, self._size, self._fps = name, (width, height), fps
        self._kbps = kbps
        self._options = dict(options or {})
        self._context: av.VideoCodecContext | None = None
        self._sets = ParameterSets()
        self._pts = 0

    def encode(self, picture: Picture, *, keyframe: bool = False) -> list[AccessUnit]:
        """The access units up to that of this picture: one, unless the encoder holds some back. Raises Transient.

        An encoder that does gets the picture again until it comes out: at 0.5 fps the next one would be 2 s away, and
        what does not move takes few bits.
        """
        frame = frame_of(picture)
        units: list[AccessUnit] = []
        first = self._pts + 1
        for _ in range(1 + HELD_BACK):
            packets = self._send(frame, keyframe)
            units += [self._unit(bytes(packet), picture.captured_ns) for packet in packets]
            if any(packet.pts is not None and packet.pts >= first for packet in packets):
                return units
            keyframe = False
        raise Transient(f"{self._name} gave nothing for {1 + HELD_BACK} pictures")

    def set_kbps(self, kbps: int) -> None:
        """From the next picture on, which will be a keyframe: drivers read the rate when they are opened."""
        self._kbps = kbps
        self.close()

    def close(self) -> None:
        self._context = None  # which closes it

    def _send(self, frame: av.VideoFrame, keyframe: bool) -> list[VideoPacket]:
        # Times that rise, whatever the camera's do. Encoders share their bits out by them.
        self._pts = max(self._pts + 1, time.monotonic_ns() // 1000)
        frame.pts, frame.time_base = self._pts, MICROSECONDS
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        try:
            if self._context is None:
                self._context = self._open(frame.format.name)
            return self._context.encode(frame)
        except FFMPEG_ERRORS as error:
            raise Transient(f"{self._name} failed: {error.strerror or error}") from error
        except av.codec.codec.UnknownCodecError as error:
            raise Transient(f"this FFmpeg has no {self._name}") from error

    def _open(self, layout: str) -> av.VideoCodecContext:
        context = av.CodecContext.create(self._name, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height = self._size
        context.pix_fmt = layout
        context.time_base = MICROSECONDS
        context.framerate = Fraction(self._fps).limit_denominator(1000)
        context.bit_rate = self._kbps * 1000
        context.gop_size = max(round(self._fps * KEYFRAME_SECONDS), 1)
        context.max_b_frames = 0
        context.options = self._options
        context.open()
        return context

    def _unit(self, data: bytes, captured_ns: int) -> AccessUnit:
        data, keyframe = self._sets.complete(data)
        return AccessUnit(data, *self._size, keyframe, captured_ns)


def probe(names: Iterable[str] = ENCODERS, options: Mapping[str, str] | None = None) -> str | None:
    """The first of these encoders that really encodes, or None. Blocks for as long as a driver does."""
    return next((name for name in names if _encodes(name, options)), None)


def _encodes(name: str, options: Mapping[str, str] | None) -> bool:
    width, height = 640, 480
    encoder = H264Encoder(name, width, height, fps=10.0, kbps=500, options=options)
    grey = Picture(bytes([128]) * (width * height * 3 // 2), width, height, PixelFormat.I420, 0)
    try:
        units = [*encoder.encode(grey), *encoder.encode(grey)]
    except Transient:
        return False
    finally:
        encoder.close()
    return len(units) > 1 and units[0].keyframe


if __name__ == "__main__":
    # In a process of its own: drivers have been seen to hang, and to crash.
    print(probe() or "")
