"""A frame's time is the driver's where that can be believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.capture.v4l2.frames import believable

NOW = 1_000_000_000_000


@pytest.mark.parametrize(
    ("stamp", "before", "captured"),
    [
        (NOW - 40_000_000, NOW - 80_000_000, NOW - 40_000_000),
        (None, 0, NOW),
        (NOW + 1, 0, NOW),
        (NOW - 80_000_000, NOW - 80_000_000, NOW),
        (5_000_000_000, 0, NOW),
        (0, 0, NOW),
    ],
    ids=["good", "none", "to come", "stuck", "another clock", "not set"],
)
def test_a_time_is_believed_where_it_can_be_one(stamp: int | None, before: int, captured: int) -> None:
    assert believable(stamp, NOW, before) == captured


@given(st.none() | st.integers(0, 2 * NOW), st.integers(1, NOW), st.integers(0, NOW))
def test_times_never_fall_and_are_never_in_the_future(stamp: int | None, now: int, before: int) -> None:
    captured = believable(stamp, max(now, before), before)
    assert before <= captured <= max(now, before)
