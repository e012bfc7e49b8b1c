"""Pictures of a live camera: single JPEGs, raw buffers, and access units that depend on each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import av

from overshootd.errors import CameraLost, FrameSpoiled
from overshootd.ffmpeg.draw import Drawer
from overshootd.ffmpeg.errors import FFMPEG_ERRORS
from overshootd.ffmpeg.lazy import LazyDecoder, VideoPacket

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

JPEG_END = b"\xff\xd9"
PADDING = 4096
"""Bytes after a JPEG's end that are looked through: some cameras send rests of the buffer before. Zeros may be more."""

RAW_FORMATS = {
    "YUYV": "yuyv422", "UYVY": "uyvy422", "YVYU": "yvyu422", "NV12": "nv12", "NV21": "nv21", "YU12": "yuv420p",
    "RGB3": "rgb24", "BGR3": "bgr24", "GREY": "gray",
}  # fmt: skip
"""FFmpeg's names of the uncompressed formats that are taken, by their V4L2 codes (the kernel's videodev2.h)."""

BITS = {"yuyv422": 16, "uyvy422": 16, "yvyu422": 16, "nv12": 12, "nv21": 12, "yuv420p": 12, "rgb24": 24, "bgr24": 24,
        "gray": 8}  # fmt: skip


IDLE_UNITS = 1800
"""Access units (a minute of a 30 fps camera) without a question, after which nobody is expected to ask. Until then they
are decoded for whoever asks next, because without them there is no picture before the next keyframe."""


class JpegDecoder:
    """Single JPEG pictures, as MJPEG cameras send them."""

    def __init__(self, name: str, drawer: Drawer) -> None:
        self._name, self._drawer = name, drawer
        self._context = _decoder("mjpeg")
        self._last: tuple[bytes, av.VideoFrame] | None = None

    def picture(self, data: bytes | memoryview, width: int, height: int) -> memoryview:
        """Packed I420 of this even size; the same bytes object is decoded once, whatever the sizes.

        Raises FrameSpoiled for one that is truncated or damaged.
        """
        whole = bytes(data)
        if self._last is None or self._last[0] is not whole:
            self._last = whole, self._frame(whole)
        return self._drawer.draw(self._last[1], width, height)

    def _frame(self, data: bytes) -> av.VideoFrame:
        if JPEG_END not in data.rstrip(b"\0")[-PADDING:]:
            raise FrameSpoiled(f"{self._name}: a truncated JPEG picture")
        try:
            frames = self._context.decode(av.Packet(data))
        except FFMPEG_ERRORS as error:
            raise FrameSpoiled(f"{self._name}: a damaged JPEG picture") from error
        if not frames:
            raise FrameSpoiled(f"{self._name}: a JPEG picture without a picture")
        return frames[-1]


class RawPictures:
    """Uncompressed pictures of one layout: `fourcc` is one of RAW_FORMATS."""

    def __init__(self, name: str, drawer: Drawer, fourcc: str, width: int, height: int, stride: int = 0) -> None:
        """`stride`: bytes from one row of the first plane to the next; 0 when rows are packed."""
        self._name, self._drawer = name, drawer
        self._format, self._width, self._height, self._stride = RAW_FORMATS[fourcc], width, height, stride
        self._packed = (width if BITS[self._format] == 12 else width * BITS[self._format] // 8) == stride or not stride

    @property
    def size(self) -> int:
        """Bytes of a packed picture."""
        return self._width * self._height * BITS[self._format] // 8

    def picture(self, data: bytes | memoryview, width: int, height: int) -> memoryview:
        """Packed I420 of this even size. Raises FrameSpoiled for one with too few bytes."""
        frame = av.VideoFrame(self._width, self._height, self._format)
        offset = 0
        view = memoryview(data).cast("B")
        for index, plane in enumerate(frame.planes):
            row, stride = _row(self._format, index, self._width), self._source_stride(index)
            rows = plane.height
            if len(view) < offset + stride * (rows - 1) + row:
                raise FrameSpoiled(f"{self._name}: a picture of {len(view)} bytes, too few")
            plane.update(_rows(view[offset:], row, stride, rows, plane.line_size))  # type: ignore[arg-type]  # any buffer
            offset += stride * rows
        return self._drawer.draw(frame, width, height)

    def _source_stride(self, index: int) -> int:
        row = _row(self._format, index, self._width)
        return row if self._packed else self._stride * row // _row(self._format, 0, self._width)


class UnitDecoder:
    """Pictures of a camera that sends access units, decoded only when asked.

    While nobody asks, what waits is forgotten rather than decoded: an encoded camera that is passed on costs nothing.
    """

    def __init__(self, name: str, drawer: Drawer, codec: str = "h264", extradata: bytes | None = None) -> None:
        self._name, self._drawer = name, drawer
        context = _decoder(codec)
        if extradata:
            context.extradata = extradata
        # A camera has no B-frames to wait for, or the decoder finds out.
        context.flags |= av.codec.context.Flags.low_delay
        self._decoder = LazyDecoder(context, name)
        self._unasked = IDLE_UNITS  # access units since somebody asked for a picture between two keyframes
        self._at_keyframe = False
        self._broken = True  # until a keyframe comes

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the newest frame that was decoded, as the camera sent it."""
        frame = self._decoder.newest
        return None if frame is None else (frame.width, frame.height)

    def add(self, data: bytes, keyframe: bool) -> None:
        """Take the next access unit. Raises CameraLost when none can be decoded any more."""
        self._unasked, self._at_keyframe = self._unasked + 1, keyframe
        self._broken = self._broken and not keyframe
        if self._broken:
            return
        packet = cast("VideoPacket", av.Packet(data))
        packet.is_keyframe = keyframe
        self._decoder.add(packet)
        if self._decoder.full:
            self._relieve()

    def picture(self, width: int, height: int) -> memoryview:
        """The newest as packed I420 of this even size. Raises FrameSpoiled until a keyframe came, CameraLost."""
        self._decoder.decode_pending()
        # Who looks at keyframes alone needs nothing of what lies between, unless the decoder holds them back.
        if not self._at_keyframe or self._decoder.reorders:
            self._unasked = 0
        if self._broken or self._decoder.newest is None:
            raise FrameSpoiled(f"{self._name}: no keyframe yet")
        return self._drawer.draw(self._decoder.newest, width, height)

    def _relieve(self) -> None:
        if self._unasked < IDLE_UNITS:
            self._decoder.decode_pending()
        else:
            self._decoder.forget()
            self._broken = True


def _decoder(codec: str) -> VideoCodecContext:
    context = av.CodecContext.create(codec, "r")
    if not isinstance(context, av.VideoCodecContext):
        raise CameraLost(f"this FFmpeg cannot decode {codec}")
    context.thread_count = 1
    return context


def _row(layout: str, plane: int, width: int) -> int:
    """Bytes of one row."""
    if plane == 0:
        return width if BITS[layout] == 12 else width * BITS[layout] // 8
    return width if layout in ("nv12", "nv21") else width // 2


def _rows(view: memoryview, row: int, stride: int, rows: int, line: int) -> memoryview | bytes:
    """`rows` rows, `line` bytes apart."""
    if stride == line:
        # The last row may end before its padding does.
        whole = view[: stride * rows]
        return whole if len(whole) == line * rows else bytes(whole) + bytes(line * rows - len(whole))
    padding = bytes(line - row)
    return b"".join(bytes(view[n * stride : n * stride + row]) + padding for n in range(rows))
