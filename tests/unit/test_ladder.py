"""The recovery ladder: bounded, and no step is taken that a cheaper one would have spared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from overshootd.contracts import LeaseNow
from overshootd.ladder import IDLE_SECONDS, JOIN_SECONDS, JOINS, SILENCE, STABLE_SECONDS, Ladder, Sign, climb, proved
from overshootd.ladder import doubt as doubted
from overshootd.status import Rung

ORDER = list(Rung)
LEASE = LeaseNow(sent=0.0, until=45.0)
RUNGS = st.sampled_from([Rung.STEADY, Rung.KEEPALIVE, Rung.REJOIN, Rung.NEW_ROOM])
BAD = st.sampled_from([Sign.FAILURE, Sign.DOUBT])


def after(*signs: Sign, connected: bool = True, start: float = 0.0, step: float = 1.0) -> Ladder:
    ladder, now = Ladder(), start
    for sign in signs:
        ladder = climb(ladder, sign, connected=connected, now=now)
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


def test_joins_are_tried_for_a_while_before_the_stream_is_given_up() -> None:
    """A room server that restarts takes seconds, and the stream id survives it."""
    assert after(*[Sign.FAILURE] * 20, connected=False, step=1.0).rung is Rung.NEW_ROOM
    enough = [Sign.FAILURE] * (JOINS + 1)
    assert after(*enough, connected=False, step=JOIN_SECONDS).rung is Rung.NEW_STREAM


@given(RUNGS, st.integers(0, 9), st.booleans(), st.floats(0, 1e6))
def test_a_hint_never_climbs_beyond_a_new_room(rung: Rung, failed: int, connected: bool, now: float) -> None:
    ladder = climb(Ladder(rung, failed, 0.0), Sign.HINT, connected=connected, now=now)
    assert ladder.rung is (Rung.REJOIN if connected else Rung.NEW_ROOM)
    assert ladder.failed == failed


@given(st.lists(st.tuples(BAD, st.booleans(), st.floats(0, JOIN_SECONDS)), min_size=1, max_size=60))
def test_trouble_that_is_not_mended_never_goes_down_the_ladder(troubles: list[tuple[Sign, bool, float]]) -> None:
    ladder, now = Ladder(), 0.0
    for sign, connected, wait in troubles:
        now += wait
        before, ladder = ladder, climb(ladder, sign, connected=connected, now=now)
        assert ORDER.index(ladder.rung) >= ORDER.index(before.rung)


@given(st.lists(BAD, min_size=JOINS + 6, max_size=JOINS + 6), st.booleans())
def test_the_top_is_reached_after_a_bounded_number_of_steps(signs: list[Sign], connected: bool) -> None:
    ladder, now = Ladder(), 0.0
    for sign in signs:
        now += JOIN_SECONDS
        ladder = climb(ladder, sign, connected=connected, now=now)
        if ladder.rung is Rung.NEW_STREAM:
            return
    raise AssertionError(ladder)


@given(RUNGS, st.integers(0, 9), st.floats(0, 1e6))
def test_a_result_is_the_proof_and_the_backoff_is_kept_until_it_lasted(rung: Rung, failed: int, arrived: float) -> None:
    ladder = proved(Ladder(rung, failed, None, 2), arrived=arrived)
    assert (ladder.rung, ladder.doubts, ladder.since) == (Rung.STEADY, 0, None)
    assert ladder.failed == (0 if arrived >= STABLE_SECONDS else failed)


def doubt(ladder: Ladder = Ladder(), lease: LeaseNow = LEASE, *, began: float = 0.0, result: float, now: float) -> bool:  # noqa: B008 - frozen
    return doubted(ladder, lease, began=began, result=result, period=2.0, now=now) is not None


def test_results_that_stay_away_are_doubted_later_each_time() -> None:
    assert not doubt(result=100.0, now=100.0 + SILENCE - 0.1)
    assert doubt(result=100.0, now=100.0 + SILENCE)
    assert not doubt(Ladder(doubts=1), result=100.0, now=100.0 + 2 * SILENCE - 0.1)
    assert doubt(Ladder(doubts=1), result=100.0, now=100.0 + 2 * SILENCE)


def test_a_slow_stream_is_given_three_periods() -> None:
    assert doubted(Ladder(), LEASE, began=0.0, result=0.0, period=60.0, now=179.0) is None
    assert doubted(Ladder(), LEASE, began=0.0, result=0.0, period=60.0, now=180.0) == "no result for 180 s"


def test_what_began_anew_just_now_is_given_its_time() -> None:
    assert not doubt(result=0.0, began=100.0, now=101.0)


def test_an_api_that_sees_no_frames_is_believed_once_it_could_have_seen_some() -> None:
    idle = LeaseNow(sent=100.0 + IDLE_SECONDS, until=None, state="idle")
    assert doubt(lease=idle, began=100.0, result=109.0, now=110.0)
    assert not doubt(lease=idle, began=100.1, result=109.0, now=110.0)
