"""When a refused record is tried again, what is given meanwhile, and when it is passed over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from overshootd.sinks.progress import SPANS, Progress
from overshootd.sinks.suspects import FEW, PATIENCE_SECONDS, TIMES, Suspects


def suspects(*seqs: int, due: float) -> Suspects:
    found = Suspects()
    for seq in seqs:
        found.refused(seq, 0.0, "odd")
        found.put_off(seq, due)
    return found


def test_a_record_is_hopeless_after_many_times_and_a_long_while() -> None:
    found = Suspects()
    for _ in range(TIMES - 1):
        suspect = found.refused(7, 1.0, "odd")
    assert not suspect.is_hopeless(PATIENCE_SECONDS + 1.0)
    suspect = found.refused(7, 2.0, "odd")
    assert not suspect.is_hopeless(PATIENCE_SECONDS)
    assert suspect.is_hopeless(PATIENCE_SECONDS + 1.0)


def test_another_record_that_is_refused_takes_nothing_from_the_first() -> None:
    found = Suspects()
    found.refused(7, 0.0, "odd")
    assert found.refused(8, 5.0, "odd").times == 1
    again = found.refused(7, 9.0, "odd")
    assert (again.since, again.times) == (0.0, 2)


def test_what_is_not_due_is_stepped_over() -> None:
    found = suspects(3, 4, due=10.0)
    assert found.gap(Progress(), 9, 1.0) == (1, 2)
    assert found.gap(Progress(2), 9, 1.0) == (5, 9)
    assert found.gap(Progress(2, ((5, 9),)), 9, 1.0) is None
    assert found.due(9) == 10.0


def test_what_is_due_comes_first_and_by_itself() -> None:
    assert suspects(3, 4, due=10.0).gap(Progress(2), 9, 10.0) == (3, 3)


def test_beyond_what_is_asked_for_nothing_is_given_or_due() -> None:
    found = suspects(5, due=10.0)
    assert found.gap(Progress(), 3, 20.0) == (1, 3)
    assert found.gap(Progress(3), 3, 20.0) is None
    assert found.due(3) is None


def test_nothing_is_stepped_over_where_too_many_are_refused() -> None:
    assert suspects(*range(1, FEW + 1), due=10.0).gap(Progress(), 9, 1.0) == (FEW + 1, 9)
    assert suspects(*range(1, FEW + 2), due=10.0).gap(Progress(), 9, 1.0) is None


def test_nothing_is_stepped_over_where_a_span_more_might_be_forgotten() -> None:
    crowded = Progress(0, tuple((10 * number, 10 * number + 5) for number in range(1, SPANS)))
    assert suspects(1, due=10.0).gap(crowded, 10_000, 1.0) is None
    assert Suspects().gap(crowded, 10_000, 1.0) == (1, 9)


def test_what_the_sink_has_is_no_suspect_any_more() -> None:
    found = suspects(3, 8, due=10.0)
    found.gave(1, 5)
    assert found.due(9) == 10.0
    found.gave(8, 8)
    assert (found.due(9), found.why) == (None, "")


def test_the_reason_is_that_of_the_last_that_was_refused_and_still_is() -> None:
    found = Suspects()
    found.refused(3, 0.0, "odd")
    found.refused(8, 0.0, "too large")
    assert found.why == "too large"
    found.gave(8, 8)
    assert found.why == "odd"


@given(st.sets(st.integers(1, 30), max_size=FEW), st.integers(0, 30))
def test_all_but_the_suspects_is_given_and_once(seqs: set[int], floor: int) -> None:
    found, progress, given_ = suspects(*(seq for seq in seqs if seq > floor), due=10.0), Progress(floor), list[int]()
    while (gap := found.gap(progress, 30, 1.0)) is not None:
        progress = progress.having(*gap)
        given_ += range(gap[0], gap[1] + 1)
    assert given_ == [seq for seq in range(floor + 1, 31) if seq not in seqs]
