"""What brokers do without a word: a will that comes late, a connection that is closed at one message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from overshootd.config.brokers import BrokerConfig
from overshootd.config.secret import Secret
from overshootd.contracts import Message
from overshootd.errors import Away, Rejected, Unreachable
from overshootd.mqtt.broker import Broker
from tests.integration import mqtt_bed
from tests.integration.daemon_bed import eventually
from tests.integration.mosquitto import Mosquitto, mosquitto
from tests.integration.mqtt_bed import scripted
from tests.remembering import RememberingLog

STATE = "overshootd/bed/state"


@asynccontextmanager
async def connected(server: Mosquitto, version: str = "5") -> AsyncIterator[Broker]:
    config = BrokerConfig.model_validate({"url": f"mqtt://{server.host}:{server.port}", "version": version})
    broker = Broker("home", config, "bed", lambda ref: Secret(""), RememberingLog())
    running = asyncio.create_task(broker.run())
    try:
        await eventually(lambda: broker.state.connected, "a connection")
        yield broker
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_a_will_that_comes_after_we_are_back_does_not_last(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as server, connected(server), aiomqtt.Client(server.host, server.port) as other:
        await other.publish(STATE, b"offline", qos=1, retain=True)
        await other.subscribe(STATE, qos=1)
        async with asyncio.timeout(20):
            async for message in other.messages:
                if message.payload == b"online":
                    return


@pytest.mark.parametrize(("version", "limit"), [("3.1.1", "max_packet_size 1000"), ("5", "message_size_limit 1000")])
async def test_a_message_at_which_the_broker_closes_twice_is_rejected_and_the_next_one_arrives(
    tmp_path: Path, version: str, limit: str
) -> None:
    async with mosquitto(tmp_path, extra=(limit,)) as server, connected(server, version) as broker:
        large = [Message("a", b"x" * 3000)]
        with pytest.raises((Unreachable, Rejected)):
            await broker.publish(large)
        await eventually(lambda: broker.state.connections > 1 and broker.state.connected, "another connection")
        with pytest.raises(Rejected):
            await broker.publish(large)
        await eventually(lambda: broker.state.connections > 2 and broker.state.connected, "a third connection")
        await broker.publish([Message("a", b"small")])


async def test_a_message_at_which_the_broker_closes_is_found_among_those_of_other_streams() -> None:
    async with scripted(lambda _: b"\x20\x02\x00\x00") as script:
        address, count = f"mqtt://127.0.0.1:{script.port}", 0
        async with mqtt_bed.connected(address, RememberingLog(), version="3.1.1") as broker:
            script.closes_at = 3  # what is retained of our state is the third

            async def publish_beside(payload: bytes) -> list[BaseException | None]:
                nonlocal count
                count += 1
                await eventually(lambda: broker.state.connections == count and broker.state.connected, "a connection")
                payloads = (b"poison", payload)
                publishing = (broker.publish([Message("a", payload)]) for payload in payloads)
                return await asyncio.gather(*publishing, return_exceptions=True)

            first, second = await publish_beside(b"one"), await publish_beside(b"other")
    assert [isinstance(error, Away) for error in first] == [True, True]
    assert [isinstance(error, Rejected) for error in second] == [True, False]
