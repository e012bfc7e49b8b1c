"""What fake V4L2 cameras see: numbered pictures in the formats that real ones send, made by real encoders."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np

from tests.videos import marked

PIXELS = {"YUYV": "yuyv422", "NV12": "nv12", "YU12": "yuv420p", "GREY": "gray"}

Source = Callable[[int, bool], bytes]
"""The frame of this number as the camera sends it; a keyframe when that is asked for."""


def source_for(fourcc: str, width: int, height: int, stride: int, gop: int) -> Source:
    """`stride` is for raw formats, bytes from row to row; `gop` for H.264, frames from keyframe to keyframe."""
    if fourcc == "H264":
        return H264Source(width, height, gop)
    if fourcc == "MJPG":
        return JpegSource(width, height)
    return RawSource(
        {"YUYV": "yuyv422", "NV12": "nv12", "YU12": "yuv420p", "GREY": "gray"}[fourcc], width, height, stride
    )


def frame_of(number: int, width: int, height: int, pixels: str) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(marked(number, width, height), "gray").reformat(format=pixels)
    frame.pts, frame.time_base = number, Fraction(1, 30)
    return frame


class JpegSource:
    """A JPEG for each frame, padded with zeros as cameras do."""

    def __init__(self, width: int, height: int) -> None:
        self._size = width, height
        self._encoder = _encoder("mjpeg", "yuvj420p", width, height, {"qmin": "2", "qmax": "5"})

    def __call__(self, number: int, keyframe: bool) -> bytes:
        (packet,) = self._encoder.encode(frame_of(number, *self._size, "yuvj420p"))
        return bytes(packet) + bytes(64)


class H264Source:
    """Access units without B-frames, SPS and PPS only before the first, as some encoders do."""

    def __init__(self, width: int, height: int, gop: int) -> None:
        self._size = width, height
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(gop), "sc_threshold": "0", "forced-idr": "1"}
        self._encoder = _encoder("libx264", "yuv420p", width, height, options | {"flags": "+global_header"})
        self._first = True

    def __call__(self, number: int, keyframe: bool) -> bytes:
        frame = frame_of(number, *self._size, "yuv420p")
        if keyframe:
            frame.pict_type = av.video.frame.PictureType.I
        (packet,) = self._encoder.encode(frame)
        headers, self._first = (bytes(self._encoder.extradata or b"") if self._first else b""), False
        return headers + bytes(packet)


class RawSource:
    """Uncompressed pictures, with `stride` bytes from row to row of the first plane."""

    def __init__(self, pixels: str, width: int, height: int, stride: int) -> None:
        self._pixels, self._size, self._stride = pixels, (width, height), stride

    def __call__(self, number: int, keyframe: bool) -> bytes:
        width, height = self._size
        packed = frame_of(number, width, height, self._pixels).to_ndarray().reshape(-1)
        row = width * 2 if self._pixels == "yuyv422" else width
        rows = packed.reshape(-1, row)
        return np.pad(rows, ((0, 0), (0, self._stride - row))).tobytes()


def _encoder(codec: str, pixels: str, width: int, height: int, options: dict[str, str]) -> av.VideoCodecContext:
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, pixels
    encoder.time_base, encoder.options = Fraction(1, 30), options
    return encoder
