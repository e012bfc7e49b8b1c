"""What is read of H.264 is what FFmpeg reads of the same streams, and nothing that a camera sends can upset it."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from overshootd import h264
from overshootd.h264 import DELIMITER, IDR, PPS, SEI, SLICE, SPS, START, ParameterSets
from tests.sps import HIGH_PROFILES, Plan, Vui, write_sps

PICTURE_SET = bytes.fromhex("68ce0fc8")
"""PPS 0 of SPS 0."""
IDR_SLICE = bytes.fromhex("65888400") + bytes(20)

PROFILES = ("baseline", "main", "high")
SIZES = ((1920, 1080), (1280, 720), (320, 240), (176, 144), (854, 480), (162, 90), (1366, 768))


@cache
def encoded(
    profile: str = "high", size: tuple[int, int] = (320, 240), *, bframes: int = 0, pixels: str = "yuv420p",
    known_before: bool = False, interlaced: bool = False, frames: int = 8, options: str = "",
) -> tuple[bytes, tuple[bytes, ...]]:  # fmt: skip
    """The extradata (of a stream whose parameter sets are `known_before`) and the access units, in coding order."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = *size, pixels
    context.time_base, context.framerate = Fraction(1, 20), Fraction(20)
    context.options = {"preset": "ultrafast", "profile": profile, "g": "4", "bf": str(bframes), "b_strategy": "0"}
    if options:
        context.options |= {"x264-params": options}
    if interlaced:
        context.flags |= av.codec.context.Flags.interlaced_dct
    if known_before:
        context.flags |= av.codec.context.Flags.global_header
    units = [bytes(packet) for number in range(frames) for packet in context.encode(_frame(number, size, pixels))]
    units += [bytes(packet) for packet in context.encode(None)]
    return bytes(context.extradata or b""), tuple(units)


def _frame(number: int, size: tuple[int, int], pixels: str) -> av.VideoFrame:
    luma = np.add.outer(np.arange(size[1]), np.arange(size[0]) * (number + 1)).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(luma, "gray").reformat(format=pixels)
    frame.pts, frame.time_base = number, Fraction(1, 20)
    return frame


def sps_of(units: Iterable[bytes]) -> bytes:
    return next(nal for unit in units for nal in h264.nal_units(unit) if h264.kind(nal) == SPS)


def decoded(units: Iterable[bytes]) -> list[av.VideoFrame]:
    context = av.CodecContext.create("h264", "r")
    assert isinstance(context, av.VideoCodecContext)
    frames = [frame for unit in units for frame in context.decode(av.Packet(unit))]
    return frames + context.decode(None)


def shown_b_frames(units: Iterable[bytes]) -> int:
    return sum(frame.pict_type == PictureType.B for frame in decoded(units))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("profile", PROFILES)
def test_the_size_is_the_one_that_ffmpeg_shows(profile: str, size: tuple[int, int]) -> None:
    units = encoded(profile, size, frames=1)[1]
    (frame,) = decoded(units)
    read = h264.parse_sps(sps_of(units))
    assert (read.width, read.height) == (frame.width, frame.height) == size


@settings(max_examples=30, deadline=None)
@given(
    width=st.integers(8, 512), height=st.integers(8, 512), profile=st.sampled_from(PROFILES), bframes=st.integers(0, 3)
)
def test_any_even_size_is_the_one_that_ffmpeg_shows(width: int, height: int, profile: str, bframes: int) -> None:
    units = encoded(profile, (width * 2, height * 2), bframes=bframes if profile != "baseline" else 0, frames=1)[1]
    (frame,) = decoded(units)
    read = h264.parse_sps(sps_of(units))
    assert (read.width, read.height) == (frame.width, frame.height) == (width * 2, height * 2)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("bframes", [0, 3])
def test_b_frames_are_announced_by_the_parameter_set_and_seen_in_the_slices(profile: str, bframes: int) -> None:
    if profile == "baseline" and bframes:
        return  # there is no such thing
    units = encoded(profile, bframes=bframes)[1]
    assert (shown_b_frames(units) > 0) == bool(bframes)
    assert h264.parse_sps(sps_of(units)).reorders is bool(bframes)
    assert sum(map(h264.has_b_slice, units)) == shown_b_frames(units)


@pytest.mark.parametrize(
    "threads",
    [
        "sliced-threads=1:threads=4",
        "slices=4",
        "aud=1:slices=2",
        "nal-hrd=cbr:bitrate=500:vbv-bufsize=500:vbv-maxrate=500",
    ],
)
def test_slices_delimiters_and_buffering_periods_disturb_nothing(threads: str) -> None:
    units = encoded("main", (640, 360), bframes=2, options=threads)[1]
    read = h264.parse_sps(sps_of(units))
    assert (read.width, read.height, read.reorders) == (640, 360, True)
    assert sum(map(h264.has_b_slice, units)) == shown_b_frames(units) > 0


