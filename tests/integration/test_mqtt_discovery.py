"""Home Assistant finds this device through a real broker, over restarts of all that take part."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from overshootd.mqtt.discovery import AnnouncedStream
from tests.integration.announce_bed import CONFIG, OURS, Device, Listener, listening, running
from tests.integration.mosquitto import Mosquitto, mosquitto
from tests.unit.mqtt.home_assistant_rules import check, state

SCHEMA = {"properties": {"person": {"type": "boolean"}}}
PERSON = "binary_sensor:stream:yard:output:person"
YARD = AnnouncedStream("yard", OURS.of("yard", "last"), SCHEMA)
ON: dict[str, Any] = {"home_assistant": {}}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with mosquitto(tmp_path / "mosquitto", persistence=False) as server:
        yield server


def told(listener: Listener) -> Mapping[str, Mapping[str, Any]]:
    """The components that were told last, which keep the rules."""
    return check(CONFIG, listener.newest[CONFIG])


async def test_the_device_is_discovered_by_whoever_comes_later(server: Mosquitto) -> None:
    async with running(server, Device("yard"), announced=[YARD], **ON):
        async with listening(server) as listener:
            await listener.until(lambda: PERSON in listener.components())
        async with listening(server) as later:
            await later.until(lambda: CONFIG in later.newest)
            entity = told(later)[PERSON]
    assert state(entity, json.dumps({"output": {"person": True}}).encode()) == "ON"


async def test_the_states_that_it_names_are_there(server: Mosquitto) -> None:
    async with (
        running(server, Device("yard"), announced=[YARD], commands=("prompt", "pause"), **ON),
        listening(server) as listener,
    ):
        await listener.until(lambda: {CONFIG, OURS.status, OURS.of("yard", "pause")} <= listener.newest.keys())
        found = {
            key: state(entity, listener.newest[entity["state_topic"]])
            for key, entity in told(listener).items()
            if entity["state_topic"] != YARD.last_topic
        }
        assert found["sensor:stream:yard:state"] == "live"
        assert found["binary_sensor:stream:yard:available"] == "online"
        assert found["switch:stream:yard:pause"] == "OFF"
        assert found["text:stream:yard:prompt"] == "Is anyone there?"
        assert found["sensor:device:version"] == "1.0"


async def test_it_is_told_again_when_home_assistant_starts(server: Mosquitto) -> None:
    async with running(server, Device("yard"), announced=[YARD], **ON), listening(server) as listener:
        await listener.until(lambda: listener.counts[CONFIG] == 1)
        await listener.hears(OURS.state, b"online")
        await listener.say("homeassistant/status", b"online")
        await listener.until(lambda: listener.counts[CONFIG] == 2)
        assert PERSON in told(listener)


async def test_it_is_told_again_when_the_broker_forgot_everything(server: Mosquitto) -> None:
    async with running(server, Device("yard"), announced=[YARD], **ON):
        async with listening(server) as before:
            await before.until(lambda: PERSON in before.components())
        await server.kill()
        await server.start()
        async with listening(server) as after:
            await after.until(lambda: PERSON in after.components())


async def test_the_entities_of_a_stream_that_is_gone_are_removed(server: Mosquitto) -> None:
    async with listening(server) as listener:
        async with running(server, Device("yard", "gate"), announced=[YARD, AnnouncedStream("gate", "last")], **ON):
            await listener.until(lambda: PERSON in listener.components())
        async with running(server, Device("gate"), announced=[AnnouncedStream("gate", "last")], **ON):
            await listener.until(lambda: listener.components().get(PERSON) == {"p": "binary_sensor"})
            entities = told(listener)
            assert entities["sensor:stream:gate:state"].keys() > {"p"}
            assert all(entity.keys() == {"p"} for key, entity in entities.items() if ":yard:" in key)


async def test_where_home_assistant_is_off_it_is_told_nothing(server: Mosquitto) -> None:
    async with running(server, Device("yard")), listening(server) as listener:
        await listener.hears(OURS.availability("yard"), b"online")
        assert not [topic for topic in listener.newest if topic.startswith("homeassistant/")]


async def test_where_home_assistant_was_turned_off_the_device_is_taken_back(server: Mosquitto) -> None:
    async with listening(server) as listener:
        async with running(server, Device("yard"), announced=[YARD], **ON):
            await listener.until(lambda: PERSON in listener.components())
        async with running(server, Device("yard"), announced=[YARD]):
            await listener.hears(CONFIG, b"")
