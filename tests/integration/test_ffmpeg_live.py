"""Single pictures as live cameras send them become I420, or are said to be spoiled; nothing else ever happens."""

from __future__ import annotations

from contextlib import suppress

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overshootd.contracts import Picture, PixelFormat
from overshootd.errors import FrameSpoiled
from overshootd.ffmpeg.draw import Drawer, planes
from overshootd.ffmpeg.live import RAW_FORMATS, JpegDecoder, RawPictures
from tests.integration.v4l2_sources import JpegSource, frame_of
from tests.videos import number_of

WIDTH, HEIGHT = 320, 240
JPEG = JpegSource(WIDTH, HEIGHT)(7, False)


def picture(data: memoryview, width: int = WIDTH, height: int = HEIGHT) -> Picture:
    return Picture(data, width, height, PixelFormat.I420, 0)


def jpegs() -> JpegDecoder:
    return JpegDecoder("yard", Drawer())


@pytest.mark.parametrize("padding", [b"", bytes(100_000), b"\x12\x34" * 900])
def test_a_jpeg_is_whole_whatever_follows_it(padding: bytes) -> None:
    assert number_of(picture(jpegs().picture(JPEG.rstrip(b"\0") + padding, WIDTH, HEIGHT))) == 7


def test_a_truncated_jpeg_is_spoiled_and_the_next_is_not() -> None:
    decoder = jpegs()
    with pytest.raises(FrameSpoiled, match="yard: a truncated JPEG picture"):
        decoder.picture(JPEG[: len(JPEG) // 2], WIDTH, HEIGHT)
    assert number_of(picture(decoder.picture(JPEG, WIDTH, HEIGHT))) == 7


def test_a_jpeg_is_decoded_once_for_all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, decoded, decode = jpegs(), [], JpegDecoder._frame

    def counted(self: JpegDecoder, data: bytes) -> av.VideoFrame:
        decoded.append(data)
        return decode(self, data)

    monkeypatch.setattr(JpegDecoder, "_frame", counted)
    for width, height in ((320, 240), (160, 120), (640, 480)):
        assert number_of(picture(decoder.picture(JPEG, width, height), width, height)) == 7
    assert len(decoded) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(2, len(JPEG) - 80), st.binary(min_size=1, max_size=9)), max_size=5))
def test_a_damaged_jpeg_is_shown_or_spoiled(damage: list[tuple[int, bytes]]) -> None:
    data = bytearray(JPEG)
    for at, garbage in damage:
        data[at : at + len(garbage)] = garbage
    decoder = jpegs()
    with suppress(FrameSpoiled):
        assert len(decoder.picture(bytes(data), 64, 48)) == 64 * 48 * 3 // 2
    assert number_of(picture(decoder.picture(JPEG, WIDTH, HEIGHT))) == 7


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_what_is_no_jpeg_is_spoiled(data: bytes) -> None:
    with pytest.raises(FrameSpoiled):
        jpegs().picture(data + b"\xff\xd9", 64, 48)


@pytest.mark.parametrize("fourcc", RAW_FORMATS)
@pytest.mark.parametrize("padding", [0, 2, 64])
def test_every_raw_format_is_read_with_and_without_padding(fourcc: str, padding: int) -> None:
    frame = frame_of(9, WIDTH, HEIGHT, RAW_FORMATS[fourcc])
    data, stride = laid_out(frame, padding)
    shown = RawPictures("yard", Drawer(), fourcc, WIDTH, HEIGHT, stride).picture(data, WIDTH, HEIGHT)
    assert number_of(picture(shown)) == 9
    assert np.abs(planes(np.frombuffer(shown, np.uint8), WIDTH, HEIGHT)[1].astype(int) - 128).max() <= 2, "no colours"


@pytest.mark.parametrize("fourcc", RAW_FORMATS)
def test_a_raw_picture_with_too_few_bytes_is_spoiled(fourcc: str) -> None:
    data, stride = laid_out(frame_of(9, WIDTH, HEIGHT, RAW_FORMATS[fourcc]), 0)
    with pytest.raises(FrameSpoiled, match=r"yard: a picture of \d+ bytes, too few"):
        RawPictures("yard", Drawer(), fourcc, WIDTH, HEIGHT, stride).picture(data[:-1], WIDTH, HEIGHT)


def test_colours_stay_where_they_are() -> None:
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[:, WIDTH // 2 :, 0] = 255
    for fourcc, pixels in RAW_FORMATS.items():
        if fourcc == "GREY":
            continue
        data, stride = laid_out(av.VideoFrame.from_ndarray(red, "rgb24").reformat(format=pixels), 32)
        shown = RawPictures("yard", Drawer(), fourcc, WIDTH, HEIGHT, stride).picture(data, WIDTH, HEIGHT)
        y, u, v = planes(np.frombuffer(shown, np.uint8), WIDTH, HEIGHT)
        assert (int(y[9, 9]), int(u[9, 9]), int(v[9, 9])) == pytest.approx((16, 128, 128), abs=3), fourcc
        assert (int(y[9, -9]), int(u[9, -9]), int(v[9, -9])) == pytest.approx((81, 90, 240), abs=6), fourcc


def laid_out(frame: av.VideoFrame, padding: int) -> tuple[bytes, int]:
    """As V4L2 lays out a picture in one buffer: `padding` bytes after each row of the first plane, and the other planes
    in proportion; and the bytes from row to row of the first."""
    name = frame.format.name
    first = frame.width * {"yuyv422": 2, "uyvy422": 2, "yvyu422": 2, "rgb24": 3, "bgr24": 3}.get(name, 1)
    parts = []
    for index, plane in enumerate(frame.planes):
        half = index > 0 and name == "yuv420p"
        row, pad = (first // 2, padding // 2) if half else (first, padding)
        lines = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, :row]
        parts.append(np.pad(lines, ((0, 0), (0, pad))).tobytes())
    return b"".join(parts), first + padding
