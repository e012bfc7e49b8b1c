"""The recovery ladder: bounded, and no step is taken that a cheaper one would have spared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.contracts import LeaseNow
from overshootd.ladder import (
    FIRST_SECONDS,
    HOLD,
    IDLE_SECONDS,
    JOIN,
    JOIN_SECONDS,
    JOINS,
    SILENCE,
    STABLE_SECONDS,
    Ladder,
    Sign,
    climb,
    pause,
    proved,
)
from overshootd.ladder import doubt as doubted
from overshootd.status import Rung

ORDER = list(Rung)
LEASE = LeaseNow(sent=0.0, until=45.0)
RUNGS = st.sampled_from([Rung.STEADY, Rung.KEEPALIVE, Rung.REJOIN, Rung.NEW_ROOM])
BAD = st.sampled_from([Sign.FAILURE, Sign.DOUBT])


def after(
    *signs: Sign, connected: bool = True, held: float | None = None, ever: bool = True, step: float = 1.0
) -> Ladder:
    ladder, now = Ladder(), 0.0
    for sign in signs:
        ladder = climb(ladder, sign, connected=connected, held=held, ever=ever, now=now)
        now += step
    return ladder


def test_a_failure_is_met_in_the_same_room_first_then_by_a_new_one() -> None:
    assert after(Sign.FAILURE).rung is Rung.REJOIN
    assert after(Sign.FAILURE, Sign.FAILURE).rung is Rung.NEW_ROOM


def test_a_room_that_is_not_connected_is_not_rejoined() -> None:
    assert after(Sign.FAILURE, connected=False).rung is Rung.NEW_ROOM
    assert after(Sign.HINT, connected=False).rung is Rung.NEW_ROOM


def test_a_doubt_costs_a_keepalive_before_anything_else() -> None:
    assert after(Sign.DOUBT).rung is Rung.KEEPALIVE
    assert after(Sign.DOUBT, Sign.DOUBT).rung is Rung.REJOIN
    assert after(*[Sign.DOUBT] * 3).rung is Rung.NEW_ROOM
    assert after(*[Sign.DOUBT] * 4).rung is Rung.NEW_STREAM


def test_a_doubt_costs_no_stream_where_rooms_have_failed_before() -> None:
    """What is dead then is mostly the results socket, of which nobody tells."""
    assert after(Sign.FAILURE, Sign.FAILURE, Sign.DOUBT).rung is Rung.KEEPALIVE


def test_joins_are_tried_for_a_while_before_the_stream_is_given_up() -> None:
    """A room server that restarts takes seconds, and the stream id survives it."""
    assert after(*[Sign.FAILURE] * 20, connected=False, step=1.0).rung is Rung.NEW_ROOM
    enough = [Sign.FAILURE] * (JOINS + 1)
    assert after(*enough, connected=False, step=JOIN_SECONDS).rung is Rung.NEW_STREAM


def test_a_stream_that_never_had_a_room_is_given_up_sooner() -> None:
    some = [Sign.FAILURE] * 22
    assert after(*some, connected=False, ever=False, step=FIRST_SECONDS / 20).rung is Rung.NEW_STREAM
    assert after(*some, connected=False, ever=True, step=FIRST_SECONDS / 20).rung is Rung.NEW_ROOM


def test_rooms_that_are_joined_and_do_not_hold_end_in_a_new_stream_too() -> None:
    """A participant that is removed a second after each join was joined anew every 1.3 s, without end."""
    assert after(*[Sign.FAILURE] * 70, connected=False, held=1.0).rung is Rung.NEW_STREAM


def test_what_fails_in_a_room_that_held_is_a_new_trouble() -> None:
    ladder = after(*[Sign.FAILURE] * 70, connected=True, held=STABLE_SECONDS)
    assert (ladder.rung, ladder.failed) == (Rung.NEW_ROOM, 1)


@given(st.integers(0, 10**6), st.booleans())
def test_the_first_new_room_is_joined_at_once_and_those_after_it_ever_later(failed: int, joined: bool) -> None:
    wait = pause(Ladder(Rung.NEW_ROOM, failed), joined=joined, uniform=lambda low, high: high)
    assert wait <= (HOLD if joined else JOIN).cap
    assert (wait == 0.0) == (failed < 2)


@given(RUNGS, st.integers(0, 9), st.booleans(), st.floats(0, 1e6))
def test_a_hint_never_climbs_beyond_a_new_room(rung: Rung, failed: int, connected: bool, now: float) -> None:
    ladder = climb(Ladder(rung, failed, 0.0), Sign.HINT, connected=connected, held=None, ever=True, now=now)
    assert ladder.rung is (Rung.REJOIN if connected else Rung.NEW_ROOM)
    assert ladder.failed == failed


@given(BAD, st.lists(st.tuples(st.booleans(), st.floats(0, JOIN_SECONDS)), min_size=1, max_size=60))
def test_trouble_of_one_kind_that_is_not_mended_never_goes_down_the_ladder(
    sign: Sign, troubles: list[tuple[bool, float]]
) -> None:
    ladder, now = Ladder(), 0.0
    for connected, wait in troubles:
        now += wait
        before, ladder = ladder, climb(ladder, sign, connected=connected, held=None, ever=True, now=now)
        assert ORDER.index(ladder.rung) >= ORDER.index(before.rung)


@given(st.lists(BAD, min_size=JOINS + 9, max_size=JOINS + 9), st.booleans())
def test_the_top_is_reached_after_a_bounded_number_of_steps(signs: list[Sign], connected: bool) -> None:
    ladder, now = Ladder(), 0.0
    for sign in signs:
        now += JOIN_SECONDS
        ladder = climb(ladder, sign, connected=connected, held=None, ever=True, now=now)
        if ladder.rung is Rung.NEW_STREAM:
            return
    raise AssertionError(ladder)


@given(RUNGS, st.integers(0, 9), st.floats(0, 1e6))
def test_a_result_is_the_proof_and_the_backoff_is_kept_until_it_lasted(rung: Rung, failed: int, arrived: float) -> None:
    ladder = proved(Ladder(rung, failed, None, 2), held=arrived)
    assert (ladder.rung, ladder.doubts, ladder.since) == (Rung.STEADY, 0, None)
    assert ladder.failed == (0 if arrived >= STABLE_SECONDS else failed)


def doubt(ladder: Ladder = Ladder(), lease: LeaseNow = LEASE, *, began: float = 0.0, result: float, now: float) -> bool:  # noqa: B008 - frozen
    return doubted(ladder, lease, began=began, result=result, period=2.0, now=now) is not None


@pytest.mark.parametrize(("doubts", "patience"), [(0, 6.0), (1, SILENCE), (2, 2 * SILENCE), (3, 4 * SILENCE)])
def test_results_that_stay_away_are_doubted_later_each_time(doubts: int, patience: float) -> None:
    assert not doubt(Ladder(doubts=doubts), result=100.0, now=100.0 + patience - 0.1)
    assert doubt(Ladder(doubts=doubts), result=100.0, now=100.0 + patience)


def test_a_slow_stream_is_given_three_periods() -> None:
    assert doubted(Ladder(), LEASE, began=0.0, result=0.0, period=60.0, now=179.0) is None
    assert doubted(Ladder(), LEASE, began=0.0, result=0.0, period=60.0, now=180.0) == "no result for 180 s"


def test_what_began_anew_just_now_is_given_its_time() -> None:
    assert not doubt(result=0.0, began=100.0, now=101.0)


def test_an_api_that_sees_no_frames_is_believed_once_it_could_have_seen_some() -> None:
    idle = LeaseNow(sent=100.0 + IDLE_SECONDS, until=None, state="idle")
    assert doubt(lease=idle, began=100.0, result=99.0, now=105.0)
    assert not doubt(lease=idle, began=100.1, result=99.0, now=105.0)
    assert not doubt(lease=idle, began=0.0, result=109.0, now=110.0), "it inferred all the same"