@pytest.mark.parametrize(
    ("profile", "pixels", "obstacle"),
    [
        ("high", "yuv420p", None),
        ("high10", "yuv420p10le", "its colours are not 8 bits and 4:2:0"),
        ("high422", "yuv422p", "its colours are not 8 bits and 4:2:0"),
        ("high444", "yuv444p", "its colours are not 8 bits and 4:2:0"),
        ("high", "gray", "its colours are not 8 bits and 4:2:0"),
    ],
)
def test_only_the_usual_colours_can_be_passed_on(profile: str, pixels: str, obstacle: str | None) -> None:
    units = encoded(profile, (1920, 1080), pixels=pixels, frames=1)[1]
    read = h264.parse_sps(sps_of(units))
    assert (read.width, read.height, read.obstacle) == (1920, 1080, obstacle)


def test_interlaced_video_cannot_be_passed_on() -> None:
    units = encoded("high", (1920, 1080), interlaced=True, frames=2)[1]
    read = h264.parse_sps(sps_of(units))
    assert (read.width, read.height, read.obstacle) == (1920, 1080, "it is interlaced")


def test_b_frames_cannot_be_passed_on() -> None:
    assert h264.parse_sps(sps_of(encoded(bframes=2)[1])).obstacle == "it has B-frames"


VUIS = st.builds(
    Vui,
    reorder=st.none() | st.integers(0, 4),
    sar=st.none() | st.sampled_from([1, 255]),
    overscan=st.booleans(),
    colours=st.booleans(),
    chroma_loc=st.booleans(),
    timing=st.booleans(),
    hrds=st.integers(0, 2),
)
SCALING = st.lists(st.none() | st.lists(st.integers(-128, 127), min_size=1, max_size=64).map(tuple), max_size=12)
PLANS = st.builds(
    Plan,
    profile=st.sampled_from([66, 77, 88, *HIGH_PROFILES]),
    constraints=st.sampled_from([0, 0x10, 0x40, 0x80]),
    chroma=st.integers(0, 3),
    depth=st.integers(0, 6),
    scaling=SCALING.map(tuple),
    order=st.integers(0, 2),
    references=st.integers(0, 16),
    columns=st.integers(4, 300),
    rows=st.integers(4, 200),
    progressive=st.booleans(),
    crop=st.tuples(*[st.integers(0, 7)] * 4),
    vui=st.none() | VUIS,
)


@settings(max_examples=500, deadline=None)
@given(plan=PLANS)
def test_every_part_of_a_parameter_set_is_read(plan: Plan) -> None:
    chroma, depth = (plan.chroma, plan.depth) if plan.profile in HIGH_PROFILES else (1, 0)
    across = 2 if chroma in (1, 2) else 1
    down = (2 if chroma == 1 else 1) * (1 if plan.progressive else 2)
    left, right, top, bottom = plan.crop
    read = h264.parse_sps(write_sps(plan))
    assert read.width == plan.columns * 16 - across * (left + right)
    assert read.height == plan.rows * (16 if plan.progressive else 32) - down * (top + bottom)
    assert (read.interlaced, read.plain) == (not plan.progressive, chroma == 1 and depth == 0)


@settings(max_examples=200, deadline=None)
@given(plan=PLANS)
def test_ffmpeg_reads_the_same_size(plan: Plan) -> None:
    """So the sets of these tests are what the standard means, and not only what their reader takes."""
    parser = av.CodecContext.create("h264", "r")
    assert isinstance(parser, av.VideoCodecContext)
    nal = write_sps(plan)
    parser.parse(START + nal + START + PICTURE_SET + START + IDR_SLICE)
    parser.parse(None)
    assume(parser.width)  # it knows no 9 bits of grey, and no picture that is cropped to nothing
    read = h264.parse_sps(nal)
    assert (parser.width, parser.height) == (read.width, read.height)


@given(plan=PLANS)
def test_reordering_is_what_the_set_says_or_what_its_profile_allows(plan: Plan) -> None:
    said = None if plan.vui is None or plan.vui.reorder is None else plan.vui.reorder > 0
    intra = plan.profile in HIGH_PROFILES and plan.constraints == 0x10
    never = plan.profile == 66 or plan.constraints == 0x80 or plan.order == 2 or plan.references == 0 or intra
    assert h264.parse_sps(write_sps(plan)).reorders is (False if never else said)


@given(plan=PLANS, cut=st.integers(0, 60))
def test_a_set_that_ends_too_early_is_read_as_far_as_it_goes_or_refused(plan: Plan, cut: int) -> None:
    whole = write_sps(plan)
    try:
        read = h264.parse_sps(whole[: max(len(whole) - cut, 1)])
    except ValueError:
        return
    assert read.width > 0 and read.height > 0


@given(nal=st.binary(max_size=64))
def test_what_is_no_parameter_set_is_refused(nal: bytes) -> None:
    try:
        read = h264.parse_sps(b"\x67" + nal)
    except ValueError:
        return
    assert 0 < read.width <= 16384 and 0 < read.height <= 16384


NAL = st.builds(lambda header, body: bytes([header]) + body + b"\x80", st.integers(1, 31), st.binary(max_size=20)).map(
    lambda nal: nal.replace(b"\0", b"\1")
)


