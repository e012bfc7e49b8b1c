"""Video files whose every frame says its number."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from overshootd.contracts import Picture
from overshootd.marker import draw_marker, read_marker

MJPEG = ("mjpeg", "yuvj420p", {"qmin": "2", "qmax": "5"})
H264 = ("libx264", "yuv420p", {"g": "10", "sc_threshold": "0", "bf": "0", "preset": "ultrafast"})
H264_B_FRAMES = ("libx264", "yuv420p", {"g": "10", "sc_threshold": "0", "bf": "3", "preset": "veryfast"})
VP8 = ("libvpx", "yuv420p", {"g": "10", "deadline": "realtime"})

Codec = tuple[str, str, dict[str, str]]


def write_video(
    path: Path, codec: Codec = MJPEG, *, frames: int = 20, fps: int = 20, size: tuple[int, int] = (320, 240),
    at: Iterable[float] | None = None, audio: bool = False,
) -> Path:  # fmt: skip
    """Frame n bears the marker number n; `at` gives their times in seconds instead of n / fps."""
    name, pixels, options = codec
    with av.open(str(path), "w") as container:
        stream = container.add_stream(name, fps, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = Fraction(1, 1000) if at else Fraction(1, fps)
        if audio:
            _add_audio(container)
        for number, seconds in enumerate(at or (n / fps for n in range(frames))):
            frame = av.VideoFrame.from_ndarray(marked(number, *size), "gray").reformat(format=pixels)
            frame.pts, frame.time_base = round(seconds / stream.codec_context.time_base), stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def marked(number: int, width: int, height: int) -> NDArray[np.uint8]:
    luma = np.add.outer(np.arange(height), np.arange(width) + 8 * number).astype(np.uint8)
    draw_marker(luma, number, 0)
    return luma


def number_of(picture: Picture) -> int:
    """The number in a picture of a marked video. Fails when none can be read."""
    luma = np.frombuffer(picture.data, np.uint8)[: picture.width * picture.height]
    marker = read_marker(luma.reshape(picture.height, picture.width))
    assert marker is not None, "no marker"
    return marker.number


def _add_audio(container: av.container.OutputContainer) -> None:
    stream = container.add_stream("pcm_s16le", 8000)
    assert isinstance(stream, av.AudioStream)
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
    frame.sample_rate = 8000
    container.mux(stream.encode(frame))
