"""The plan and the verdict of `make chaos`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.net.chaos.kinds import KINDS, Death
from tests.net.chaos.plan import plan
from tests.net.chaos.verdict import Window, billed_too_long, ghosts, share, side_by_side
from tests.net.judge import Life

LEASE = 12.0


def life(created: float, ended: float | None, *frames: float) -> Life:
    return Life("x", created, ended, None, frames, ())


@given(st.integers(0), st.integers(0, 3), st.integers(1, 80))
def test_a_seed_has_one_plan(seed: int, bed: int, count: int) -> None:
    assert plan(seed, bed, count) == plan(seed, bed, count)


@given(st.integers(0), st.integers(1, 80))
def test_a_plan_has_as_many_troubles_as_were_asked_for(seed: int, count: int) -> None:
    assert sum(len(step.troubles) for step in plan(seed, 0, count)) == count


@given(st.integers(0))
def test_beds_and_seeds_differ(seed: int) -> None:
    assert plan(seed, 0, 20) != plan(seed, 1, 20) != plan(seed + 1, 0, 20)


@given(st.integers(0))
def test_every_kind_comes_before_one_comes_again(seed: int) -> None:
    steps = plan(seed, 0, 2 * len(KINDS))
    assert {step.troubles[0].kind for step in steps[: len(KINDS)]} == set(KINDS)


@given(st.integers(0))
def test_troubles_at_once_are_of_different_layers(seed: int) -> None:
    for step in plan(seed, 0, 50):
        assert len({trouble.kind.layer for trouble in step.troubles}) == len(step.troubles)


@pytest.mark.parametrize(
    ("streams", "found"),
    [
        ([life(0, 10), life(10, None)], []),
        ([life(0, 10), life(8, None)], []),  # a DELETE takes a moment
        ([life(0, 20), life(8, None)], [Window(8, 20)]),
        ([life(0, None), life(50, None)], [Window(50, 100)]),  # and both live on
    ],
)
def test_two_streams_for_one_are_found(streams: list[Life], found: list[Window]) -> None:
    assert list(side_by_side(streams, most=1, now=100)) == found


def test_a_stream_whose_id_nobody_learned_is_told_from_one_that_was_forgotten() -> None:
    never_learned, forgotten, used = life(0, LEASE), life(0, 3 * LEASE), life(0, LEASE, 5.0)
    assert ghosts([never_learned, forgotten, used], LEASE) == [never_learned]


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (life(0, 20 + LEASE, 1.0, 2.0), False),
        (life(0, 30 + LEASE, 1.0, 2.0), True),  # somebody renewed the lease of a dead daemon
        (life(0, 99, 1.0, 30.0), False),  # the next daemon took it up
        (life(0, 10, 1.0), False),  # it had ended before
        (life(30, 80), False),  # it is of later
    ],
)
def test_a_stream_that_outlives_its_daemon_and_its_lease_is_found(one: Life, told: bool) -> None:
    assert bool(list(billed_too_long([one], [Death(20, 25)], LEASE, now=100))) is told


def test_results_that_come_in_a_bunch_do_not_make_up_for_lost_ones() -> None:
    windows = [Window(0, 1), Window(5, 6)]
    assert share([0.1, 0.3, 0.5, 0.7, 5.1, 5.3, 5.5, 5.7], windows, 0.25) == 1.0
    assert share([5.1, 5.2, 5.3, 5.4, 5.5, 5.6, 5.7, 5.8], windows, 0.25) == 0.5
