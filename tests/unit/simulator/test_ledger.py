"""Money and counts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.simulator.ledger import CENTS_PER_SECOND, INITIAL_CENTS, KEPT_ARRIVALS, KEPT_STREAMS, Ledger, percentile


@given(st.lists(st.floats(0, 1e5), max_size=20))
def test_no_cent_is_lost_and_no_account_overdrawn(times: list[float]) -> None:
    ledger = Ledger(["key"])
    entry = ledger.open("s", "key", "native", "frame", now=0.0)
    for now in sorted(times):
        entry.charge(now)
    assert entry.seconds_charged == pytest.approx(max(times, default=0.0))
    assert entry.account.cents >= 0
    assert entry.account.cents + entry.cost_cents == pytest.approx(INITIAL_CENTS)


def test_a_charge_that_empties_the_account_is_not_paid() -> None:
    ledger = Ledger(["key"])
    entry = ledger.open("s", "key", "native", "frame", now=100.0)
    ledger.set_credits(10 * CENTS_PER_SECOND)
    first, second = entry.charge(105.0), entry.charge(111.0)
    assert (first.seconds, first.paid, second.paid) == (5.0, True, False)
    assert [first.cents, second.cents] == pytest.approx([5 * CENTS_PER_SECOND] * 2)


def test_streams_of_one_key_share_an_account() -> None:
    ledger = Ledger(["one", "two"])
    entries = [ledger.open(name, "one", "native", "frame", now=0.0) for name in "ab"]
    for entry in entries:
        entry.charge(50.0)
    assert ledger.accounts["one"].cents == pytest.approx(INITIAL_CENTS - 100 * CENTS_PER_SECOND)
    assert ledger.accounts["two"].cents == INITIAL_CENTS


def test_old_ended_streams_make_room_and_living_ones_stay() -> None:
    ledger = Ledger(["key"])
    ledger.open("lives", "key", "native", "frame", now=0.0)
    for number in range(KEPT_STREAMS):
        ledger.open(str(number), "key", "native", "frame", now=0.0).end_reason = "lease_expired"
    assert len(ledger.streams) == KEPT_STREAMS
    assert "lives" in ledger.streams
    assert "0" not in ledger.streams


def test_a_violation_is_counted_for_run_and_stream() -> None:
    ledger = Ledger(["key"])
    entry = ledger.open("s", "key", "native", "frame", now=0.0)
    ledger.violated("simulcast", entry)
    ledger.violated("no stream's")
    assert (ledger.violation_count, entry.violations) == (2, 1)
    assert list(ledger.violations) == ["s: simulcast", "no stream's"]


def test_the_report_holds_no_key_and_is_json() -> None:
    ledger = Ledger(["ovs_secret"])
    ledger.open("s", "ovs_secret", "native", "frame", now=0.0).ages_ms.extend([1.0, 3.0])
    report = json.dumps(ledger.to_json(now=9.0))
    assert "ovs_secret" not in report
    assert json.loads(report)["totals"]["age_p95_ms"] == 3.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.integers(0, 100))
def test_a_percentile_is_one_of_the_values(values: list[float], percent: int) -> None:
    assert percentile(values, percent) in [round(value, 1) for value in values]


def test_percentiles_of_a_hundred() -> None:
    assert [percentile(range(1, 101), percent) for percent in (0, 50, 95, 100)] == [1, 50, 95, 100]
    assert percentile([], 50) is None


def test_a_streams_arrivals_tell_its_life_and_what_came_since() -> None:
    ledger = Ledger(["key"])
    entry = ledger.open("s", "key", "native", "frame", now=1.0)
    for at in (2.0, 3.0, 4.0):
        entry.frame(at)
    entry.result_sent("r", 3.5)
    entry.end("client_requested", 5.0)
    life = {"created": 1.0, "ended": 5.0, "end_reason": "client_requested"}
    assert ledger.arrivals(6.0, since=3.0) == {
        "now": 6.0,
        "streams": {"s": {**life, "frames": [3, 4], "results": [3.5]}},
    }
    assert (entry.frames_arrived, entry.sent, entry.seconds_charged) == (3, 1, 4.0)


def test_of_arrivals_only_the_newest_are_kept() -> None:
    entry = Ledger(["key"]).open("s", "key", "native", "frame", now=0.0)
    for at in range(KEPT_ARRIVALS + 5):
        entry.frame(at)
        entry.result_sent("r", at)
    arrivals = entry.arrivals(since=0.0)
    assert len(arrivals["frames"]) == len(arrivals["results"]) == KEPT_ARRIVALS
    assert arrivals["frames"][0] == 5


def test_what_was_sent_is_numbered_stream_by_stream() -> None:
    ledger = Ledger(["key"])
    one, other = (ledger.open(name, "key", "native", "frame", now=0.0) for name in ("one", "other"))
    one.result_sent("a", 1.0)
    other.result_sent("b", 1.5)
    one.result_sent("c", 2.0)
    assert ledger.told(3.0) == {
        "now": 3.0,
        "streams": {
            "one": [{"number": 1, "id": "a", "at": 1.0}, {"number": 2, "id": "c", "at": 2.0}],
            "other": [{"number": 1, "id": "b", "at": 1.5}],
        },
    }
