"""A live result is not kept waiting by a backlog, and the backlog takes what is left, on links of any kind."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from overshootd.mqtt.window import ALONE, LATE_SECONDS, LONGEST_BASE, Window

links = st.tuples(st.floats(8.0, 10_000.0), st.floats(0.0, 1.0))
"""Publications a second, and the seconds of a round trip. Of 686 bytes, 100 kbit/s take 18 a second."""


@dataclass
class Pipe:
    """A link that carries one publication after the other; whatever waits, waits in a buffer without an end."""

    rate: float
    trip: float
    now: float = 0.0
    free_at: float = 0.0
    under_way: deque[tuple[float, float]] = field(default_factory=deque)

    def send(self) -> float:
        """When it will be acknowledged."""
        self.free_at = max(self.free_at, self.now) + 1 / self.rate
        return self.free_at + self.trip

    def fill(self, window: Window) -> None:
        while window.takes(len(self.under_way)):
            self.under_way.append((self.now, self.send()))

    def wait(self, window: Window) -> Window:
        """Until the next acknowledgement."""
        sent, self.now = self.under_way.popleft()
        return window.acknowledged(self.now - sent)


def drained(pipe: Pipe, window: Window, count: int) -> tuple[Window, float]:
    """The window after so many, and what a live one would have waited at the worst in the second half."""
    worst = 0.0
    for number in range(count):
        pipe.fill(window)
        if number > count // 2:
            worst = max(worst, pipe.free_at - pipe.now + 1 / pipe.rate + pipe.trip)
        window = pipe.wait(window)
    return window, worst


@given(links)
def test_what_is_live_never_waits_much_longer_than_the_link_takes(link: tuple[float, float]) -> None:
    pipe = Pipe(*link)
    _, worst = drained(pipe, Window(100), 1000)
    assert worst < pipe.trip + LATE_SECONDS + 8 / pipe.rate + 0.1


def test_over_100_kbit_a_second_what_is_live_is_there_within_one() -> None:
    _, worst = drained(Pipe(rate=18.0, trip=0.1), Window(100), 1000)
    assert worst < 1.0


@given(links)
def test_the_backlog_takes_what_the_link_has_to_give(link: tuple[float, float]) -> None:
    """Or as much as `most` of them are in a round trip."""
    pipe = Pipe(*link)
    window, _ = drained(pipe, Window(100), 500)
    begun = pipe.now
    drained(pipe, window, 500)
    possible = min(pipe.rate, 100 / (pipe.trip + 1 / pipe.rate))
    assert 500 / (pipe.now - begun) > 0.7 * possible


def test_a_link_that_becomes_longer_is_no_reason_to_crawl_for_ever() -> None:
    """As from a cable to a satellite, on the same connection."""
    pipe = Pipe(rate=1000.0, trip=0.01)
    window, _ = drained(pipe, Window(100), 500)
    pipe.trip = 0.6
    window, _ = drained(pipe, window, 2000)
    assert window.size > 50


@given(st.lists(st.floats(0.0, 60.0), max_size=200), st.integers(1, 1000))
def test_it_is_always_between_one_and_the_most(times: list[float], most: int) -> None:
    window = Window(most)
    for seconds in times:
        window = window.acknowledged(seconds)
        assert 1.0 <= window.size <= most
        assert window.takes(0)


def test_a_link_that_is_full_of_others_is_not_taken_for_a_long_one() -> None:
    window = Window(100)
    for _ in range(10 * ALONE):
        window = window.acknowledged(10 * LONGEST_BASE)
    assert window.size == 1.0
