"""libvpx as the legacy transport uses it."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest

from overshootd.contracts import AccessUnit, Picture, PixelFormat
from overshootd.ffmpeg.vp8 import Vp8Encoder
from overshootd.marker import read_marker
from tests.integration.test_encoder import picture


class Decoder:
    def __init__(self) -> None:
        context = av.CodecContext.create("vp8", "r")
        assert isinstance(context, av.VideoCodecContext)
        self._context = context

    def frame(self, unit: AccessUnit) -> av.VideoFrame:
        (frame,) = self._context.decode(av.Packet(unit.data))
        return frame


def test_each_picture_gives_one_frame_that_shows_it() -> None:
    encoder, decoder = Vp8Encoder(320, 240, fps=10.0, kbps=500), Decoder()
    for number in range(20):
        (unit,) = encoder.encode(picture(number))
        assert (unit.width, unit.height, unit.captured_ns) == (320, 240, 1000 * number)
        marker = read_marker(np.ascontiguousarray(decoder.frame(unit).to_ndarray(format="gray")))
        assert marker is not None and marker.number == number


def test_only_the_first_is_a_keyframe_until_one_is_asked_for() -> None:
    encoder = Vp8Encoder(320, 240, fps=10.0, kbps=500)
    units = [encoder.encode(picture(number), keyframe=number == 7)[0] for number in range(12)]
    assert [number for number, unit in enumerate(units) if unit.keyframe] == [0, 7]


@pytest.mark.parametrize("layout", [PixelFormat.I420, PixelFormat.NV12])
@pytest.mark.parametrize("size", [(320, 240), (642, 362)], ids=lambda size: "x".join(map(str, size)))
def test_every_layout_and_size_keeps_its_colours(layout: PixelFormat, size: tuple[int, int]) -> None:
    (unit,) = Vp8Encoder(*size, fps=10.0, kbps=4000).encode(picture(5, *size, layout))
    shown = Decoder().frame(unit).to_ndarray(format="yuv420p").reshape(-1)
    u, v = np.split(shown[size[0] * size[1] :], 2)
    assert abs(int(u.mean()) - 90) < 4
    assert abs(int(v.mean()) - 160) < 4


@pytest.mark.parametrize(("fps", "kbps"), [(0.5, 30), (10.0, 300)])
@pytest.mark.parametrize("change", [False, True])
def test_the_rate_is_kept_at_every_rate_of_frames_and_after_a_change(fps: float, kbps: int, change: bool) -> None:
    """Noise takes all that there is."""
    rng = np.random.default_rng(1)
    encoder = Vp8Encoder(320, 240, fps=fps, kbps=2 * kbps if change else kbps)
    if change:
        encoder.set_kbps(kbps)
    units = list[AccessUnit]()
    for number in range(40):
        noise = np.repeat(np.repeat(rng.integers(60, 200, (45, 40), np.uint8), 8, 0), 8, 1).tobytes()
        units += encoder.encode(Picture(noise, 320, 240, PixelFormat.I420, round(number * 1e9 / fps)))
    rate = sum(len(unit.data) for unit in units) * 8 * fps / len(units)
    assert 0.5 < rate / (1000 * kbps) < 1.2


def test_times_that_stand_still_or_go_back_spoil_nothing() -> None:
    encoder = Vp8Encoder(320, 240, fps=10.0, kbps=500)
    assert [len(encoder.encode(replace(picture(1), captured_ns=at))) for at in (10**9, 10**9, 5, 2 * 10**9)] == [1] * 4
