"""What waits between a camera and a stream never grows, is never stale, and has no gap between two keyframes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from overshootd.contracts import AccessUnit, Picture, PixelFormat
from overshootd.handoff import Handoff


def picture(number: int) -> Picture:
    return Picture(b"", 2, 2, PixelFormat.I420, number)


def unit(number: int, keyframe: bool) -> AccessUnit:
    return AccessUnit(b"", 2, 2, keyframe, number)


def drain(handoff: Handoff) -> list[int]:
    taken = []
    while (media := handoff.take()) is not None:
        taken.append(media.captured_ns)
    return taken


def test_a_newer_picture_replaces_the_one_not_taken() -> None:
    handoff = Handoff()
    asked = [handoff.put(picture(number)) for number in (1, 2, 3)]
    assert drain(handoff) == [3]
    assert handoff.dropped == 2
    assert not any(asked), "pictures need no keyframe"


def test_access_units_pass_in_order() -> None:
    handoff = Handoff()
    for number in range(5):
        handoff.put(unit(number, number == 0))
    assert drain(handoff) == [0, 1, 2, 3, 4]
    assert handoff.dropped == 0


def test_nothing_passes_before_the_first_keyframe_and_one_is_asked_for() -> None:
    handoff = Handoff(limit=3)
    asked = [handoff.put(unit(number, number == 7)) for number in range(8)]
    assert drain(handoff) == [7]
    assert asked == [True, False, False, True, False, False, True, False], "at once, then once for each limit in vain"


def test_overflow_drops_up_to_the_next_keyframe_and_asks_for_one() -> None:
    handoff = Handoff(limit=3)
    asked = [handoff.put(unit(number, number in (0, 5))) for number in range(7)]
    assert drain(handoff) == [5, 6]
    assert asked == [False, False, False, True, False, False, False]
    assert handoff.dropped == 5


@given(st.integers(1, 5), st.lists(st.sampled_from(["key", "delta", "take"]), max_size=200))
def test_no_access_unit_is_ever_given_without_those_it_depends_on(limit: int, steps: list[str]) -> None:
    handoff, put, taken = Handoff(limit), list[AccessUnit](), list[int]()
    for step in steps:
        if step != "take":
            put.append(unit(len(put), step == "key"))
            handoff.put(put[-1])
        elif (media := handoff.take()) is not None:
            taken.append(media.captured_ns)
        assert len(handoff._units) <= limit
    taken += drain(handoff)
    assert all(put[number].keyframe or number - 1 == before for before, number in pairwise([-2, *taken]))
