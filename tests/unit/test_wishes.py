"""An encoder hears of wishes that it can do something about, and no more often than it can."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from overshootd.contracts import Wish
from overshootd.wishes import CHANGE, KEYFRAME_SECONDS, LOWER_SECONDS, RAISE_SECONDS, Wishes

NOTHING = Wish()
KEYFRAME = Wish(keyframe=True)


def test_the_first_wishes_are_told_at_once() -> None:
    assert Wishes(1000).told(Wish(True, 600), 0.0) == Wish(True, 600)


def test_nothing_is_told_where_nothing_is_wished() -> None:
    wishes = Wishes(1000)
    assert {wishes.told(NOTHING, float(n)) for n in range(100)} == {NOTHING}


def test_keyframes_that_are_wished_again_and_again_are_told_once_a_second() -> None:
    wishes = Wishes(1000)
    told = [n / 30 for n in range(90) if wishes.told(KEYFRAME, n / 30).keyframe]
    assert told == [0.0, KEYFRAME_SECONDS, 2 * KEYFRAME_SECONDS]


def test_a_keyframe_wished_too_early_is_not_forgotten() -> None:
    wishes = Wishes(1000)
    wishes.told(KEYFRAME, 0.0)
    assert not wishes.told(KEYFRAME, 0.5).keyframe
    assert wishes.told(NOTHING, 1.1).keyframe
    assert not wishes.told(NOTHING, 9.0).keyframe


def test_a_rate_above_the_plans_is_the_plans() -> None:
    assert Wishes(500).told(Wish(kbps=4000), 0.0).kbps == 500


def test_a_lower_rate_is_told_soon_and_a_higher_one_later() -> None:
    wishes = Wishes(1000)
    wishes.told(Wish(kbps=600), 0.0)
    assert wishes.told(Wish(kbps=300), LOWER_SECONDS / 2).kbps is None
    assert wishes.told(NOTHING, LOWER_SECONDS).kbps == 300
    assert wishes.told(Wish(kbps=600), LOWER_SECONDS + RAISE_SECONDS / 2).kbps is None
    assert wishes.told(NOTHING, LOWER_SECONDS + RAISE_SECONDS).kbps == 600


def test_a_rate_that_hardly_differs_is_the_same_until_it_is_all_that_may_be() -> None:
    wishes = Wishes(1000)
    wishes.told(Wish(kbps=900), 0.0)
    assert wishes.told(Wish(kbps=850), 60.0).kbps is None
    assert wishes.told(Wish(kbps=1200), 60.0).kbps == 1000


WISHES = st.builds(Wish, st.booleans(), st.none() | st.integers(30, 20_000))


@given(st.lists(st.tuples(WISHES, st.floats(0.001, 3.0)), min_size=1, max_size=200), st.integers(30, 5000))
def test_an_encoder_is_never_told_more_often_than_it_can_follow(heard: list[tuple[Wish, float]], max_kbps: int) -> None:
    wishes, now = Wishes(max_kbps), 0.0
    keyframes, rates = [], []
    for wish, later in heard:
        now += later
        told = wishes.told(wish, now)
        assert told.fps is None
        keyframes += [now] if told.keyframe else []
        rates += [(now, told.kbps)] if told.kbps is not None else []
    assert all(kbps <= max_kbps for _, kbps in rates)
    assert all(b - a >= KEYFRAME_SECONDS for a, b in pairwise(keyframes))
    assert all(b - a >= LOWER_SECONDS for (a, _), (b, _) in pairwise(rates))


@given(st.lists(WISHES, min_size=1, max_size=50), st.integers(30, 5000))
def test_what_is_wished_for_long_is_what_the_encoder_has(heard: list[Wish], max_kbps: int) -> None:
    wishes, has = Wishes(max_kbps), None
    for n, wish in enumerate([*heard, *[NOTHING] * 10]):
        has = wishes.told(wish, float(n)).kbps or has
    wished = [min(wish.kbps, max_kbps) for wish in heard if wish.kbps is not None]
    if wished:
        assert has is not None
        assert abs(has - wished[-1]) <= CHANGE * has
