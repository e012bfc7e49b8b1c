"""The daemon and a real broker: results arrive there, it tells how it is, and it obeys what it may be told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt

from tests.integration.daemon_bed import BOUND, config, daemon, eventually, simulator
from tests.integration.mosquitto import Mosquitto, mosquitto

Json = dict[str, Any]
ROOT = "overshootd/bed"


@dataclass
class Eye:
    """Somebody else at the broker: sees all of it, and may say something."""

    client: aiomqtt.Client
    seen: list[aiomqtt.Message] = field(default_factory=list)

    async def watch(self) -> None:
        async for message in self.client.messages:
            self.seen.append(message)

    def payloads(self, topic: str) -> list[bytes]:
        found: list[Any] = [message.payload for message in self.seen if str(message.topic) == topic]
        return found

    def newest(self, topic: str) -> bytes:
        return next(reversed(self.payloads(topic)), b"")

    def results(self, name: str = "one") -> list[Json]:
        records = [json.loads(payload) for payload in self.payloads(f"{ROOT}/{name}/result")]
        return [record for record in records if record["type"] == "result"]


@asynccontextmanager
async def eye(broker: Mosquitto) -> AsyncIterator[Eye]:
    """The broker keeps for it what comes while it is away."""
    async with aiomqtt.Client(broker.host, broker.port, identifier="eye", clean_session=False) as client:
        await client.subscribe("#", qos=1)
        watching = Eye(client)
        task = asyncio.create_task(watching.watch())
        yield watching
        task.cancel()
        await asyncio.wait([task])


def with_broker(written: Json, broker: Mosquitto, **changes: object) -> Json:
    """The configuration, with `broker` as the sink of all its streams besides the file."""
    home = {"url": f"mqtt://{broker.host}:{broker.port}", **changes}
    sinks = [*written["defaults"]["sinks"], {"type": "mqtt", "broker": "home"}]
    return written | {"brokers": {"home": home}, "defaults": {"sinks": sinks}}


async def test_results_arrive_at_the_broker_as_they_do_in_the_file(media_net: str, tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path / "broker") as broker,
        eye(broker) as seen,
        simulator(tmp_path) as api,
        daemon(tmp_path, with_broker(config(tmp_path, api.base_url, one={}), broker)) as running,
    ):
        await eventually(lambda: len(seen.results()) >= 5, "five results at the broker")
        assert seen.newest(f"{ROOT}/state") == b"online"
        await eventually(lambda: seen.newest(f"{ROOT}/one/availability") == b"online", "the stream is announced")
        await eventually(lambda: json.loads(seen.newest(f"{ROOT}/one/last") or b"{}").get("seq", 0) >= 5, "last")
        assert await running.end() == 0
        await eventually(lambda: seen.newest(f"{ROOT}/state") == b"offline", "the farewell")
        assert [r["uid"] for r in seen.results()] == [r["uid"] for r in running.records()]
        assert seen.newest(f"{ROOT}/one/availability") == b"offline"


async def test_what_was_received_while_the_broker_was_away_arrives_later(media_net: str, tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path / "broker") as broker,
        simulator(tmp_path) as api,
        daemon(tmp_path, with_broker(config(tmp_path, api.base_url, one={}), broker)) as running,
    ):
        async with eye(broker):
            await running.more_results(2)
        await broker.stop()
        away = await running.more_results(8)
        await broker.start()
        async with eye(broker) as seen:
            due = {record["uid"] for record in away}
            await eventually(lambda: due <= {record["uid"] for record in seen.results()}, "what was missed")


async def test_a_stream_that_is_paused_ends_at_the_api_and_goes_on_when_it_is_resumed(
    media_net: str, tmp_path: Path
) -> None:
    async with (
        mosquitto(tmp_path / "broker") as broker,
        eye(broker) as seen,
        simulator(tmp_path) as api,
        daemon(
            tmp_path, with_broker(config(tmp_path, api.base_url, one={}), broker, commands=["pause", "prompt"])
        ) as running,
    ):
        await running.more_results(2)
        await seen.client.publish(f"{ROOT}/one/prompt/set", "Is it raining?", qos=1)
        await eventually(lambda: seen.newest(f"{ROOT}/one/prompt") == b"Is it raining?", "the prompt is told")
        await seen.client.publish(f"{ROOT}/one/pause/set", "ON", qos=1)
        await eventually(lambda: seen.newest(f"{ROOT}/one/pause") == b"ON", "the pause is told")

        async with asyncio.timeout(BOUND):
            while not all(entry["end_reason"] for entry in await api.streams()):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)
        await seen.client.publish(f"{ROOT}/one/pause/set", "OFF", qos=1)
        await running.more_results(2)


async def test_what_a_removed_stream_had_left_is_delivered_under_its_name(media_net: str, tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "broker") as broker, simulator(tmp_path) as api:
        written = with_broker(config(tmp_path, api.base_url, one={}, two={}), broker)
        async with eye(broker):
            pass
        await broker.stop()
        async with daemon(tmp_path, written) as running:
            left = await running.more_results(3, stream="two")
            assert await running.end() == 0
        await broker.start()
        fewer = with_broker(config(tmp_path, api.base_url, one={}), broker)
        async with eye(broker) as seen, daemon(tmp_path, fewer):
            due = {record["uid"] for record in left}
            await eventually(lambda: due <= {record["uid"] for record in seen.results("two")}, "what it had left")
