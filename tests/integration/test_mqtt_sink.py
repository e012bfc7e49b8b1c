"""The MQTT sink at a real broker: records arrive, and the newest result stands at a topic of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from overshootd.config.sinks import MqttSink as MqttSinkConfig
from overshootd.errors import Unreachable
from overshootd.mqtt import kept
from overshootd.mqtt.broker import Broker
from overshootd.sinks.mqtt import MqttSink
from overshootd.sinks.record import encode
from tests.integration.announce_bed import Listener, listening
from tests.integration.mosquitto import Mosquitto, mosquitto
from tests.integration.mqtt_bed import connected, made, running, url
from tests.integration.sink_lab import record
from tests.remembering import RememberingLog

RESULT, LAST = "home/yard/result", "home/yard/last"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with mosquitto(tmp_path / "mosquitto", persistence=False) as server:
        yield server


@pytest.fixture
async def broker(server: Mosquitto) -> AsyncIterator[Broker]:
    async with connected(url(server), RememberingLog()) as broker:
        yield broker


@pytest.fixture
async def listener(server: Mosquitto) -> AsyncIterator[Listener]:
    async with listening(server) as listener:
        yield listener


def sink(broker: Broker, last: str = LAST) -> MqttSink:
    return MqttSink(MqttSinkConfig(type="mqtt", broker="home", topic=RESULT, last_topic=last), broker)


def line(seq: int, kind: str = "result") -> bytes:
    written = record("yard", f"number {seq}")
    return encode(type(written)(kind, written.stream, written.body), f"uid-{seq}", seq)


async def test_each_record_is_a_message_as_it_stands(broker: Broker, listener: Listener) -> None:
    await sink(broker).deliver([line(1, "state"), line(2)])
    await listener.hears(RESULT, line(2))
    assert listener.counts[RESULT] == 2


async def test_the_newest_result_is_retained(broker: Broker, server: Mosquitto, listener: Listener) -> None:
    await sink(broker).deliver([line(1), line(2), line(3, "state")])
    await listener.hears(LAST, line(2))
    async with listening(server) as later:
        await later.hears(LAST, line(2))
        assert RESULT not in later.newest


async def test_a_backlog_puts_nothing_older_in_its_place(broker: Broker, listener: Listener) -> None:
    ours = sink(broker)
    await ours.deliver([line(9)])
    await listener.hears(LAST, line(9))
    await ours.deliver([line(1), line(2)], backlog=True)
    await ours.deliver([line(10)])
    await listener.hears(LAST, line(10))
    assert json.loads(listener.newest[RESULT])["seq"] == 10
    assert listener.counts[LAST] == 2


async def test_of_a_backlog_nothing_is_retained(broker: Broker, listener: Listener) -> None:
    """The broker may have something newer from before the start."""
    await sink(broker).deliver([line(1), line(2)], backlog=True)
    broker.keep("home/yard/kept-later", b"-")
    await listener.hears("home/yard/kept-later", b"-")
    assert listener.newest[RESULT] == line(2)
    assert LAST not in listener.newest


async def test_of_results_in_quick_succession_few_are_retained(
    server: Mosquitto, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "REST_SECONDS", 1.0)
    async with connected(url(server), RememberingLog()) as broker:
        ours = sink(broker)
        for seq in range(1, 41):
            await ours.deliver([line(seq)])
        await listener.hears(LAST, line(40))
    assert listener.counts[LAST] < 5


async def test_without_a_topic_for_it_nothing_is_retained(broker: Broker, listener: Listener) -> None:
    await sink(broker, last="").deliver([line(1)])
    await listener.hears(RESULT, line(1))
    assert LAST not in listener.newest


async def test_it_fails_while_the_broker_is_away() -> None:
    async with running(made("mqtt://127.0.0.1:1", RememberingLog())) as away:
        with pytest.raises(Unreachable):
            await sink(away).deliver([line(1)])


async def test_its_name_tells_broker_and_topic(broker: Broker) -> None:
    assert sink(broker).name == f"mqtt:home:{RESULT}"
    assert sink(broker).live_first
