"""The judge of the ordeals, on lives made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.net.judge import Life, lives, longest_gap, most_at_a_time


def life(created: float, ended: float | None) -> Life:
    return Life("x", created, ended, None, (), ())


@pytest.mark.parametrize(
    ("times", "gap"),
    [
        ([], 10.0),  # nothing came
        ([2, 3, 7, 9], 4.0),  # in the middle
        ([6, 7, 8], 6.0),  # at first
        ([1, 2, 3], 7.0),  # at last
        ([-50, 5, 60], 5.0),  # what came before and after does not count
    ],
)
def test_the_longest_gap_is_found_wherever_it_is(times: list[float], gap: float) -> None:
    assert longest_gap(times, since=0, until=10) == gap


@pytest.mark.parametrize(
    ("streams", "most"),
    [
        ([], 0),
        ([life(1, 2), life(3, None)], 1),
        ([life(1, 2), life(2, 3)], 1),  # one begins as the other ends
        ([life(1, 2.1), life(2, 3)], 2),
        ([life(1, None), life(2, None), life(3, 4)], 3),
    ],
)
def test_streams_that_are_billed_side_by_side_are_counted(streams: list[Life], most: int) -> None:
    assert most_at_a_time(streams) == most


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 100))))
def test_no_moment_has_more_than_the_most(spans: list[tuple[float, float]]) -> None:
    streams = [life(created, created + seconds) for created, seconds in spans]
    at_starts = [sum(one.created <= at < (one.ended or 0) for one in streams) for at, _ in spans]
    assert most_at_a_time(streams) == max(at_starts, default=0)


def test_lives_come_oldest_first() -> None:
    told: dict[str, object] = {"ended": None, "end_reason": None, "frames": [], "results": []}
    answer = {"now": 9.0, "streams": {"b": {"created": 5.0, **told}, "a": {"created": 3.0, **told}}}
    assert [one.stream_id for one in lives(answer)] == ["a", "b"]
