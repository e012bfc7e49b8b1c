"""What the first packets of a network camera tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd import h264
from overshootd.capture.survey import KEYFRAME_SECONDS, UNSURE_SECONDS, Survey, Units
from overshootd.ffmpeg.inbox import NetworkPacket
from overshootd.h264 import START
from tests.sps import Plan, Vui, write_sps

PPS = bytes.fromhex("68ce0fc8")
IDR, P, B = (START + bytes.fromhex(slice_) for slice_ in ("6588", "419a", "019e"))
RECOVERY = START + bytes.fromhex("06060180") + P
NEVER = Plan(profile=66)
SILENT = Plan(profile=77)
REORDERS = Plan(profile=77, vui=Vui(reorder=2))


def sets(plan: Plan) -> bytes:
    return START + write_sps(plan) + START + PPS


def packet(
    data: bytes = b"x", *, keyframe: bool = False, seconds: float | None = None, at: float = 0.0
) -> NetworkPacket:
    return NetworkPacket(data, keyframe, seconds, round(at * 1e9))


def surveyed(survey: Survey, count: int, *, gop: int, fps: float = 20.0, timed: bool = True, burst: int = 0) -> Survey:
    """`count` packets with a keyframe every `gop`; the first `burst` come at once."""
    for number in range(count):
        seconds, at = number / fps, max(number - burst, 0) / fps + number / 1e6
        survey.add(packet(keyframe=number % gop == 0, seconds=seconds if timed else None, at=at))
    return survey


def test_the_rate_that_the_video_says_counts() -> None:
    assert surveyed(Survey(25.0), 3, gop=1).fps == 25.0


@pytest.mark.parametrize("timed", [True, False], ids=["by its times", "by arrival"])
@pytest.mark.parametrize("burst", [0, 8])
def test_a_rate_that_nothing_says_is_measured(timed: bool, burst: int) -> None:
    assert surveyed(Survey(None), 30, gop=10, timed=timed, burst=burst).fps == 20.0


@given(arrivals=st.lists(st.floats(0, 5), max_size=40), timed=st.booleans())
def test_there_is_always_some_rate(arrivals: list[float], timed: bool) -> None:
    survey = Survey(None)
    for at in sorted(arrivals):
        survey.add(packet(keyframe=True, seconds=at if timed else None, at=at))
    assert survey.fps > 0


@pytest.mark.parametrize("timed", [True, False], ids=["by its times", "by counting"])
def test_the_time_between_keyframes_is_measured(timed: bool) -> None:
    assert surveyed(Survey(20.0), 30, gop=10, timed=timed).keyframe_seconds == pytest.approx(0.5)


def test_one_keyframe_has_no_distance() -> None:
    assert surveyed(Survey(20.0), 30, gop=100).keyframe_seconds is None


def test_what_came_before_the_newest_keyframe_is_not_kept() -> None:
    kept = surveyed(Survey(20.0), 27, gop=10).kept
    assert [kept[0].keyframe, len(kept)] == [True, 7]


def test_what_comes_before_the_first_keyframe_is_not_kept() -> None:
    survey = Survey(20.0)
    survey.add(packet())
    assert (survey.kept, survey.first_ns) == ([], None)
    survey.add(packet(keyframe=True, at=3.0))
    assert (len(survey.kept), survey.first_ns) == (1, 3 * 10**9)


def test_only_what_may_be_passed_on_waits_for_a_second_keyframe() -> None:
    assert not Survey(20.0).complete
    assert surveyed(Survey(20.0), 1, gop=10).complete
    for plan, complete in ((NEVER, False), (REORDERS, True)):
        survey = Survey(20.0, Units(sets(plan)))
        survey.add(packet(IDR))
        assert survey.complete is complete
    survey = Survey(20.0, Units(sets(NEVER)))
    for data in (IDR, P, IDR):
        survey.add(packet(data))
    assert survey.complete


def test_what_is_not_sure_is_looked_at_for_longer() -> None:
    sure, silent, unknown = Survey(20.0), Survey(20.0, Units(sets(SILENT))), Survey(None)
    assert sure.patience(100.0) == pytest.approx(0.011)
    assert silent.patience(100.0) == unknown.patience(100.0) == UNSURE_SECONDS
    assert sure.patience(1.0) == pytest.approx(1.1)
    assert sure.patience(0.1) == KEYFRAME_SECONDS


@pytest.mark.parametrize(
    ("plan", "sent", "obstacle"),
    [
        (NEVER, [IDR, P], None),
        (SILENT, [IDR, P], None),
        (SILENT, [IDR, P, B], "it has B-frames"),
        (REORDERS, [], "it has B-frames"),
        (Plan(progressive=False), [], "it is interlaced"),
        (NEVER, [RECOVERY, P], "it has no keyframe that a receiver could begin with"),
        (NEVER, [RECOVERY, P, IDR], None),
    ],
)
def test_what_stands_against_passing_on(plan: Plan, sent: list[bytes], obstacle: str | None) -> None:
    units = Units(sets(plan))
    for data in sent:
        units.take(packet(data, keyframe=data in (IDR, RECOVERY)))
    assert units.obstacle == obstacle


def test_h264_without_readable_parameter_sets_cannot_be_passed_on() -> None:
    assert Units(b"").obstacle == "its parameter sets cannot be read"
    broken = Units(START + b"\x67\x42\x00\x1f\x80" + START + PPS)
    assert broken.obstacle == "its parameter sets cannot be read"
    broken.take(packet(sets(NEVER) + IDR))
    assert broken.obstacle is None


def test_a_keyframe_is_an_idr_once_there_are_some() -> None:
    units = Units(sets(NEVER))
    taken = [units.take(packet(data, keyframe=True)).keyframe for data in (RECOVERY, IDR, RECOVERY)]
    assert taken == [True, True, False]


def test_both_forms_become_the_same_access_unit() -> None:
    sps = write_sps(NEVER)
    record = (
        b"\x01\x42\x00\x1f\xff\xe1" + len(sps).to_bytes(2, "big") + sps + b"\x01" + len(PPS).to_bytes(2, "big") + PPS
    )
    idr = IDR.removeprefix(START)
    by_length = Units(record).take(packet(len(idr).to_bytes(4, "big") + idr))
    assert by_length == Units(sets(NEVER)).take(packet(IDR))
    assert list(h264.nal_units(by_length.data)) == [sps, PPS, idr]
