"""Waits lie within their bounds for ever, and the server's own wish is heeded."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from overshootd.backoff import NETWORK, REFUSED, Backoff

ATTEMPTS = st.integers(0, 10**9)  # a daemon that runs for years gets there


@given(ATTEMPTS, st.integers())
def test_a_wait_lies_between_nothing_and_the_cap(attempt: int, seed: int) -> None:
    backoff = Backoff(base=0.5, cap=30.0)
    assert 0 <= backoff.delay(attempt, random.Random(seed).uniform) <= backoff.ceiling(attempt) <= 30.0


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    assert [Backoff(base=0.5, cap=3.0).ceiling(attempt) for attempt in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_the_jitter_is_full() -> None:
    """Devices that lost one server together must not come back together."""
    waits = [NETWORK.delay(6, random.Random(seed).uniform) for seed in range(1000)]
    assert min(waits) < 1
    assert max(waits) > 29
    assert 13 < sum(waits) / len(waits) < 17


@given(ATTEMPTS, st.floats(0, 3600))
def test_the_servers_wish_wins_when_it_is_longer(attempt: int, wish: float) -> None:
    assert NETWORK.delay(attempt, lambda low, high: low, wish) == wish
    assert NETWORK.delay(attempt, lambda low, high: high, wish) == max(NETWORK.ceiling(attempt), wish)


def test_what_a_person_must_mend_is_retried_slowly() -> None:
    assert REFUSED.ceiling(0) >= 60
    assert REFUSED.ceiling(10**6) <= 900
