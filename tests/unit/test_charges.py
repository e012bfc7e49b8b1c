"""What a stream cost, read off its keepalives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.api.charges import Charges
from overshootd.contracts import Spent

KEPT = {"seconds_charged": 15.0, "cost_cents": 0.3, "credits_remaining_cents": 99}


def test_each_keepalive_tells_what_it_charged() -> None:
    charges = Charges(100.0).told(KEPT, 115.0).told(KEPT, 130.0)
    assert charges.spent == Spent(30.0, 0.6, 99.0)


def test_what_was_streamed_since_the_last_keepalive_is_charged_like_the_rest() -> None:
    charges = Charges(100.0).told(KEPT, 115.0).ended(120.0)
    assert charges.spent.seconds == 20.0
    assert charges.spent.cents == pytest.approx(0.4)
    assert charges.ended(120.0) == charges, "asked twice, it is not charged twice"


def test_what_is_not_said_is_the_time_that_passed() -> None:
    assert Charges(100.0).told({}, 115.0).spent == Spent(15.0, 0.0, None)


def test_a_stream_that_is_taken_up_brings_what_it_cost_meanwhile() -> None:
    assert Charges(100.0).told(KEPT | {"seconds_charged": 40.0}, 100.0).spent.seconds == 40.0


@given(
    st.dictionaries(st.sampled_from(list(KEPT)), st.floats() | st.integers() | st.text() | st.none() | st.booleans())
)
def test_whatever_is_said_nothing_is_given_back(said: dict[str, Any]) -> None:
    spent = Charges(100.0).told(said, 115.0).ended(120.0).spent
    assert spent.seconds >= 0 and spent.cents >= 0
    assert spent.left is None or spent.left >= 0
