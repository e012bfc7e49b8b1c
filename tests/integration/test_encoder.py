"""The encoder that FFmpeg drives, with libx264 in the place of a board's own: no test machine has one of those."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import av
import numpy as np
import pytest

from overshootd.contracts import AccessUnit, Picture, PixelFormat
from overshootd.errors import Transient
from overshootd.ffmpeg.encoder import H264Encoder, probe
from overshootd.h264 import IDR, PPS, SPS, kinds
from overshootd.marker import read_marker
from tests.videos import marked

AT_ONCE = {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1"}
HOLDING_BACK = {"preset": "ultrafast", "rc-lookahead": "0", "sync-lookahead": "0", "bframes": "0", "threads": "3"}
"""Its threads take a picture each, so it gives the first when it gets the third."""


def picture(number: int, width: int = 320, height: int = 240, layout: PixelFormat = PixelFormat.I420) -> Picture:
    luma = marked(number, width, height)
    u = np.full((height // 2, width // 2), 90, np.uint8)
    v = np.full((height // 2, width // 2), 160, np.uint8)
    chroma = np.dstack([u, v]) if layout is PixelFormat.NV12 else np.concatenate([u, v])
    return Picture(luma.tobytes() + chroma.tobytes(), width, height, layout, 1000 * number)


@pytest.fixture
def encoder() -> Iterator[H264Encoder]:
    made = H264Encoder("libx264", 320, 240, fps=10.0, kbps=1000, options=AT_ONCE)
    yield made
    made.close()


class Decoder:
    """Shows what a receiver would see."""

    def __init__(self) -> None:
        context = av.CodecContext.create("h264", "r")
        assert isinstance(context, av.VideoCodecContext)
        context.thread_count = 1
        self._context = context

    def frames(self, units: list[AccessUnit]) -> list[av.VideoFrame]:
        return [frame for unit in units for frame in self._context.decode(av.Packet(unit.data))]

    def number(self, units: list[AccessUnit]) -> int:
        marker = read_marker(np.ascontiguousarray(self.frames(units)[-1].to_ndarray(format="gray")))
        assert marker is not None
        return marker.number


def test_each_picture_gives_its_own_access_unit_at_once(encoder: H264Encoder) -> None:
    decoder = Decoder()
    for number in range(20):
        units = encoder.encode(picture(number))
        assert len(units) == 1
        assert (units[0].width, units[0].height, units[0].captured_ns) == (320, 240, 1000 * number)
        assert decoder.number(units) == number


def test_only_the_first_is_a_keyframe_until_one_is_asked_for(encoder: H264Encoder) -> None:
    units = [encoder.encode(picture(number), keyframe=number == 7)[0] for number in range(12)]
    assert [number for number, unit in enumerate(units) if unit.keyframe] == [0, 7]


def test_parameter_sets_precede_every_keyframe(encoder: H264Encoder) -> None:
    for number in range(3):
        (unit,) = encoder.encode(picture(number), keyframe=True)
        assert kinds(unit.data)[:2] == [SPS, PPS]
        assert kinds(unit.data)[-1] == IDR


def test_the_rate_can_be_changed_and_takes_effect_with_a_keyframe(encoder: H264Encoder) -> None:
    """Drivers read it when they are opened."""
    rng = np.random.default_rng(1)

    def noise(number: int) -> Picture:
        return Picture(rng.integers(60, 200, 320 * 360, np.uint8).tobytes(), 320, 240, PixelFormat.I420, number)

    before = [encoder.encode(noise(n))[0] for n in range(30)]
    encoder.set_kbps(100)
    after = [encoder.encode(noise(n))[0] for n in range(30)]
    assert after[0].keyframe
    assert sum(len(u.data) for u in after) < sum(len(u.data) for u in before) / 2


@pytest.mark.parametrize("layout", [PixelFormat.I420, PixelFormat.NV12])
@pytest.mark.parametrize("size", [(320, 240), (642, 362)], ids=lambda size: "x".join(map(str, size)))
def test_every_layout_and_size_keeps_its_pixels(layout: PixelFormat, size: tuple[int, int]) -> None:
    """Rows of 642 pixels are padded by FFmpeg."""
    encoder, decoder = H264Encoder("libx264", *size, fps=10.0, kbps=4000, options=AT_ONCE), Decoder()
    units = encoder.encode(picture(5, *size, layout))
    frame = decoder.frames(units)[-1].reformat(format="yuv420p")
    luma, u, v = (np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size) for plane in frame.planes)
    width, height = size
    assert np.abs(luma[:height, :width].astype(int) - marked(5, *size)).mean() < 10
    assert abs(int(u[: height // 2, : width // 2].mean()) - 90) < 3
    assert abs(int(v[: height // 2, : width // 2].mean()) - 160) < 3


def test_an_encoder_that_holds_pictures_back_is_given_them_until_they_come_out() -> None:
    encoder, decoder = H264Encoder("libx264", 320, 240, fps=0.5, kbps=500, options=HOLDING_BACK), Decoder()
    for number in range(5):
        units = encoder.encode(picture(number))
        assert 1 <= len(units) <= 3
        assert decoder.number(units) == number


def test_an_encoder_that_gives_nothing_is_told() -> None:
    greedy = {"preset": "medium", "rc-lookahead": "40"}
    encoder = H264Encoder("libx264", 320, 240, fps=10.0, kbps=500, options=greedy)
    with pytest.raises(Transient, match="libx264 gave nothing for 5 pictures"):
        encoder.encode(picture(1))


@pytest.mark.parametrize("name", ["h264_v4l2m2m", "h264_unheard_of"])
def test_an_encoder_that_is_not_there_is_told_in_one_sentence(name: str) -> None:
    encoder = H264Encoder(name, 320, 240, fps=10.0, kbps=500)
    with pytest.raises(Transient, match=name):
        encoder.encode(picture(1))


def test_the_probe_finds_what_really_encodes() -> None:
    assert probe(["h264_unheard_of", "libx264"], AT_ONCE) == "libx264"
    assert probe(["libx264"]) is None, "as it comes it holds back dozens of pictures"


def test_the_probe_is_a_program_that_prints_a_name_or_nothing() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "overshootd.ffmpeg.encoder"], capture_output=True, text=True, timeout=60, check=True
    )
    assert (ran.stdout.strip() or None) == probe()
