"""Streams obey what is said at a real broker, where that is allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.announce_bed import OURS, Device, listening, running
from tests.integration.mosquitto import Mosquitto, mosquitto


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with mosquitto(tmp_path / "mosquitto", persistence=False) as server:
        yield server


async def test_a_stream_is_paused_and_its_topic_says_so(server: Mosquitto) -> None:
    device = Device("yard", "gate")
    async with listening(server) as listener, running(server, device, commands=("pause",)):
        await listener.hears(OURS.of("yard", "pause"), b"OFF")
        await listener.hears(OURS.state, b"online")
        await listener.say(OURS.command("yard", "pause"), b"on")
        await listener.hears(OURS.of("yard", "pause"), b"ON")
        assert device.controls.pauses == {"yard": True, "gate": False}


async def test_a_stream_gets_another_prompt(server: Mosquitto) -> None:
    device = Device("yard")
    async with listening(server) as listener, running(server, device, commands=("prompt",)):
        await listener.hears(OURS.state, b"online")
        await listener.say(OURS.command("yard", "prompt"), "Wer ist an der Tür?\n".encode())
        await listener.hears(OURS.of("yard", "prompt"), "Wer ist an der Tür?".encode())
        assert device.controls.prompts == {"yard": "Wer ist an der Tür?"}


async def test_what_is_not_allowed_is_not_obeyed(server: Mosquitto) -> None:
    """Both are said in order on one connection: once the second was obeyed, the first will not be."""
    device = Device("yard")
    async with listening(server) as listener, running(server, device, commands=("pause",)):
        await listener.hears(OURS.state, b"online")
        await listener.say(OURS.command("yard", "prompt"), b"Another?")
        await listener.say(OURS.command("yard", "pause"), b"ON")
        await listener.hears(OURS.of("yard", "pause"), b"ON")
        assert device.controls.prompts == {"yard": "Is anyone there?"}


async def test_what_is_retained_is_not_obeyed(server: Mosquitto) -> None:
    device = Device("yard")
    async with listening(server) as listener:
        await listener.say(OURS.command("yard", "pause"), b"ON", retain=True)
        async with running(server, device, commands=("pause", "prompt")):
            await listener.hears(OURS.state, b"online")
            await listener.say(OURS.command("yard", "prompt"), b"Another?")
            await listener.hears(OURS.of("yard", "prompt"), b"Another?")
    assert device.controls.pauses == {"yard": False}
    assert sum("without `retain`" in line for line in device.log.lines) == 1


async def test_a_retained_command_is_removed_as_the_log_says_and_told_of_no_more(server: Mosquitto) -> None:
    async with listening(server) as listener:
        await listener.say(OURS.command("yard", "pause"), b"ON", retain=True)
        for told, prompt in ((1, b"First?"), (0, b"Second?")):
            device = Device("yard")
            async with running(server, device, commands=("pause", "prompt")):
                await listener.hears(OURS.state, b"online")
                await listener.say(OURS.command("yard", "pause"), b"", retain=True)
                await listener.say(OURS.command("yard", "prompt"), prompt)
                await listener.hears(OURS.of("yard", "prompt"), prompt)
            assert sum("cannot be obeyed" in line for line in device.log.lines) == told


async def test_nonsense_is_complained_of_and_harms_nothing(server: Mosquitto) -> None:
    device = Device("yard")
    async with listening(server) as listener, running(server, device, commands=("pause", "prompt")):
        await listener.hears(OURS.state, b"online")
        for topic, payload in (
            (OURS.command("cellar", "pause"), b"ON"),
            (OURS.command("yard", "pause"), b"maybe"),
            (OURS.command("yard", "prompt"), b"\xff"),
        ):
            await listener.say(topic, payload)
        await listener.say(OURS.command("yard", "pause"), b"1")
        await listener.hears(OURS.of("yard", "pause"), b"ON")
    assert sum("cannot be obeyed" in line for line in device.log.lines) == 3
