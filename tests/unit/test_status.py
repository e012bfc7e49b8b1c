"""What is told of the streams: the report behind `overshootd status`, its text, and the line for systemd."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.board import Board
from overshootd.contracts import Count
from overshootd.control.report import DaemonFacts, report
from overshootd.control.show import duration, size, text
from overshootd.control.wire import Json
from overshootd.status import (
    LONGEST_LINE,
    BrokerState,
    CameraNow,
    LastMinute,
    PathState,
    Rung,
    SinkNow,
    SpoolNow,
    State,
    StreamState,
    Switch,
    status_line,
)

NOW, WALL = 5000.0, 1_800_000_000.0
FACTS = DaemonFacts("1.2.3", 812, "gate-pi", "/var/lib/overshootd", NOW - 7384.0, True, 142.25)
SWITCH = Switch(WALL - 60.0, Rung.REJOIN, 0.44, "the path has changed")


def live(**changes: object) -> StreamState:
    state = StreamState(
        State.LIVE,
        results=7,
        last_result=WALL - 2.5,
        transport="native",
        stream_id="s-1",
        keepalive_sent=NOW - 4.0,
        lease_until=NOW + 41.0,
        token_at=NOW - 80.0,
        switch=SWITCH,
        notes=("the token for publishing expires in 3 days",),
    )
    return replace(state, **changes)  # type: ignore[arg-type]  # a test names its fields


def of(state: StreamState) -> Json:
    stream: Json = report({"a": state}, FACTS, now=NOW, wall=WALL)["streams"]["a"]
    return stream


def shown(states: Mapping[str, StreamState], width: int = 80, facts: DaemonFacts = FACTS) -> str:
    """As it arrives at the command, which is through JSON."""
    return text(json.loads(json.dumps(report(states, facts, now=NOW, wall=WALL))), width, UTC)


# -- the report


def test_a_stream_is_reported_in_ages_and_moments() -> None:
    assert of(live()) == {
        "state": "live",
        "why": "",
        "transport": "native",
        "rung": "steady",
        "stream_id": "s-1",
        "keepalive_seconds_ago": 4.0,
        "lease_seconds_left": 41.0,
        "token_seconds_old": 80.0,
        "last_switch": {
            "at": "2027-01-15T07:59:00.000Z",
            "rung": "rejoin",
            "seconds": 0.44,
            "why": "the path has changed",
        },
        "last_minute": {"frames": 0, "results": 0},
        "results": 7,
        "last_result_at": "2027-01-15T07:59:57.500Z",
        "last_result_seconds_ago": 2.5,
        "notes": ["the token for publishing expires in 3 days"],
        "paused": False,
        "today": {"seconds": 0.0, "cents": 0.0, "bytes_up": 0, "bytes_down": 0, "received": 0, "due": 0.0},
        "sinks": [],
    }


def test_what_a_stream_does_not_have_is_null() -> None:
    fresh = of(StreamState())
    missing = ("keepalive_seconds_ago", "lease_seconds_left", "token_seconds_old", "last_switch", "last_result_at")
    assert [fresh[key] for key in missing] == [None] * len(missing)


def test_a_lease_that_ran_out_has_less_than_nothing_left() -> None:
    assert of(live(lease_until=NOW - 12.0))["lease_seconds_left"] == -12.0


def test_a_clock_that_was_set_back_makes_no_result_of_the_future() -> None:
    assert of(live(last_result=WALL + 3600.0))["last_result_seconds_ago"] == 0.0


def test_frames_and_results_are_those_of_the_last_minute() -> None:
    state = live(frames_minute=LastMinute(), results_minute=LastMinute())
    for second in reversed(range(90)):
        state.frames_minute.add(NOW - second)
    for second in (200, 59, 1):
        state.results_minute.add(NOW - second)
    assert of(state)["last_minute"] == {"frames": 60, "results": 2}


def test_the_daemon_is_reported_with_its_cameras() -> None:
    facts = replace(
        FACTS,
        memory_limit_mb=300.0,
        paths=PathState(2, NOW - 30.0, "eth0 is now wlan0"),
        cameras={"yard": CameraNow("lost", "gone")},
        brokers={"home": BrokerState(False, "refused", NOW - 9.0)},
        spool=SpoolNow(1000, 2000, WALL - 60.0, 3, "disk full"),
        board=Board(48.3, False, True, 5_000_000),
    )
    assert report({}, facts, now=NOW, wall=WALL) == {
        "schema": 1,
        "at": "2027-01-15T08:00:00.000Z",
        "version": "1.2.3",
        "pid": 812,
        "device": "gate-pi",
        "state_dir": "/var/lib/overshootd",
        "uptime_seconds": 7384.0,
        "clock_synced": True,
        "network": {"changes": 2, "changed_seconds_ago": 30.0, "what": "eth0 is now wlan0"},
        "memory": {"used_mb": 142.2, "limit_mb": 300.0},
        "spool": {
            "bytes": 1000,
            "max_bytes": 2000,
            "dropped": 3,
            "oldest_at": "2027-01-15T07:59:00.000Z",
            "trouble": "disk full",
        },
        "brokers": {"home": {"connected": False, "why": "refused", "seconds": 9.0}},
        "board": {"temperature_celsius": 48.3, "undervoltage": False, "undervoltage_since_boot": True},
        "disk_free_bytes": 5_000_000,
        "credits_remaining_cents": None,
        "cameras": {"yard": {"state": "lost", "why": "gone"}},
        "streams": {},
        "removed_streams": {},
    }


def test_what_waits_of_a_stream_that_is_configured_no_more_is_reported() -> None:
    facts = replace(FACTS, sinks={"a": [], "gone": [SinkNow("mqtt:home:t", 12, "not connected")]})
    waiting = {"name": "mqtt:home:t", "waiting": 12, "why": "not connected", "passed_over": 0}
    assert report({"a": live()}, facts, now=NOW, wall=WALL)["removed_streams"] == {"gone": {"sinks": [waiting]}}


def test_what_a_stream_has_today_and_who_waits_for_whom_is_reported() -> None:
    facts = replace(
        FACTS,
        today={"a": Count(3600.04, 72.0004, 5, 6, 1790, 1800.04)},
        sinks={"a": [SinkNow("mqtt:home:t", 12, "not connected")]},
        paused={"a"},
    )
    stream = report({"a": live(), "b": live()}, facts, now=NOW, wall=WALL)["streams"]["a"]
    assert (stream["paused"], stream["sinks"]) == (
        True,
        [{"name": "mqtt:home:t", "waiting": 12, "why": "not connected", "passed_over": 0}],
    )
    assert list(stream["today"].values()) == [3600.0, 72.0, 5, 6, 1790, 1800.0]


def test_the_credits_are_those_of_the_key_that_has_least() -> None:
    states = {"a": live(cents_left=500.0), "b": live(cents_left=70.0), "c": StreamState()}
    assert report(states, FACTS, now=NOW, wall=WALL)["credits_remaining_cents"] == 70.0


# -- its text


def test_the_text_says_all_of_a_stream() -> None:
    minute = LastMinute()
    minute.add(NOW)
    lines = shown({"front": live(results_minute=minute)}).splitlines()
    assert lines[lines.index("front") :] == [
        "front",
        "  state         live",
        "  transport     native, steady",
        "  lease         kept 4.0 s ago, 41 s left",
        "  token         1 min 20 s old",
        "  last switch   2027-01-15 07:59:00: rejoin in 0.4 s (the path has changed)",
        "  last minute   0 frames, 1 results",
        "  last result   2.5 s ago",
        "  note          the token for publishing expires in 3 days",
    ]


def test_the_text_says_what_the_daemon_is_and_has() -> None:
    facts = replace(
        FACTS, clock_synced=False, memory_limit_mb=300.0, paths=PathState(2, NOW - 30.0, "eth0 is now wlan0")
    )
    assert shown({}, facts=facts).splitlines() == [
        "overshootd 1.2.3 on gate-pi, up 2 h 3 min",
        "  process       812, 142 of 300 MB of memory",
        "  clock         not synced since boot: times may be wrong",
        "  network       changed 30 s ago: eth0 is now wlan0",
        "",
        "No stream is configured.",
    ]


def test_the_text_says_what_the_board_and_the_disk_tell() -> None:
    facts = replace(FACTS, board=Board(48.6, True, True, 12_345_678_901), spool=SpoolNow(2_000_000, 10**9, None, 7))
    assert shown({"a": StreamState(cents_left=512.0)}, 110, facts).splitlines()[4:9] == [
        "  temperature   49 °C",
        "  supply        too weak now: a better one, or a shorter cable, is needed",
        "  disk          12 GB free",
        "  spool         2.0 MB of 1.0 GB; 7 records were dropped undelivered so far",
        "  credits       $5.12 left",
    ]


def test_a_supply_that_suffices_is_not_worth_a_line() -> None:
    assert "supply" not in shown({}, facts=replace(FACTS, board=Board(40.0, False, False)))


def test_the_text_says_what_the_brokers_do() -> None:
    brokers = {
        "home": BrokerState(True, "", NOW - 60),
        "away": BrokerState(False, "refused", NOW - 9),
        "new": BrokerState(),
    }
    lines = shown({}, facts=replace(FACTS, brokers=brokers)).splitlines()
    assert lines[lines.index("brokers") + 1 :][:3] == [
        "  home          connected for 1 min",
        "  away          not connected for 9.0 s: refused",
        "  new           not connected",
    ]


def test_the_text_says_what_a_stream_has_today_and_who_is_behind() -> None:
    facts = replace(
        FACTS,
        today={"a": Count(3600.0, 72.0, 7_300_000, 900_000, 1790, 1800.0)},
        sinks={"a": [SinkNow("file:/r.jsonl", 0), SinkNow("mqtt:home:t", 12, "not connected")]},
    )
    assert shown({"a": live(notes=())}, 110, facts).splitlines()[-2:] == [
        "  today         1 h for $0.72, 1790 of 1800 results, 7.3 MB up, 900 kB down",
        "  waits         12 records for mqtt:home:t: not connected",
    ]


def test_the_text_says_why_the_spool_stores_nothing() -> None:
    facts = replace(FACTS, spool=SpoolNow(2_000_000, 10**9, trouble="disk full"))
    assert "  spool         2.0 MB of 1.0 GB; trouble: disk full\n" in shown({}, facts=facts)


def test_the_text_says_how_many_records_a_sink_refused() -> None:
    facts = replace(FACTS, sinks={"a": [SinkNow("webhook:https://h/", 0, passed_over=3)]})
    last = shown({"a": live(notes=())}, 110, facts).splitlines()[-1]
    assert last == "  passed over   3 records that webhook:https://h/ refused, since the start"


def test_the_text_says_last_what_waits_of_streams_that_are_configured_no_more() -> None:
    nothing, some = SinkNow("file:/r.jsonl", 0), SinkNow("mqtt:home:t", 12, "not connected")
    facts = replace(FACTS, sinks={"gone": [nothing, some], "done": [nothing]})
    assert shown({"a": live()}, 110, facts).splitlines()[-3:] == [
        "",
        "gone (removed from the configuration)",
        "  waits         12 records for mqtt:home:t: not connected",
    ]


def test_a_pause_that_is_only_asked_for_is_said_to_be() -> None:
    facts = replace(FACTS, paused={"a", "b"})
    lines = shown({"a": live(), "b": StreamState(State.PAUSED)}, 110, facts).splitlines()
    assert [line for line in lines if line.startswith("  state")] == [
        "  state         live (a pause is asked for)",
        "  state         paused",
    ]


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"), (10**13, "10.0 TB")],
)
def test_bytes_are_said_in_a_unit_that_suits_them(count: int, words: str) -> None:
    assert size(count) == words


def test_a_stream_that_cannot_run_is_shown_with_its_reason_alone() -> None:
    lines = shown({"bad": StreamState(State.BROKEN, "x.yaml:3:1: streams.bad: no")}).splitlines()
    assert lines[lines.index("bad") :] == ["bad", "  state         broken: x.yaml:3:1: streams.bad: no"]


def test_a_lease_that_ran_out_is_said_to_have() -> None:
    assert "kept 1 min 5 s ago, ran out 20 s ago" in shown({"a": live(keepalive_sent=NOW - 65, lease_until=NOW - 20)})


WORDS = st.text(st.characters(exclude_categories=["Cs"]))
AGES = st.none() | st.floats(-1e5, NOW)
STATES = st.builds(
    StreamState,
    st.sampled_from(State),
    WORDS,
    transport=st.sampled_from(["", "native", "webrtc", "livekit"]),
    rung=st.sampled_from(Rung),
    keepalive_sent=AGES,
    lease_until=AGES,
    token_at=AGES,
    last_result=st.none() | st.floats(0, 2 * WALL),
    switch=st.none() | st.builds(Switch, st.floats(0, WALL), st.sampled_from(Rung), st.floats(0, 1e6), WORDS),
    notes=st.lists(WORDS, max_size=2).map(tuple),
)
NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


@given(st.dictionaries(NAMES, STATES, max_size=3), st.integers(0, 200))
def test_whatever_is_reported_fits_the_terminal_and_moves_no_cursor(states: dict[str, StreamState], width: int) -> None:
    lines = shown(states, width).split("\n")
    assert max(map(len, lines)) <= max(64, min(width, 110))  # a name may be longer than the narrowest terminal
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1.0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.9, "59 s"),
        (60.0, "1 min"),
        (80.0, "1 min 20 s"),
        (3600.0, "1 h"),
        (3661.0, "1 h 1 min"),
        (90061.0, "1 d 1 h"),
        (86401.0, "1 d"),
        (4e8, "4629 d 15 h"),
    ],
)
def test_a_span_is_said_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


# -- the line for systemd


def test_the_status_line_names_the_rung_of_a_stream_whose_video_does_not_arrive() -> None:
    states = {"a": live(rung=Rung.NEW_ROOM), "b": live(), "c": StreamState(State.WAITING, "503", rung=Rung.KEEPALIVE)}
    assert status_line(states, {}) == "2 live, 1 waiting; a: new room; c: keepalive: 503"


@pytest.mark.parametrize("state", [State.STOPPED, State.ENDED])
def test_the_status_line_names_no_rung_of_a_stream_that_is_over(state: State) -> None:
    assert status_line({"a": StreamState(state, "so", rung=Rung.NEW_STREAM)}, {}) == f"1 {state}; a: so"


@given(st.dictionaries(NAMES, STATES, max_size=9), st.dictionaries(NAMES, WORDS, max_size=3))
def test_the_status_line_stays_one_short_line(states: dict[str, StreamState], cameras: dict[str, str]) -> None:
    line = status_line(states, cameras)
    assert len(line) <= LONGEST_LINE
    assert "\n" not in line
