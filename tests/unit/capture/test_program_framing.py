"""Frames are found wherever they are in a stream, however it arrives, and nothing else is kept."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from overshootd.capture.program import framing
from overshootd.capture.program.framing import FixedFraming, Framing, JpegFraming, jpeg_size
from overshootd.ffmpeg import split
from overshootd.ffmpeg.split import UnitSplitter
from tests.videos import marked

DELIMITER = b"\0\0\0\1\x09\xf0"


def encoded(codec: str, pixels: str, count: int, size: tuple[int, int] = (160, 90), **options: str) -> list[bytes]:
    """The packets of some frames."""
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt, context.options = *size, pixels, options
    context.framerate, context.time_base = Fraction(20), Fraction(1, 20)
    frames = [av.VideoFrame.from_ndarray(marked(n, *size), "gray").reformat(format=pixels) for n in range(count)]
    for number, frame in enumerate(frames):
        frame.pts = number
    return [bytes(packet) for frame in (*frames, None) for packet in context.encode(frame)]


JPEGS = encoded("mjpeg", "yuvj420p", 4)
UNITS = encoded("libx264", "yuv420p", 8, g="4", bf="0", preset="ultrafast", tune="zerolatency")


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def scan(header: bytes, coded: bytes) -> bytes:
    """One scan: in its data FF comes before 00, or in a restart marker."""
    coded = coded.replace(b"\xff", b"\xff\x00")
    return segment(framing.SOS, header) + coded + b"\xff\xd3" + coded


SEGMENTS = st.builds(segment, st.sampled_from([0xC0, 0xC4, 0xDB, 0xE0, 0xE1, 0xFE]), st.binary(max_size=60))
SCANS = st.builds(scan, st.binary(max_size=12), st.binary(max_size=80))
PICTURES = st.builds(
    lambda head, scans: b"\xff\xd8" + b"".join(head) + b"".join(scans) + b"\xff\xd9",
    st.lists(SEGMENTS, min_size=1, max_size=4),
    st.lists(st.one_of(SCANS, SCANS, SEGMENTS.filter(lambda data: data[1] != 0xC0)), min_size=1, max_size=3),
)
"""JPEGs as the standard allows them, whose metadata may hold anything, another picture included."""

GARBAGE = st.binary(max_size=50).map(lambda data: data.replace(b"\xff", b"\xfe"))


def fed(framed: Framing, stream: bytes, cuts: list[int]) -> list[bytes]:
    """The frames of a stream that arrives in pieces."""
    return [bytes(frame.data) for piece in cut(stream, cuts) for frame in framed.feed(piece, 1)]


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({min(at, len(stream)) for at in cuts} | {0, len(stream)})
    return [stream[begin:end] for begin, end in pairwise(ends)]


@given(st.integers(1, 20), st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_pictures_of_one_size_are_cut_at_that_size(size: int, stream: bytes, cuts: list[int]) -> None:
    whole = [stream[at : at + size] for at in range(0, len(stream) - size + 1, size)]
    assert fed(FixedFraming(size), stream, cuts) == whole


@given(st.lists(st.tuples(GARBAGE, PICTURES), max_size=4), GARBAGE, st.lists(st.integers(0, 2000)))
def test_jpegs_are_found_between_anything(parts: list[tuple[bytes, bytes]], rest: bytes, cuts: list[int]) -> None:
    stream = b"".join(garbage + picture for garbage, picture in parts) + rest
    assert fed(JpegFraming(), stream, cuts) == [picture for _, picture in parts]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
@example(b"\xff\xd8\xff\xd8\xff\xd8\xff\x00" * 30, [])
def test_the_same_bytes_give_the_same_jpegs_however_they_arrive(stream: bytes, cuts: list[int]) -> None:
    assert fed(JpegFraming(), stream, cuts) == fed(JpegFraming(), stream, [])


def test_a_picture_in_small_within_a_picture_is_no_picture() -> None:
    thumbnail = segment(0xE1, b"Exif" + JPEGS[0])
    picture = b"\xff\xd8" + thumbnail + JPEGS[1][2:]
    assert fed(JpegFraming(), picture * 3, []) == [picture] * 3


@settings(deadline=None)  # 200 kB each time, on machines that have other work too
@given(st.integers(3, len(JPEGS[0]) - 1))
def test_after_a_jpeg_truncated_anywhere_whole_ones_are_found_again(kept: int) -> None:
    """A segment that is cut off may reach 64 KiB into what follows."""
    following = JPEGS[1:] * (3 * 2**16 // sum(map(len, JPEGS[1:])))
    found = fed(JpegFraming(), JPEGS[0][:kept] + b"".join(following), [])
    assert found[-3:] == following[-3:]


def test_a_jpeg_truncated_within_its_picture_takes_no_other_with_it() -> None:
    assert fed(JpegFraming(), JPEGS[0][:-20] + JPEGS[1] + JPEGS[2], []) == JPEGS[1:3]


def test_a_jpeg_is_given_with_its_last_byte_and_the_time_of_its_first() -> None:
    frames = JpegFraming()
    assert not frames.feed(b"garbage", 1)
    assert not frames.feed(b"more" + JPEGS[0][:50], 2)
    assert not frames.feed(JPEGS[0][50:-1], 3)
    assert [frame.began_ns for frame in frames.feed(JPEGS[0][-1:] + JPEGS[1] + JPEGS[2][:9], 4)] == [2, 4]
    assert [frame.began_ns for frame in frames.feed(JPEGS[2][9:], 5)] == [4]


def test_a_picture_is_given_with_its_last_byte_and_the_time_of_its_first() -> None:
    frames = FixedFraming(4)
    assert not frames.feed(b"123", 1)
    assert [frame.began_ns for frame in frames.feed(b"41234123", 2)] == [1, 2]
    assert [frame.began_ns for frame in frames.feed(b"4", 3)] == [2]


@pytest.mark.parametrize(
    "endless",
    [b"\0" * 997, b"\xff\xd8\xff\xda\0\x02" + b"\1" * 991, b"\xff\xd8\xff\xe0\xff\xff" * 99, b"\xff\xd8\xff\xff" * 99],
    ids=["garbage", "a scan", "metadata", "fill bytes"],
)
def test_what_is_no_jpeg_is_not_kept(endless: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "LIMIT", 20_000)
    frames = JpegFraming()
    for _ in range(100):
        frames.feed(endless, 1)
        assert len(frames._data) <= 20_000
    assert frames.missed
    assert fed(frames, b"".join(JPEGS) * 30, [])[-1:] == JPEGS[-1:]


@pytest.mark.parametrize("size", [(160, 90), (322, 182)])
def test_a_jpeg_says_its_size(size: tuple[int, int]) -> None:
    assert jpeg_size(encoded("mjpeg", "yuvj420p", 1, size)[0]) == size


@given(st.binary(max_size=100))
def test_what_says_no_size_has_none(data: bytes) -> None:
    assert jpeg_size(b"\xff\xd8\xff\xda" + data) is None
    jpeg_size(data)


@settings(deadline=None)
@given(st.lists(st.integers(1, sum(map(len, UNITS)))))
def test_access_units_come_out_as_they_went_in(cuts: list[int]) -> None:
    splitter = UnitSplitter("a camera")
    assert [unit for piece in cut(b"".join(UNITS), cuts) for unit, _ in splitter.feed(piece, 1)] == UNITS[:-1]


def test_an_access_unit_before_a_delimiter_is_given_at_once_and_without_it() -> None:
    splitter = UnitSplitter("a camera")
    for number, unit in enumerate(UNITS):
        assert splitter.feed(unit + DELIMITER, number) == [(unit, number)]


def test_an_access_unit_bears_the_time_of_its_own_first_byte() -> None:
    splitter = UnitSplitter("a camera")
    assert splitter.feed(UNITS[0][:10], 1) == []
    assert splitter.feed(UNITS[0][10:] + UNITS[1][:10], 2) == [(UNITS[0], 1)]
    assert splitter.feed(UNITS[1][10:], 3) == []
    assert splitter.feed(UNITS[2] + UNITS[3] + UNITS[4], 4) == [(UNITS[1], 2), (UNITS[2], 4), (UNITS[3], 4)]


def test_what_is_no_h264_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "LIMIT", 20_000)
    splitter = UnitSplitter("a camera")
    for _ in range(200):
        assert splitter.feed(b"\xaa" * 997, 1) == []
        assert splitter.waiting <= 20_000
    found = [unit for unit, _ in splitter.feed(b"".join(UNITS), 2)]
    assert found[1:] == UNITS[1:-1]
