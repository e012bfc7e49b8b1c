"""What Home Assistant is told, held against its rules, and its templates rendered with real records."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.config.brokers import Command as Verb
from overshootd.config.model import NAME
from overshootd.contracts import Inference
from overshootd.mqtt.discovery import (
    AnnouncedStream,
    Board,
    announced,
    components,
    config_topic,
    gone,
    object_id,
    payload,
)
from overshootd.mqtt.topics import VERBS, Topics
from overshootd.sinks.record import Origin, encode, result_record
from overshootd.status import State
from tests.unit.mqtt.home_assistant_rules import check, rendered, state
from tests.unit.mqtt.test_properties import values

OURS = Topics("overshootd", "gate-pi")
NOTHING: tuple[Verb, ...] = ()
ONLY_PAUSE: tuple[Verb, ...] = ("pause",)
WHOLE_BOARD = Board(temperature=True, undervoltage=True)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "person": {"type": "boolean", "title": "Anyone at the door?"},
        "person_count": {"type": ["integer", "null"]},
        "colour": {"enum": ["red", " dark 'green'", None]},
        "what": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "labels": {"type": "array", "items": {"type": "string"}},
        "boxes": {"type": "array", "items": {"type": "object"}},
        "place": {"type": "object"},
        "it's {{ odd }}": {"type": "number"},
        "😀": {"type": "number"},
        "items": {"type": "number"},
    },
}


def told(
    *schemas: Mapping[str, Any] | None, verbs: Collection[Verb] = VERBS, board: Board = WHOLE_BOARD
) -> Mapping[str, Any]:
    """The components of streams with these schemas, by key, once they have passed the rules."""
    streams = [
        AnnouncedStream(f"stream-{number}", OURS.of(f"stream-{number}", "last"), schema)
        for number, schema in enumerate(schemas)
    ]
    made = components(OURS, streams, verbs, board)
    return check(config_topic("homeassistant", "gate-pi"), payload(OURS, "1.0", made))


def record(text: object) -> bytes:
    """A line as the spool makes it, of a stream that has a schema."""
    inference = Inference(received_at=1_700_000_000.0, api={"id": "r", "ok": True, "result": text})
    made = result_record(Origin("gate-pi", "stream-0", {}), inference, with_schema=True, synced=True)
    return encode(made, "01890000-0000-7000-8000-000000000000", 1)


def answer(**output: Any) -> bytes:
    return record(json.dumps(output))


def shown(name: str, message: bytes, schema: Mapping[str, Any] = SCHEMA) -> str | None:
    """The state of the one entity that is called so, after a message."""
    found = [entity for entity in told(schema).values() if entity["name"] == f"stream-0 {name}"]
    assert len(found) == 1
    return state(found[0], message)


STATUS = json.dumps(
    {
        "version": "1.0",
        "clock_synced": False,
        "board": {"temperature_celsius": 61.5, "undervoltage": True},
        "disk_free_bytes": 1_234_567_890,
        "spool": {"bytes": 5, "trouble": "disk full"},
        "streams": {"stream-0": {"state": "waiting", "why": "no answer", "results": 7}},
    }
).encode()


def test_the_device_is_described() -> None:
    said = json.loads(payload(OURS, "1.0", {}))
    assert said["dev"] == {
        "ids": ["overshootd_gate-pi"],
        "name": "gate-pi",
        "mf": "overshootd",
        "sw": "1.0",
    }
    assert said["o"] == {"name": "overshootd", "sw": "1.0"}
    assert said["availability"] == [{"topic": "overshootd/gate-pi/state"}]


@pytest.mark.parametrize(
    ("name", "output", "expected"),
    [
        ("Anyone at the door?", {"person": True}, "ON"),
        ("Anyone at the door?", {"person": False}, "OFF"),
        ("Anyone at the door?", {"person": "yes"}, None),
        ("person count", {"person_count": 3}, "3"),
        ("person count", {"person_count": 0.5}, "0.5"),
        ("person count", {"person_count": True}, None),
        ("person count", {"person_count": None}, None),
        ("colour", {"colour": "red"}, "red"),
        ("colour", {"colour": " dark 'green'"}, "dark 'green'"),
        ("colour", {"colour": "blue"}, None),
        ("what", {"what": "a cat " * 100}, ("a cat " * 100)[:255].strip()),
        ("what", {"what": ["odd"]}, '["odd"]'),
        ("labels", {"labels": ["a cat", "a dog"]}, "a cat, a dog"),
        ("labels", {"labels": ["x" * 300]}, "x" * 255),
        ("labels", {"labels": "cat"}, None),
        ("boxes", {"boxes": [{"x": 1}, {"x": 2}]}, "2"),
        ("boxes", {"boxes": []}, "0"),
        ("place", {"place": {"x": 1}}, '{"x":1}'),
        ("it's {{ odd }}", {"it's {{ odd }}": 1}, "1"),
        ("😀", {"😀": 2}, "2"),
        ("items", {"items": 3}, "3"),
    ],
)
def test_a_property_of_the_answer_is_shown(name: str, output: dict[str, Any], expected: str | None) -> None:
    assert shown(name, answer(**output)) == expected


@pytest.mark.parametrize(
    "message",
    [record("no JSON"), record(None), record("null"), record("[1]"), record('"person"'), record("7"), answer(), b""],
    ids=["text", "none", "null", "list", "string", "number", "empty", "no-longer-retained"],
)
def test_what_is_not_there_is_unknown(message: bytes) -> None:
    outputs = {key: entity for key, entity in told(SCHEMA).items() if ":output:" in key}
    assert len(outputs) == len(SCHEMA["properties"])
    for entity in outputs.values():
        assert state(entity, message) is None


def test_the_newest_result_is_text_that_a_state_holds_and_the_record_its_attributes() -> None:
    entity = told(None)["sensor:stream:stream-0:result"]
    assert state(entity, record("y" * 1000)) == "y" * 255
    assert entity["json_attributes_topic"] == "overshootd/gate-pi/stream-0/last"
    assert "json_attributes_template" not in entity


def test_the_time_of_the_newest_result_is_a_timestamp() -> None:
    assert state(told(None)["sensor:stream:stream-0:result_at"], answer()) == "2023-11-14T22:13:20.000Z"


def test_a_stream_that_retains_no_result_shows_how_it_is_and_no_more() -> None:
    made = components(OURS, [AnnouncedStream("yard", "", SCHEMA)], (), Board())
    assert {key for key in made if ":stream:" in key} == {
        "binary_sensor:stream:yard:available",
        "sensor:stream:yard:state",
    }


def test_the_state_of_a_stream_comes_out_of_the_status() -> None:
    entity = told(None)["sensor:stream:stream-0:state"]
    assert state(entity, STATUS) == "waiting"
    assert json.loads(rendered(entity["json_attributes_template"], STATUS))["why"] == "no answer"
    for other in (b"", b"{}", b'{"streams": {}}'):
        assert state(entity, other) is None
        assert json.loads(rendered(entity["json_attributes_template"], other)) == {}


def test_every_state_of_a_stream_is_an_option() -> None:
    assert told(None)["sensor:stream:stream-0:state"]["options"] == [*State]


def test_diagnostics_come_out_of_the_status() -> None:
    entities = told()
    states = {key: state(entity, STATUS) for key, entity in entities.items()}
    assert states == {
        "sensor:device:temperature": "61.5",
        "binary_sensor:device:undervoltage": "ON",
        "sensor:device:disk_free": "1234.6",
        "binary_sensor:device:spool": "ON",
        "binary_sensor:device:clock_synced": "OFF",
        "sensor:device:version": "1.0",
    }
    assert {entity["entity_category"] for entity in entities.values()} == {"diagnostic"}
    assert all(state(entity, b"{}") is None for entity in entities.values())


def test_a_spool_that_stores_is_no_problem() -> None:
    assert state(told()["binary_sensor:device:spool"], b'{"spool": {"trouble": ""}}') == "OFF"


def test_what_the_board_does_not_tell_is_not_shown() -> None:
    assert not {key for key in told(board=Board()) if "temperature" in key or "undervoltage" in key}


def test_results_need_both_the_device_and_the_stream_to_be_there() -> None:
    for key, entity in told(SCHEMA).items():
        if ":output:" in key or key.endswith((":result", ":result_at")):
            assert entity["availability_mode"] == "all"
            assert [one["topic"] for one in entity["availability"]] == [
                "overshootd/gate-pi/state",
                "overshootd/gate-pi/stream-0/availability",
            ]
        else:
            assert "availability" not in entity, "a paused stream has to be resumed, its state to be seen"


def test_availability_is_shown_as_it_is_published() -> None:
    entity = told(None)["binary_sensor:stream:stream-0:available"]
    assert (state(entity, b"online"), state(entity, b"offline")) == ("online", "offline")


def test_only_what_is_allowed_can_be_commanded() -> None:
    assert {entity["p"] for entity in told(None, verbs=NOTHING).values()} == {"sensor", "binary_sensor"}
    assert "text:stream:stream-0:prompt" not in told(None, verbs=ONLY_PAUSE)


def test_a_stream_is_paused_by_a_switch() -> None:
    switch = told(None)["switch:stream:stream-0:pause"]
    assert switch["command_topic"] == "overshootd/gate-pi/stream-0/pause/set"
    assert (state(switch, b"ON"), state(switch, b"OFF")) == ("ON", "OFF")


def test_a_prompt_is_shown_as_far_as_it_can_be() -> None:
    text = told(None)["text:stream:stream-0:prompt"]
    assert text["command_topic"] == "overshootd/gate-pi/stream-0/prompt/set"
    assert state(text, b"Is anyone there?") == "Is anyone there?"
    assert state(text, b"p" * 10_000) == "p" * 255


@given(st.dictionaries(st.text(max_size=70), values, max_size=8), st.recursive(st.none() | st.text(), st.lists))
def test_any_schema_and_any_answer_make_something_that_is_understood(properties: dict[str, Any], output: Any) -> None:
    for key, entity in told({"properties": properties}).items():
        if ":output:" in key:
            state(entity, record(json.dumps(output)))
            state(entity, answer(**dict.fromkeys(properties, output)))


@given(st.lists(st.from_regex(NAME, fullmatch=True), unique=True, max_size=4), st.lists(st.text(), unique=True))
def test_no_two_entities_have_the_same_id(streams: list[str], names: list[str]) -> None:
    made = components(
        OURS,
        [AnnouncedStream(name, "last", {"properties": dict.fromkeys(names, True)}) for name in streams],
        VERBS,
        WHOLE_BOARD,
    )
    ids = {entity["unique_id"] for entity in made.values()}
    assert (
        len(ids)
        == len(made)
        == len(components(OURS, [], VERBS, WHOLE_BOARD)) + len(streams) * (6 + min(len(names), 50))
    )


@given(st.lists(st.from_regex(NAME, fullmatch=True), unique=True, min_size=2, max_size=2))
def test_no_two_devices_have_the_same_topic(devices: list[str]) -> None:
    one, other = (config_topic("homeassistant", device) for device in devices)
    assert one != other


def test_ids_last() -> None:
    """Another id is another entity: what the user named, and its history, would be gone."""
    assert object_id("gate-pi") == "overshootd_gate-pi"
    assert object_id("gate.pi") == "overshootd_gate_pi_9537757f"
    ids = {entity["unique_id"] for entity in told(SCHEMA).values()}
    assert {
        "overshootd:gate-pi:device:disk_free",
        "overshootd:gate-pi:stream:stream-0:result",
        "overshootd:gate-pi:stream:stream-0:output:person",
        "overshootd:gate-pi:stream:stream-0:output:#37a00603",
    } <= ids


def test_what_is_gone_is_named_by_its_platform_alone() -> None:
    before = payload(OURS, "1.0", components(OURS, [AnnouncedStream("yard", "last", SCHEMA)], (), Board()))
    now = components(OURS, [AnnouncedStream("yard", "last")], (), Board())
    removed = gone(announced(before), now)
    assert removed["binary_sensor:stream:yard:output:person"] == {"p": "binary_sensor"}
    assert len(removed) == len(SCHEMA["properties"])
    check(config_topic("homeassistant", "gate-pi"), payload(OURS, "1.0", now | removed))


def test_a_property_of_another_type_takes_the_place_of_the_old_one() -> None:
    """The platform is part of the key: else the old entity would stay for ever."""
    before = told({"properties": {"x": {"type": "boolean"}}})
    now = told({"properties": {"x": {"type": "number"}}})
    assert gone(dict(before), now) == {"binary_sensor:stream:stream-0:output:x": {"p": "binary_sensor"}}


def test_what_was_removed_before_is_left_out() -> None:
    assert gone({"sensor:x": {"p": "sensor"}}, ()) == {}


@given(st.binary() | values.map(lambda value: json.dumps(value).encode()) | st.just(b"[" * 100_000))
def test_what_others_left_there_is_not_ours(retained: bytes) -> None:
    assert announced(retained) == {}


@given(st.dictionaries(st.text(), values, max_size=4))
def test_whatever_is_said_in_our_name_can_be_taken_back(entities: dict[str, Any]) -> None:
    found = announced(json.dumps({"o": {"name": "overshootd"}, "cmps": entities}).encode())
    for entity in gone(found, ()).values():
        assert entity.keys() == {"p"}
