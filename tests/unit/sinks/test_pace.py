"""How much a lane gives at a time, and how far it lags."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from overshootd.sinks.pace import Arrivals, Portion

MOST = 256
SECONDS = 0.25


def settled(rate: float, rows: int = 16, rounds: int = 40) -> Portion:
    """After giving to a link that takes `rate` records a second."""
    portion = Portion(rows, MOST, SECONDS)
    for _ in range(rounds):
        portion.took(portion.rows, portion.rows / rate)
    return portion


@given(st.floats(20, 100_000), st.integers(1, MOST))
def test_a_portion_comes_to_take_no_longer_than_it_should(rate: float, rows: int) -> None:
    portion = settled(rate, rows)
    assert portion.rows / rate <= SECONDS
    assert portion.rows == MOST or portion.rows / rate >= SECONDS / 4


@given(st.floats(0.01, 1))
def test_over_the_slowest_link_one_is_given_at_a_time(rate: float) -> None:
    assert settled(rate).rows == 1


def test_a_few_that_arrive_say_nothing_about_more() -> None:
    portion = Portion(16, MOST, SECONDS)
    portion.took(2, 0.0)
    assert portion.rows == 16


def test_a_failure_halves_a_portion_but_not_that_of_a_sink_that_knows_how_far_it_came() -> None:
    live, in_order = Portion(16, MOST, SECONDS), Portion(MOST, MOST)
    live.failed()
    in_order.failed()
    assert (live.rows, in_order.rows) == (8, MOST)


@given(st.integers(1, MOST), st.integers(0, MOST - 1))
def test_one_that_is_refused_is_found_within_a_few_splits(count: int, place: int) -> None:
    place %= count
    portion, begin, tries = Portion(MOST, MOST), 0, 0
    while True:
        tries += 1
        given_ = range(begin, min(begin + portion.rows, count))
        if place not in given_:
            begin = given_.stop
        elif len(given_) == 1:
            break
        else:
            portion.split(len(given_))
    assert begin == place
    assert tries <= 2 * 9 * 9


@given(st.lists(st.floats(0.001, 3), min_size=1, max_size=300), st.data())
def test_a_record_is_never_taken_for_older_than_it_is(steps: list[float], data: st.DataObject) -> None:
    arrivals, now, came = Arrivals(), 0.0, {}
    for seq, step in enumerate(steps, 1):
        now += step
        came[seq] = now
        arrivals.came(seq, now)
    seq = data.draw(st.integers(1, len(steps)))
    age = now - came[seq]
    assert arrivals.age(seq, now) <= age
    assert arrivals.age(seq, now) >= min(age, 12.5) - 3.1, "a mark may lie as much later as two arrivals lie apart"
