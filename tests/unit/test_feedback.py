"""What follows from a receiver's word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from overshootd.contracts import AccessUnit, Wish
from overshootd.publish.feedback import LOSSY, NARROW_SECONDS, Feedback, Narrow

MOST = 500
"""kbit/s."""


def unit(seconds: float, *, keyframe: bool = False) -> AccessUnit:
    return AccessUnit(b"", 640, 360, keyframe, round(seconds * 1e9))


def test_while_nothing_is_said_nothing_is_wished() -> None:
    feedback = Feedback(None)
    assert {feedback.wish(unit(t), MOST) for t in range(1000)} == {Wish()}


def test_a_request_for_a_keyframe_is_passed_on_once() -> None:
    feedback = Feedback(None)
    feedback.keyframe()
    assert [feedback.wish(unit(t), MOST).keyframe for t in range(3)] == [True, False, False]


def test_a_keyframe_that_goes_out_is_the_answer_to_a_request_before_it() -> None:
    feedback = Feedback(None)
    feedback.keyframe()
    assert not feedback.wish(unit(1, keyframe=True), MOST).keyframe
    assert not feedback.wish(unit(2), MOST).keyframe


def test_without_a_request_a_keyframe_is_wished_for_when_there_was_none_for_so_long() -> None:
    feedback = Feedback(2.0)
    feedback.wish(unit(10, keyframe=True), MOST)
    assert [feedback.wish(unit(t), MOST).keyframe for t in (11, 11.9, 12, 12.1)] == [False, False, True, True]
    assert not feedback.wish(unit(12.2, keyframe=True), MOST).keyframe
    assert not feedback.wish(unit(14.1), MOST).keyframe


def test_an_estimate_counts_while_packets_are_lost() -> None:
    feedback = Feedback(None)
    feedback.estimate(200_000)
    assert feedback.wish(unit(0), MOST).kbps is None
    feedback.report(0, 0, LOSSY)
    assert feedback.wish(unit(1), MOST).kbps == 200


def test_the_full_rate_is_wished_for_once_when_the_losses_end() -> None:
    feedback = Feedback(None)
    feedback.estimate(200_000)
    feedback.report(0, 0, LOSSY)
    feedback.wish(unit(0), MOST)
    feedback.report(0, 0, 0.0)
    assert [feedback.wish(unit(t), MOST).kbps for t in range(3)] == [MOST, None, None]


@given(st.lists(st.tuples(st.integers(0, 10_000_000), st.floats(0, 1))))
def test_no_rate_above_the_most_is_ever_wished_for(said: list[tuple[int, float]]) -> None:
    feedback = Feedback(None)
    for estimate, lost in said:
        feedback.estimate(estimate)
        feedback.report(0, 0, lost)
        assert (feedback.wish(unit(0), MOST).kbps or 0) <= MOST


def test_a_path_that_loses_more_than_half_is_narrow_and_told_once_a_while() -> None:
    narrow = Narrow(0.0)
    told = [t for t in range(100) if narrow.look(float(t), sent=10 * t, arrived=7000 + 4 * t)]
    assert told == [NARROW_SECONDS, 2 * NARROW_SECONDS, 3 * NARROW_SECONDS]


def test_a_path_that_takes_nothing_at_all_is_narrow() -> None:
    """The receiver knows of no loss then: it misses what it never heard of."""
    feedback, narrow = Feedback(None), Narrow(0.0)
    feedback.report(highest=7000, lost=0, share=0.0)
    assert [t for t in range(50) if narrow.look(float(t), sent=10 * t, arrived=feedback.arrived)] == [NARROW_SECONDS]


def test_a_path_with_a_hiccup_is_not_narrow() -> None:
    narrow = Narrow(0.0)
    assert not [t for t in range(100) if narrow.look(float(t), sent=10 * t, arrived=10 * t - 100 * (t > 50))]


def test_before_the_first_report_nothing_is_known() -> None:
    narrow = Narrow(0.0)
    assert not [t for t in range(100) if narrow.look(float(t), sent=10 * t, arrived=None)]


def test_where_nothing_is_sent_nothing_is_narrow() -> None:
    narrow = Narrow(0.0)
    assert not [t for t in range(100) if narrow.look(float(t), sent=5, arrived=5)]