@given(nals=st.lists(NAL, max_size=8), zeros=st.lists(st.integers(0, 3), min_size=8, max_size=8))
def test_nal_units_come_out_as_they_went_in(nals: list[bytes], zeros: list[int]) -> None:
    stream = b"".join(bytes(count) + START[1:] + nal for nal, count in zip(nals, zeros, strict=False))
    assert list(h264.nal_units(stream + bytes(2))) == nals
    first = next((index for index, nal in enumerate(nals) if SLICE <= h264.kind(nal) <= IDR), len(nals))
    assert h264.kinds(stream) == [h264.kind(nal) for nal in nals[: first + 1]]


@given(nals=st.lists(NAL, max_size=8), size=st.sampled_from([1, 2, 4]))
def test_lengths_become_start_codes(nals: list[bytes], size: int) -> None:
    lengths = b"".join(len(nal).to_bytes(size, "big") + nal for nal in nals)
    assert h264.from_lengths(lengths, size) == b"".join(START + nal for nal in nals)


@given(data=st.binary(max_size=64), size=st.sampled_from([1, 2, 4]))
def test_wrong_lengths_are_survived(data: bytes, size: int) -> None:
    assert len(h264.from_lengths(data, size)) <= 5 * len(data)


@given(data=st.binary(max_size=80) | st.binary(max_size=20).map(lambda tail: START + tail))
def test_no_access_unit_is_too_odd(data: bytes) -> None:
    sets = ParameterSets()
    sets.complete(START + b"\x67" + data)
    completed, keyframe = sets.complete(data)
    assert completed.endswith(data[-8:])
    assert keyframe in (True, False)
    assert h264.has_b_slice(data) in (True, False)


def test_a_record_of_mp4_tells_the_sets_and_how_long_its_lengths_are() -> None:
    sets = encoded(known_before=True)[0]
    one, two = h264.nal_units(sets)
    record = (
        b"\x01\x64\x00\x1f\xff\xe1" + len(one).to_bytes(2, "big") + one + b"\x01" + len(two).to_bytes(2, "big") + two
    )
    assert h264.parse_avcc(record) == (4, START + one + START + two)
    assert h264.parse_avcc(record[:4] + b"\xfd" + record[5:])[0] == 2
    for length in range(len(record)):
        with pytest.raises(ValueError, match=r"AVCDecoderConfigurationRecord"):
            h264.parse_avcc(record[:length])
    with pytest.raises(ValueError, match=r"not an AVCDecoderConfigurationRecord"):
        h264.parse_avcc(sets)


@pytest.mark.parametrize("options", ["", "aud=1"])
def test_each_keyframe_can_be_decoded_by_itself_once_completed(options: str) -> None:
    extradata, units = encoded(known_before=True, options=options)
    assert all(SPS not in h264.kinds(unit) for unit in units)
    sets = ParameterSets(extradata)
    completed = [sets.complete(unit) for unit in units]
    assert [keyframe for _, keyframe in completed] == [IDR in h264.kinds(unit) for unit in units]
    keyframes = [unit for unit, keyframe in completed if keyframe]
    assert len(keyframes) == 2
    assert all(len(decoded([unit])) == 1 for unit in keyframes)
    # A delimiter stays the first of its access unit.
    assert h264.kinds(keyframes[1])[:-1] == ([DELIMITER, SPS, PPS] if options else [SPS, PPS])


def test_what_has_its_parameter_sets_is_left_as_it_is() -> None:
    units = encoded()[1]
    sets = ParameterSets()
    assert [sets.complete(unit) for unit in units] == [(unit, IDR in h264.kinds(unit)) for unit in units]


def test_without_parameter_sets_nothing_is_a_keyframe() -> None:
    unit = encoded(known_before=True)[1][0]
    assert ParameterSets().complete(unit) == (unit, False)


def test_an_encoder_may_have_several_picture_parameter_sets() -> None:
    """Ids 0 and 1: the slices say which one they mean, so all of them are needed."""
    first, second, other = b"\x68\xce\x0f\xc8", b"\x68\x5b\x81\xf2", b"\x68\xce\x0f\xcc"
    sps = sps_of(encoded()[1])
    sets = ParameterSets(START + sps + START + first + START + second)
    idr = START + b"\x65\x88"
    assert list(h264.nal_units(sets.complete(idr)[0])) == [sps, first, second, b"\x65\x88"]
    sets.complete(START + other + idr)
    assert list(h264.nal_units(sets.complete(idr)[0])) == [sps, other, second, b"\x65\x88"]


def test_a_parameter_set_that_was_cut_off_does_not_replace_a_whole_one() -> None:
    extradata, units = encoded(known_before=True)
    sets = ParameterSets(extradata)
    known = sets.sps
    sets.complete(START + b"\x67\x64" + START + b"\x06\x01")
    assert sets.sps == known
    assert len(decoded([sets.complete(units[0])[0]])) == 1


def test_additional_information_is_no_slice() -> None:
    assert h264.kinds(START + b"\x06\x05" + START + b"\x65\x88" + START + b"\x67") == [SEI, IDR]
    assert not h264.has_b_slice(START + b"\x06\x05")
