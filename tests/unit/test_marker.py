"""A marker is read back exactly, or not at all."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from overshootd.marker import BAND, MIN_HEIGHT, MIN_WIDTH, Marker, draw_marker, read_marker

Luma = NDArray[np.uint8]

SIZES = st.tuples(st.integers(MIN_WIDTH, 1400), st.integers(MIN_HEIGHT, 900))
NUMBERS = st.integers(0, 2**32 - 1)
TIMES = st.integers(0, 2**48 - 1)
NOW_MS = 1_750_000_000_123


def street(width: int, height: int, seed: int = 0) -> Luma:
    """Something with edges and texture, as a camera gives."""
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(height) % 97, np.arange(width) % 131)
    return (ramp + rng.integers(0, 24, (height, width))).astype(np.uint8)


def scaled(luma: Luma, width: int, height: int) -> Luma:
    return gray(av.VideoFrame.from_ndarray(luma, "gray").reformat(width, height))


def gray(frame: av.VideoFrame) -> Luma:
    return frame.to_ndarray(format="gray").astype(np.uint8, copy=False)


@given(SIZES, NUMBERS, TIMES)
@settings(deadline=None)
def test_what_was_drawn_is_read(size: tuple[int, int], number: int, captured_ms: int) -> None:
    luma = street(*size)
    draw_marker(luma, number, captured_ms)
    assert read_marker(luma) == Marker(number, captured_ms)


def test_only_the_band_is_drawn_on() -> None:
    luma, before = street(640, 360), street(640, 360)
    draw_marker(luma, 1, NOW_MS)
    assert (luma[round(360 * BAND) :] == before[round(360 * BAND) :]).all()


def test_numbers_past_the_field_wrap() -> None:
    luma = street(320, 180)
    draw_marker(luma, 2**32 + 7, NOW_MS)
    assert read_marker(luma) == Marker(7, NOW_MS)


def test_a_picture_too_small_is_refused_and_never_read() -> None:
    small = street(MIN_WIDTH - 2, MIN_HEIGHT)
    with pytest.raises(ValueError, match="160x90"):
        draw_marker(small, 1, NOW_MS)
    assert read_marker(small) is None


@given(st.tuples(st.integers(MIN_WIDTH, 1400), st.integers(MIN_HEIGHT, 900)), NUMBERS)
@settings(deadline=None, max_examples=50)
def test_scaling_by_any_factor_keeps_it(size: tuple[int, int], number: int) -> None:
    luma = street(1280, 720)
    draw_marker(luma, number, NOW_MS)
    assert read_marker(scaled(luma, *size)) == Marker(number, NOW_MS)


@given(NUMBERS, st.integers(0, 2**31), st.floats(0.3, 1.0), st.integers(-16, 60))
@settings(deadline=None, max_examples=50)
def test_noise_and_another_exposure_keep_it(number: int, seed: int, gain: float, offset: int) -> None:
    luma = street(640, 360)
    draw_marker(luma, number, NOW_MS)
    noise = np.random.default_rng(seed).normal(0, 12, luma.shape)
    assert read_marker(np.clip(luma * gain + offset + noise, 0, 255).astype(np.uint8)) == Marker(number, NOW_MS)


@given(st.integers(0, 2**31), st.floats(0, 255))
@settings(deadline=None)
def test_a_damaged_marker_gives_none_or_the_truth(seed: int, strength: float) -> None:
    luma = street(320, 180)
    draw_marker(luma, 42, NOW_MS)
    rng = np.random.default_rng(seed)
    luma[:10] = np.where(rng.random((10, 320)) * 255 < strength, rng.integers(0, 256, (10, 320)), luma[:10])
    assert read_marker(luma) in (None, Marker(42, NOW_MS))


@given(st.integers(0, 2**31), st.integers(0, 111))
@settings(deadline=None)
def test_one_flipped_cell_gives_none(seed: int, bit: int) -> None:
    luma = street(320, 180)
    draw_marker(luma, seed, NOW_MS)
    row, column = bit // 28, 4 + bit % 28
    cell = luma[row * 10 : row * 10 + 10, column * 10 : column * 10 + 10]
    cell[:] = 251 - cell
    assert read_marker(luma) is None


@given(st.integers(0, 2**31))
@settings(deadline=None)
def test_pictures_without_one_give_none(seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (180, 320)).astype(np.uint8)
    assert read_marker(noise) is None
    assert read_marker(street(640, 360, seed)) is None
    assert read_marker(np.full((90, 160), seed % 256, np.uint8)) is None


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (720, 1280), (320, 240), (160, 90)])
@pytest.mark.parametrize("codec", ["libvpx", "libx264"])
def test_it_survives_a_real_encoder_at_30_kbit_a_second(size: tuple[int, int], codec: str) -> None:
    """At 0.5 fps, the picture moving, as a stream in frame mode at 2 s on a mobile uplink would send it."""
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.bit_rate, encoder.framerate, encoder.time_base = 30_000, Fraction(1, 2), Fraction(2)
    encoder.options = {"deadline": "realtime", "lag-in-frames": "0"} if codec == "libvpx" else {"tune": "zerolatency"}
    decoder = av.CodecContext.create("vp8" if codec == "libvpx" else "h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    seen = []
    for number in range(8):
        luma = np.roll(street(*size), 16 * number, axis=1)
        draw_marker(luma, number, NOW_MS + 2000 * number)
        frame = av.VideoFrame.from_ndarray(luma, "gray").reformat(format="yuv420p")
        frame.pts = number
        for packet in encoder.encode(frame):
            seen += [read_marker(gray(decoded)) for decoded in decoder.decode(packet)]
    assert seen == [Marker(number, NOW_MS + 2000 * number) for number in range(8)]
