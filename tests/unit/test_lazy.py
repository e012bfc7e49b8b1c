"""Of video with B-frames, whose decoder holds frames back, there is a picture whenever somebody asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from fractions import Fraction

import av
import pytest

from overshootd.contracts import Picture, PixelFormat
from overshootd.errors import FrameSpoiled
from overshootd.ffmpeg.draw import Drawer
from overshootd.ffmpeg.live import IDLE_UNITS, UnitDecoder
from tests.videos import marked, number_of

SIZE = (160, 96)


def units(frames: int, gop: int) -> Iterator[tuple[bytes, bool]]:
    """H.264 of numbered pictures with B-frames, a keyframe every `gop` frames."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = *SIZE, "yuv420p"
    encoder.framerate = Fraction(30)
    encoder.options = {"g": str(gop), "sc_threshold": "0", "bf": "3", "b_strategy": "0", "preset": "ultrafast"}
    for number in range(frames):
        picture = av.VideoFrame.from_ndarray(marked(number, *SIZE), "gray").reformat(format="yuv420p")
        picture.pts = number
        yield from ((bytes(packet), packet.is_keyframe) for packet in encoder.encode(picture))
    yield from ((bytes(packet), packet.is_keyframe) for packet in encoder.encode(None))


def shown(decoder: UnitDecoder) -> int:
    picture = Picture(decoder.picture(*SIZE), *SIZE, PixelFormat.I420, 0)
    return number_of(picture)


@pytest.mark.parametrize("phase", range(10))
def test_whoever_asks_at_the_same_point_between_two_keyframes_gets_a_picture(phase: int) -> None:
    """As a stream does whose publish interval is a multiple of that of the keyframes."""
    decoder, asked = UnitDecoder("yard", Drawer()), list[tuple[int, int]]()
    for number, (data, keyframe) in enumerate(units(100, gop=10)):
        decoder.add(data, keyframe)
        if number % 10 == phase:
            with suppress(FrameSpoiled) if number < 10 else nullcontext():
                asked.append((number, shown(decoder)))
    assert len(asked) >= 9
    assert all(number - 4 <= seen <= number for number, seen in asked)


def test_whoever_asks_at_keyframes_alone_does_so_for_years() -> None:
    decoder = UnitDecoder("yard", Drawer())
    stream = list(units(200, gop=100))
    for turn in range(IDLE_UNITS // len(stream) + 3):
        for number, (data, keyframe) in enumerate(stream):
            decoder.add(data, keyframe)
            if keyframe:
                with suppress(FrameSpoiled) if turn == number == 0 else nullcontext():
                    assert 0 <= shown(decoder) < 200


def test_what_nobody_asks_for_is_not_decoded() -> None:
    decoder = UnitDecoder("yard", Drawer())
    for data, keyframe in units(90, gop=100):
        decoder.add(data, keyframe)
    with pytest.raises(FrameSpoiled, match="no keyframe yet"):
        decoder.picture(*SIZE)
