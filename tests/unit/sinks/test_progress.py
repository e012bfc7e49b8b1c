"""What a sink has of a stream, compared with a set of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.sinks.progress import SPANS, Progress, progress

Span = tuple[int, int]
SEQS = st.integers(1, 60)
GIVEN = st.lists(st.tuples(SEQS, st.integers(0, 9)).map(lambda span: (span[0], span[0] + span[1])), max_size=20)


def having(given_: list[Span], floor: int = 0) -> Progress:
    has = Progress(floor)
    for first, last in given_:
        has = has.having(first, last)
    return has


def model(given_: list[Span], floor: int = 0) -> set[int]:
    return {*range(1, floor + 1), *(seq for first, last in given_ for seq in range(first, last + 1))}


def content(has: Progress) -> set[int]:
    return {*range(1, has.floor + 1), *(seq for first, last in has.spans for seq in range(first, last + 1))}


@given(GIVEN, st.integers(0, 30))
def test_it_holds_what_was_given_and_nothing_else(given_: list[Span], floor: int) -> None:
    assert content(having(given_, floor)) == model(given_, floor)


@given(GIVEN, st.integers(0, 30))
def test_its_spans_are_in_order_and_apart_from_each_other_and_the_floor(given_: list[Span], floor: int) -> None:
    has = having(given_, floor)
    ends = [has.floor, *(end for span in has.spans for end in span)]
    assert all(first - last > 1 for last, first in zip(ends[0::2], ends[1::2], strict=False))
    assert all(first <= last for first, last in has.spans)


@given(GIVEN, st.integers(0, 70), st.integers(0, 80))
def test_a_gap_is_the_first_run_that_is_missing_behind_a_number(given_: list[Span], after: int, head: int) -> None:
    missing = sorted(set(range(after + 1, head + 1)) - model(given_))
    run = [seq for place, seq in enumerate(missing) if seq == missing[0] + place]
    assert having(given_).gap_after(after, head) == ((run[0], run[-1]) if run else None)


@given(GIVEN, st.integers(0, 80))
def test_what_waits_is_what_is_missing(given_: list[Span], head: int) -> None:
    assert having(given_).waiting(head) == len(set(range(1, head + 1)) - model(given_))


@given(GIVEN, st.integers(0, 80))
def test_filling_gap_after_gap_leaves_nothing_and_no_spans(given_: list[Span], head: int) -> None:
    has = having(given_)
    while gap := has.gap(head):
        has = has.having(*gap)
    assert has.waiting(head) == 0
    assert has.gap(head) is None
    assert has.spans == () or has.spans[0][0] > head


@given(GIVEN, st.integers(0, 30))
def test_it_comes_back_from_the_spool_as_it_was(given_: list[Span], floor: int) -> None:
    has = having(given_, floor)
    assert progress(has.floor, has.text()) == has


@given(GIVEN)
def test_the_top_is_the_highest_that_was_given(given_: list[Span]) -> None:
    assert having(given_).top == max(model(given_), default=0)


@given(st.lists(st.integers(1, 5), min_size=SPANS + 1, max_size=SPANS + 20))
def test_more_spans_than_are_kept_cost_the_shortest_and_never_the_newest(lengths: list[int]) -> None:
    spans = [(10 * place, 10 * place + length) for place, length in enumerate(lengths, 1)]
    has = having(spans)
    assert len(has.spans) == SPANS
    assert has.top == spans[-1][1]
    assert content(has) <= model(spans)
    lost = set(spans[:-1]) - set(has.spans)
    assert max(last - first for first, last in lost) <= min(last - first for first, last in has.spans[:-1])


@pytest.mark.parametrize("text", ["[", "[[1]]", '[["a","b"]]', "7"])
def test_spans_that_make_no_sense_are_delivered_once_more(text: str) -> None:
    assert progress(5, text) == Progress(5)


@given(GIVEN, GIVEN)
def test_what_one_has_beyond_another_and_what_both_have(given_: list[Span], before: list[Span]) -> None:
    has, had = having(given_), having(before)
    beyond = [seq for first, last in has.beyond(had) for seq in range(first, last + 1)]
    assert beyond == sorted(model(given_) - model(before))
    assert content(has.joined(had)) == model(given_) | model(before)
