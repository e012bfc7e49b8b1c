"""What a broker is told of the device."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.mqtt.discovery import Board
from overshootd.mqtt.summary import LONGEST_WHY, MOST_SINKS, Trouble, available, board_of, essence, newest, summary

REPORT: dict[str, Any] = {
    "at": "2026-07-27T10:15:00.000Z",
    "version": "1.0",
    "device": "gate-pi",
    "uptime_seconds": 12.5,
    "clock_synced": True,
    "pid": 7,
    "cameras": {"yard": {"state": "live", "why": ""}},
    "streams": {
        "door": {"state": "live", "why": "", "results": 7, "last_result_at": None, "stream_id": "secret-ish"},
        "gate": {"state": "waiting", "why": "no answer", "results": 0, "last_result_at": None},
    },
}


FULL = [{"name": "file:/r", "waiting": 12, "why": "disk full"}]


def same(text: str) -> str:
    return text


def but(**changes: Any) -> dict[str, Any]:
    return REPORT | changes


def of_door(**changes: Any) -> dict[str, Any]:
    streams = REPORT["streams"]
    return but(streams=streams | {"door": streams["door"] | changes})


def told(report: dict[str, Any]) -> Any:
    return summary(report, None, same)


def test_streams_are_told_shortly() -> None:
    assert told(REPORT)["streams"]["gate"] == {
        "state": "waiting",
        "why": "no answer",
        "results": 0,
        "last_result_at": None,
        "sinks": [],
    }


def test_what_waits_for_sinks_is_told_also_of_removed_streams() -> None:
    sinks = [{"name": "mqtt:home:t", "waiting": 12, "why": "not connected", "passed_over": 3}]
    said = told(of_door(sinks=sinks) | {"removed_streams": {"shed": {"sinks": sinks}}})
    assert said["streams"]["door"]["sinks"] == sinks == said["removed_streams"]["shed"]["sinks"]


def test_of_very_many_sinks_those_in_trouble_are_told() -> None:
    sinks = [{"name": f"file:/{n}", "waiting": n, "why": "disk full" if n == 90 else ""} for n in range(100)]
    said = told(of_door(sinks=sinks) | {"removed_streams": {str(n): {} for n in range(100)}})
    assert [sink["waiting"] for sink in said["streams"]["door"]["sinks"]] == [90, *range(MOST_SINKS - 1)]
    assert len(said["removed_streams"]) == MOST_SINKS


def test_a_reason_of_pages_is_cut() -> None:
    assert len(told(of_door(why="x" * 10_000))["streams"]["door"]["why"]) == LONGEST_WHY


def test_what_streams_took_today_is_added_up() -> None:
    today = {"seconds": 60.0, "cents": 0.125, "bytes_up": 1000, "bytes_down": 10, "received": 30, "due": 30.5}
    said = told(but(streams={"a": {"today": today}, "b": {"today": today}, "c": {}}))
    assert said["today"] == {
        "seconds": 120.0,
        "cents": 0.25,
        "bytes_up": 2000,
        "bytes_down": 20,
        "received": 60,
        "due": 61.0,
    }


def test_secrets_are_masked_in_all_of_it() -> None:
    trouble = Trouble("now", "camera yard", "hunter2 is wrong")
    report = of_door(why="rtsp://u:hunter2@cam")
    assert "hunter2" not in json.dumps(summary(report, trouble, lambda text: text.replace("hunter2", "***")))


def test_a_change_of_state_reason_sink_spool_clock_or_voltage_is_told_at_once() -> None:
    failing = [{"name": "mqtt:home:t", "waiting": 12, "why": "not connected"}]
    before = essence(told(REPORT))
    for other in (
        of_door(sinks=failing),
        but(removed_streams={"shed": {"sinks": failing}}),
        but(spool={"trouble": "disk full"}),
        of_door(state="waiting"),
        of_door(why="no answer"),
        but(cameras={"yard": {"state": "lost", "why": "gone"}}),
        but(clock_synced=False),
        but(board={"undervoltage": True}),
        but(streams={}),
    ):
        assert essence(told(other)) != before


def test_numbers_that_move_all_the_time_are_told_with_the_next_change() -> None:
    sinks = [[{"name": "mqtt:home:t", "waiting": waiting, "why": "not connected"}] for waiting in (12, 13)]
    moving = of_door(results=8, last_result_at="2026-07-27T10:16:00.000Z", sinks=sinks[1]) | {
        "at": "2026-07-27T10:16:00.000Z",
        "uptime_seconds": 72.5,
        "board": {"temperature_celsius": 51.0},
        "disk_free_bytes": 7,
        "spool": {"bytes": 5},
    }
    assert essence(told(moving)) == essence(told(of_door(sinks=sinks[0])))


def test_the_newest_trouble_is_remembered_after_it_has_passed() -> None:
    found = newest(None, REPORT, {})
    assert found == Trouble("2026-07-27T10:15:00.000Z", "stream gate", "no answer")
    assert newest(found, of_door() | {"at": "later", "streams": {}}, REPORT) is found


@pytest.mark.parametrize(
    ("changes", "of"),
    [
        ({"spool": {"trouble": "disk full"}}, "spool"),
        ({"removed_streams": {"shed": {"sinks": FULL}}}, "sink file:/r of stream shed"),
        ({"streams": {"door": {"sinks": FULL}}}, "sink file:/r of stream door"),
        ({"cameras": {"yard": {"why": "disk full"}}}, "camera yard"),
    ],
)
def test_whatever_gets_into_trouble_may_be_the_newest(changes: dict[str, Any], of: str) -> None:
    assert newest(None, but(**changes), REPORT) == Trouble("2026-07-27T10:15:00.000Z", of, "disk full")


def test_a_trouble_that_lasts_is_no_new_one() -> None:
    assert newest(None, but(at="later"), REPORT) is None


def test_only_a_live_stream_is_available() -> None:
    assert available(REPORT, "door")
    assert not available(REPORT, "gate")
    assert not available(REPORT, "cellar")


def test_a_thermometer_that_fails_for_a_moment_stays() -> None:
    board = board_of(but(board={"temperature_celsius": 51.0, "undervoltage": None}), Board())
    assert board == Board(temperature=True, undervoltage=False)
    assert board_of(but(board={"temperature_celsius": None}), board) == board


@given(
    st.dictionaries(
        st.sampled_from(["streams", "removed_streams", "cameras", "board", "spool", "at"]), st.none() | st.text()
    )
)
def test_a_report_with_parts_missing_is_told_all_the_same(report: dict[str, Any]) -> None:
    said = summary(report, newest(None, report, {}), same)
    assert said["streams"] == {} and essence(said) is not None
    assert json.dumps(said)
