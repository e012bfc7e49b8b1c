"""One picture as a JPEG."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from overshootd.contracts import Picture, PixelFormat

QUALITIES = ("3", "8", "31")
"""FFmpeg's scale for JPEG, 1 (best) to 31: at 3 text in a 720p picture stays sharp in some 150 kB. The others are for
pictures that would be too large."""


def jpeg(picture: Picture, most: int | None = None) -> bytes:
    """The whole file, of no more quality than `most` bytes allow. Raises ValueError for a picture that is not I420."""
    if picture.format is not PixelFormat.I420:
        raise ValueError(f"a {picture.format} picture, where i420 is expected")
    packed = np.frombuffer(picture.data, np.uint8).reshape(picture.height * 3 // 2, picture.width)
    frame = av.VideoFrame.from_ndarray(packed, "yuv420p")
    # WebRTC's white is 235, JPEG's 255.
    full = VideoReformatter().reformat(
        frame, format="yuvj420p", src_color_range=ColorRange.MPEG, dst_color_range=ColorRange.JPEG
    )
    files = (_encoded(full, quality) for quality in QUALITIES)
    file = next(files)
    while most is not None and len(file) > most and (smaller := next(files, None)):
        file = smaller
    return file


def _encoded(full: av.VideoFrame, quality: str) -> bytes:
    context = av.CodecContext.create("mjpeg", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = full.width, full.height, "yuvj420p"
    context.time_base = Fraction(1, 1)
    context.sample_aspect_ratio = Fraction(1, 1)  # without it FFmpeg leaves out the JFIF header
    context.options = {"qmin": quality, "qmax": quality}
    return b"".join(bytes(packet) for packet in (*context.encode(full), *context.encode(None)))
