"""A camera's H.264 is decoded for whoever asks, and only as far as they need it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import pytest

from overshootd.errors import FrameSpoiled
from overshootd.ffmpeg.draw import Drawer
from overshootd.ffmpeg.live import UnitDecoder
from tests.videos import marked

SIZE = (160, 96)
GOP = 100
"""More than waits undecoded (ffmpeg.lazy, PENDING_PACKETS)."""


def units(frames: int) -> Iterator[tuple[bytes, bool]]:
    """H.264 of a small moving picture, a keyframe every GOP frames."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = *SIZE, "yuv420p"
    encoder.framerate = Fraction(30)
    encoder.options = {"g": str(GOP), "sc_threshold": "0", "tune": "zerolatency", "preset": "ultrafast"}
    for number in range(frames):
        picture = av.VideoFrame.from_ndarray(marked(number, *SIZE), "gray").reformat(format="yuv420p")
        picture.pts = number
        for packet in encoder.encode(picture):
            yield bytes(packet), packet.is_keyframe


@pytest.fixture
def decoder() -> UnitDecoder:
    return UnitDecoder("yard", Drawer())


def test_who_looks_at_keyframes_alone_has_nothing_between_them_decoded(decoder: UnitDecoder) -> None:
    for data, keyframe in units(2 * GOP):
        decoder.add(data, keyframe)
        if keyframe:
            assert decoder.picture(*SIZE)
    with pytest.raises(FrameSpoiled, match="no keyframe yet"):
        decoder.picture(*SIZE)


def test_who_looks_between_keyframes_can_look_again_much_later(decoder: UnitDecoder) -> None:
    for number, (data, keyframe) in enumerate(units(GOP)):
        decoder.add(data, keyframe)
        if number in (5, GOP - 1):
            assert decoder.picture(*SIZE)
