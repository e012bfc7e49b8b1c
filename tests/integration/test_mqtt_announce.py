"""What a subscriber finds at a real broker, and when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.announce_bed import OURS, Device, listening, running
from tests.integration.mosquitto import Mosquitto, mosquitto

YARD = OURS.availability("yard")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with mosquitto(tmp_path / "mosquitto", persistence=False) as server:
        yield server


async def test_device_and_streams_are_announced(server: Mosquitto) -> None:
    device = Device("yard", "gate")
    device.streams["gate"] = {"state": "waiting", "why": "no answer", "results": 0}
    async with listening(server) as listener, running(server, device):
        await listener.hears(OURS.state, b"online")
        await listener.hears(YARD, b"online")
        await listener.hears(OURS.availability("gate"), b"offline")
        await listener.hears(OURS.of("yard", "prompt"), b"Is anyone there?")
        await listener.hears(OURS.of("yard", "pause"), b"OFF")
        await listener.until(lambda: listener.status().get("version") == "1.0")
        assert listener.status()["streams"]["gate"]["why"] == "no answer"


async def test_whoever_comes_later_finds_it_all(server: Mosquitto) -> None:
    async with running(server, Device("yard")):
        async with listening(server) as listener:
            await listener.hears(YARD, b"online")
        async with listening(server) as later:
            await later.hears(OURS.state, b"online")
            await later.hears(YARD, b"online")
            await later.hears(OURS.of("yard", "pause"), b"OFF")
            await later.until(lambda: later.status() != {})


async def test_a_change_is_told(server: Mosquitto) -> None:
    device = Device("yard")
    async with listening(server) as listener, running(server, device):
        await listener.hears(YARD, b"online")
        device.becomes("yard", "waiting", "the camera is gone")
        await listener.hears(YARD, b"offline")
        await listener.until(lambda: listener.status()["streams"]["yard"]["why"] == "the camera is gone")
        device.becomes("yard", "live")
        await listener.hears(YARD, b"online")
        await listener.until(lambda: listener.status()["streams"]["yard"]["state"] == "live")
        assert listener.status()["last_error"]["why"] == "the camera is gone"


async def test_numbers_alone_are_no_reason_to_tell_the_status(server: Mosquitto) -> None:
    device = Device("yard")
    async with listening(server) as listener, running(server, device):
        await listener.until(lambda: listener.counts[OURS.status] == 1)
        device.streams["yard"]["results"] = 2
        device.controls.set_paused("yard", True)
        device.becomes("yard", "live")
        await listener.hears(OURS.of("yard", "pause"), b"ON")  # by the same look as the number
        device.becomes("yard", "waiting", "no answer")
        await listener.until(lambda: listener.status()["streams"]["yard"]["state"] == "waiting")
        assert listener.counts[OURS.status] == 2
        assert listener.status()["streams"]["yard"]["results"] == 2


async def test_numbers_alone_are_told_after_a_while(server: Mosquitto) -> None:
    device = Device("yard")
    async with listening(server) as listener, running(server, device, status_seconds=1.0):
        await listener.until(lambda: listener.counts[OURS.status] == 1)
        device.streams["yard"]["results"] = 2
        await listener.until(lambda: listener.status()["streams"]["yard"]["results"] == 2)
        assert listener.counts[YARD] == 1


async def test_secrets_do_not_get_there(server: Mosquitto) -> None:
    device = Device("yard")
    device.streams["yard"] |= {"state": "waiting", "why": "rtsp://u:hunter2@cam: 401"}
    device.controls.prompts["yard"] = "What is at hunter2?"
    async with (
        listening(server) as listener,
        running(server, device, redact=lambda text: text.replace("hunter2", "***")),
    ):
        await listener.hears(OURS.of("yard", "prompt"), b"What is at ***?")
        await listener.until(lambda: listener.status() != {})
        assert listener.status()["streams"]["yard"]["why"] == "rtsp://u:***@cam: 401"


async def test_in_the_end_all_is_offline(server: Mosquitto) -> None:
    async with listening(server) as listener:
        async with running(server, Device("yard")):
            await listener.hears(YARD, b"online")
        await listener.hears(YARD, b"offline")
        await listener.hears(OURS.state, b"offline")


async def test_a_broker_that_forgot_everything_is_told_again(server: Mosquitto) -> None:
    async with running(server, Device("yard")):
        async with listening(server) as before:
            await before.hears(YARD, b"online")
        await server.kill()
        await server.start()
        async with listening(server) as after:
            await after.hears(OURS.state, b"online")
            await after.hears(YARD, b"online")
            await after.until(lambda: after.status() != {})


async def test_what_a_stream_left_that_is_gone_is_removed(server: Mosquitto) -> None:
    async with listening(server) as listener:
        async with running(server, Device("yard", "gate")):
            await listener.hears(OURS.of("gate", "pause"), b"OFF")
            await listener.say(OURS.of("gate", "last"), b"{}", retain=True)
        device = Device("yard")
        async with running(server, device):
            await listener.hears(OURS.availability("gate"), b"")
            await listener.hears(YARD, b"online")
    async with listening(server) as later:
        await later.hears(YARD, b"offline")
        assert not [topic for topic in later.newest if "/gate/" in topic]
    assert sum("no longer announced" in line for line in device.log.lines) == 1


async def test_what_a_stream_left_that_is_only_broken_stays_and_it_is_offline(server: Mosquitto) -> None:
    async with listening(server) as listener:
        await listener.say(OURS.availability("gate"), b"online", retain=True)
        await listener.say(OURS.of("gate", "last"), b"{}", retain=True)
        async with running(server, Device("yard"), spared=["gate"]):
            await listener.hears(OURS.availability("gate"), b"offline")
            await listener.hears(OURS.of("gate", "last"), b"{}")
