"""A JPEG shows what the picture shows."""

import io

import av
import numpy as np
import pytest

from overshootd.contracts import Picture, PixelFormat
from overshootd.ffmpeg.still import jpeg


def picture(luma: int, u: int, v: int, width: int = 64, height: int = 48) -> Picture:
    quarter = width * height // 4
    return Picture(bytes([luma] * 4 * quarter + [u] * quarter + [v] * quarter), width, height, PixelFormat.I420, 0)


@pytest.mark.parametrize(
    ("yuv", "rgb"),
    [((16, 128, 128), (0, 0, 0)), ((235, 128, 128), (255, 255, 255)), ((81, 90, 240), (255, 0, 0))],
    ids=["black", "white", "red"],
)  # BT.601, limited range, which is what WebRTC shows
def test_its_colours_are_those_that_webrtc_shows(yuv: tuple[int, int, int], rgb: tuple[int, int, int]) -> None:
    with av.open(io.BytesIO(jpeg(picture(*yuv))), "r", format="mjpeg") as file:
        frame = next(file.decode(video=0))
    assert (frame.width, frame.height) == (64, 48)
    assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - rgb).max() <= 3


def test_it_is_a_jfif_file() -> None:
    content = jpeg(picture(16, 128, 128))
    assert content.startswith(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    assert content.endswith(b"\xff\xd9")


def test_one_that_would_be_too_large_has_less_quality() -> None:
    noise = np.random.default_rng(1).integers(16, 236, 640 * 480 * 3 // 2, np.uint8)
    noisy = Picture(noise.data, 640, 480, PixelFormat.I420, 0)
    best = len(jpeg(noisy))
    assert len(jpeg(noisy, best)) == best
    assert best // 3 < len(jpeg(noisy, best - 1)) < best - 1
    assert 0 < len(jpeg(noisy, 1)) < best // 3, "the least there is"


def test_another_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="i420 is expected"):
        jpeg(Picture(b"", 64, 48, PixelFormat.NV12, 0))
