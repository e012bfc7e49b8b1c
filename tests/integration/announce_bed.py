"""A device at a real broker: its announcements and commands, with streams that do what a test says; and somebody who
hears what is said there."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt

from overshootd.config.brokers import BrokerConfig
from overshootd.config.secret import Secret
from overshootd.mqtt.announce import Announcer
from overshootd.mqtt.broker import Broker
from overshootd.mqtt.commands import Commands
from overshootd.mqtt.discovery import AnnouncedStream
from overshootd.mqtt.topics import Topics
from tests.integration.mosquitto import BOUND, Mosquitto
from tests.remembering import RememberingLog
from tests.unit.mqtt.fakes import Streams

OURS = Topics("overshootd", "gate-pi")
CONFIG = "homeassistant/device/overshootd_gate-pi/config"


class Device:
    """What its streams do, and what was told of them."""

    def __init__(self, *streams: str) -> None:
        self.streams = {name: {"state": "live", "why": "", "results": 1} for name in streams}
        self.controls = Streams(*streams)
        self.log = RememberingLog()
        self.clock_synced = True
        self.announcer: Announcer | None = None

    async def report(self) -> dict[str, Any]:
        return {
            "version": "1.0",
            "device": "gate-pi",
            "clock_synced": self.clock_synced,
            "streams": {name: dict(state) for name, state in self.streams.items()},
            "cameras": {},
        }

    def becomes(self, stream: str, state: str, why: str = "") -> None:
        self.streams[stream] |= {"state": state, "why": why}
        assert self.announcer is not None
        self.announcer.changed()


@asynccontextmanager
async def running(
    mosquitto: Mosquitto,
    device: Device,
    *,
    announced: Collection[AnnouncedStream] | None = None,
    spared: Collection[str] = (),
    redact: Callable[[str], str] = lambda text: text,
    status_seconds: float = 3600.0,
    **config: Any,
) -> AsyncIterator[None]:
    """The device is connected, or trying to be. Ended in order: streams go offline before the connection does."""
    settings = BrokerConfig(url=f"mqtt://127.0.0.1:{mosquitto.port}", keepalive_seconds=5, **config)
    broker = Broker("home", settings, "gate-pi", lambda _: Secret(""), device.log)
    if announced is None:
        announced = [AnnouncedStream(name, OURS.of(name, "last")) for name in device.streams]
    announcer = device.announcer = Announcer(
        broker,
        settings,
        OURS,
        announced,
        spared,
        "1.0",
        device.report,
        device.controls,
        redact,
        device.log,
        apart_seconds=0.05,
        status_seconds=status_seconds,
        uniform=lambda least, _: least,
    )
    Commands(broker, OURS, settings.commands, device.controls, announcer.changed, device.log)
    async with asyncio.TaskGroup() as tasks:
        connecting = tasks.create_task(broker.run(), name="broker")
        announcing = tasks.create_task(announcer.run(), name="announcer")
        try:
            yield
        finally:
            announcing.cancel()
            await asyncio.wait([announcing])
            await broker.close(2.0)
            connecting.cancel()


class Listener:
    """Hears everything: the newest at each topic, and how often something came there."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.newest: dict[str, bytes] = {}
        self.counts: Counter[str] = Counter()
        self._heard = asyncio.Event()

    async def run(self) -> None:
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            self.newest[str(message.topic)] = message.payload
            self.counts[str(message.topic)] += 1
            self._heard.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(BOUND):
                while not holds():
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise AssertionError(f"heard only {self.newest}") from None

    async def hears(self, topic: str, payload: bytes) -> None:
        await self.until(lambda: self.newest.get(topic) == payload)

    def said(self, topic: str) -> Any:
        """The JSON that came there last, None when nothing did."""
        return json.loads(self.newest[topic]) if self.newest.get(topic) else None

    def status(self) -> Any:
        return self.said(OURS.status) or {}

    def components(self) -> dict[str, dict[str, Any]]:
        return dict((self.said(CONFIG) or {"cmps": {}})["cmps"])

    async def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        await self.client.publish(topic, payload, qos=1, retain=retain)


@asynccontextmanager
async def listening(mosquitto: Mosquitto) -> AsyncIterator[Listener]:
    """Somebody who is connected while this lasts."""
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as client:
        await client.subscribe("#", qos=1)
        listener = Listener(client)
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(listener.run())
            try:
                yield listener
            finally:
                hearing.cancel()
