"""Of a driver that takes any size and rate, the sizes and rates that somebody may want."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from overshootd.capture.v4l2.offers import Span, rates_within, sizes_within

spans = st.builds(
    lambda low, steps, step, rest: Span(low, low + steps * step + rest % step, step),
    st.integers(1, 500), st.integers(0, 300), st.integers(1, 64), st.integers(0, 63),
)  # fmt: skip


@given(spans, st.integers(1, 20_000))
def test_the_nearest_above_is_a_member_and_nothing_is_nearer(span: Span, wanted: int) -> None:
    members = range(span.low, span.high + 1, span.step)
    above = [member for member in members if member >= wanted]
    assert span.above(wanted) == (above[0] if above else members[-1])


@given(spans, spans, st.lists(st.tuples(st.integers(16, 4000), st.integers(16, 3000)), max_size=3))
def test_all_sizes_are_members_and_what_is_wanted_is_among_them(
    width: Span, height: Span, wanted: list[tuple[int, int]]
) -> None:
    found = sizes_within(width, height, wanted)
    assert len(set(found)) == len(found)
    for wide, high in found:
        assert (width.above(wide), height.above(high)) == (wide, high)
    for wide, high in wanted:
        assert (width.above(wide), height.above(high)) in found


def test_a_driver_of_any_size_offers_the_usual_ones_and_its_largest() -> None:
    found = sizes_within(Span(32, 1920, 2), Span(32, 1080, 2), [])
    assert {(640, 480), (1280, 720), (1920, 1080)} <= set(found)
    assert (2560, 1440) not in found


def test_a_driver_of_a_single_size_offers_that() -> None:
    assert sizes_within(Span(656, 656, 1), Span(492, 492, 1), [(1280, 720)]) == [(656, 492)]


def test_a_range_of_rates_holds_its_ends_and_what_is_wanted_between_them() -> None:
    assert rates_within(4.0, 12.0, [7.5, 30.0]) == (4.0, 5.0, 7.5, 10.0, 12.0)
