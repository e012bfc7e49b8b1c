"""What the daemon puts between a result and its sinks, put together for a measurement."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.process import Failure
from overshootd.config.brokers import BrokerConfig
from overshootd.config.secret import Secret
from overshootd.config.sinks import FileSink as FileSinkConfig
from overshootd.config.sinks import MqttSink as MqttSinkConfig
from overshootd.contracts import Record, Sink
from overshootd.mqtt.broker import Broker
from overshootd.sinks.delivery import Delivery
from overshootd.sinks.disk import Disk
from overshootd.sinks.file import FileSink
from overshootd.sinks.mqtt import MqttSink
from overshootd.sinks.space import Space
from overshootd.sinks.spool import Spool
from tests.remembering import RememberingLog

T = TypeVar("T")

CONNECT_SECONDS = 20.0
CLOSE_SECONDS = 10.0
LOOK_SECONDS = 0.005
DEVICE = "gate-pi"
STAGE = "stage"
"""The folder of a measurement that is on a tmpfs."""

LEAST_SECONDS = 0.5
"""What a file sink's `sync_seconds` may be at least."""


def topic(stream: str) -> str:
    return f"overshootd/{DEVICE}/{stream}/result"


class InOrder(MqttSink):
    """As if nothing were ever let ahead."""

    @property
    def live_first(self) -> bool:
        return False


@dataclass
class Pipe:
    """Spool, deliveries and sinks; `files` is the folder of the file sinks, `broker` the URL. None: no such sinks.
    `stage` is a folder on a tmpfs."""

    state_dir: Path
    streams: Sequence[str]
    files: Path | None = None
    broker: str | None = None
    sync_seconds: float = 5.0
    stage: Path | None = None
    mqtt_sink: type[MqttSink] = MqttSink
    log: RememberingLog = field(default_factory=RememberingLog)
    spool: Spool = field(init=False)
    deliveries: list[Delivery] = field(init=False, default_factory=list)
    appended: int = 0

    def __post_init__(self) -> None:
        self._disk = Disk()
        self.spool = Spool(self.state_dir, self._disk, self.log, sync_seconds=self.sync_seconds, stage_dir=self.stage)
        self._broker = None
        if self.broker is not None:
            config = BrokerConfig(url=self.broker)
            self._broker = Broker("home", config, DEVICE, lambda _: Secret(""), self.log)

    async def during(self, work: Callable[[Pipe], Awaitable[T]]) -> T:
        """What `work` returns, while everything runs."""
        await self.spool.open()
        for stream in self.streams:
            sinks = self._sinks(stream)
            cursors = self.spool.attach(stream, {sink.name: "{}" for sink in sinks})
            self.deliveries += [
                Delivery(cursor, sink, self.log, sync_seconds=self.sync_seconds)
                for cursor, sink in zip(cursors, sinks, strict=True)
            ]
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self.spool.run())]
            if self._broker is not None:
                running.append(tasks.create_task(self._broker.run()))
                state = self._broker.state
                await until(lambda: state.connected, "a connection to the broker", CONNECT_SECONDS)
            running += [tasks.create_task(delivery.run()) for delivery in self.deliveries]
            done = await work(self)
            for task in running:
                task.cancel()
        await self.spool.close(CLOSE_SECONDS)
        await self._disk.close(CLOSE_SECONDS)
        return done

    async def append(self, record: Record) -> int:
        seq = await self.spool.append(record)
        self.appended += 1
        return seq

    @property
    def waiting(self) -> int:
        """Records that a sink does not have yet."""
        return sum(delivery.now.waiting for delivery in self.deliveries)

    def _sinks(self, stream: str) -> list[Sink]:
        sinks: list[Sink] = []
        if self.files is not None:
            path = self.files / f"{stream}.jsonl"
            config = FileSinkConfig(
                type="file", path=str(path), min_free_mb=0, sync_seconds=max(self.sync_seconds, LEAST_SECONDS)
            )
            sinks.append(FileSink(config, path, self._disk, self.log, Space(self.log)))
        if self._broker is not None:
            mqtt = MqttSinkConfig(type="mqtt", broker="home", topic=topic(stream), last_topic=f"{topic(stream)}/last")
            sinks.append(self.mqtt_sink(mqtt, self._broker))
        return sinks


async def until(condition: Callable[[], object], what: str, within: float) -> None:
    """Return when it is true. Raises Failure after so many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"not within {within:g} s: {what}")
        await asyncio.sleep(LOOK_SECONDS)
