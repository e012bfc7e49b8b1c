"""The ways out: what brings records to sinks, and the brokers that are told how the device is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from overshootd import __version__
from overshootd.config.load import Loaded
from overshootd.config.secret import Secret
from overshootd.config.sinks import MqttSink, SinkConfig, WebhookSink, secret_parts, sink_config
from overshootd.contracts import Controls, Log, Sink
from overshootd.errors import ConfigError
from overshootd.groups import TaskGroup
from overshootd.mqtt.announce import Announcer, announced_streams
from overshootd.mqtt.commands import Commands
from overshootd.mqtt.summary import Json
from overshootd.mqtt.topics import Topics
from overshootd.sinks.choose import Ways, sink_for
from overshootd.sinks.delivery import Delivery
from overshootd.sinks.orphans import Orphans
from overshootd.sinks.spool import Spool
from overshootd.status import BrokerState, SinkNow

if TYPE_CHECKING:  # aiomqtt comes with it, and many have no broker
    from overshootd.mqtt.broker import Broker

DRAIN_SECONDS = 1.5
"""For the sinks to take what is there. With the 5 s that streams have to close, this fits the 9 s of the whole end."""

CLOSE_SECONDS = 0.5
"""More, for sinks to close; whatever hangs then is left behind, its records in the spool."""

FAREWELL_SECONDS = 0.5
"""For the brokers to be told that the device is away. One that is not, hears it from our will."""


class Outlets:
    """All that records and the device's own state go out by. `brokers` are those of `ways`, and are run here; `hide`
    masks a secret wherever it turns up."""

    def __init__(
        self,
        loaded: Loaded,
        spool: Spool,
        ways: Ways,
        brokers: Mapping[str, Broker],
        hide: Callable[[Secret], None],
        log: Log,
    ) -> None:
        self._loaded = loaded
        self._spool = spool
        self._ways = ways
        self._brokers = brokers
        self._hide = hide
        self._log = log
        self._deliveries: list[Delivery] = []
        self._orphans = Orphans(spool, self._rebuild, log, sound=loaded.streams, broken=loaded.broken)
        self._announcers: list[Announcer] = []
        self._stopping = asyncio.Event()

    @property
    def sinks(self) -> Mapping[str, Sequence[SinkNow]]:
        """How far each stream's sinks are, for whoever asks; without those of which it is not known yet."""
        found = self._orphans.now
        for delivery in filter(lambda one: one.known, self._deliveries):
            found.setdefault(delivery.stream, []).append(delivery.now)
        return found

    @property
    def broker_states(self) -> Mapping[str, BrokerState]:
        return {name: broker.state for name, broker in self._brokers.items()}

    def changed(self) -> None:
        """Something may be different from what the brokers were told."""
        for announcer in self._announcers:
            announcer.changed()

    def announce(self, report: Callable[[], Awaitable[Json]], controls: Controls, redact: Callable[[str], str]) -> None:
        """Tell the brokers how the device is, and hear what they say. Once, before `run`."""
        for name, broker in self._brokers.items():
            config = self._loaded.brokers[name]
            topics = Topics(config.base_topic, self._loaded.device)
            streams = announced_streams(self._loaded.streams, name, topics)
            about = (config, topics, streams, self._loaded.broken.keys(), __version__)
            announcer = Announcer(broker, *about, report, controls, redact, self._log)
            self._announcers.append(announcer)
            Commands(broker, topics, config.commands, controls, announcer.changed, self._log)

    async def begin(self) -> None:
        """Make the sinks of all streams: of one that is disabled something may wait, though nothing comes. Before this
        nothing is delivered, and nothing lost."""
        for name, config in self._loaded.streams.items():
            sinks = [(sink, self._sink(sink, name)) for sink in config.sinks]
            if config.enabled:
                await self._open(name, [sink for _, sink in sinks])
            self._add(name, sinks)

    async def run(self) -> None:
        """Deliver until `stop`; then bring out what is there, and say farewell."""
        ways: list[Orphans | Delivery] = [self._orphans, *self._deliveries]
        async with TaskGroup() as tasks:
            connected = [tasks.create_task(broker.run(), name="broker") for broker in self._brokers.values()]
            announcing = [tasks.create_task(announcer.run(), name="announce") for announcer in self._announcers]
            delivering = [tasks.create_task(way.run(), name="deliver") for way in ways]
            await self._stopping.wait()
            for way in ways:
                way.stop(DRAIN_SECONDS)
            await asyncio.wait(delivering, timeout=DRAIN_SECONDS + CLOSE_SECONDS)
            await _ended([*delivering, *announcing])
            await asyncio.gather(*(broker.close(FAREWELL_SECONDS) for broker in self._brokers.values()))
            await _ended(connected)

    def stop(self) -> None:
        """Make `run` end."""
        self._stopping.set()

    def _sink(self, config: SinkConfig, stream: str) -> Sink:
        if isinstance(config, WebhookSink):
            for part in secret_parts(config.url):
                self._hide(Secret(part))  # it is a part of the sink's name
        return sink_for(config, self._ways, self._log.bind(stream=stream))

    async def _open(self, stream: str, sinks: Sequence[Sink]) -> None:
        for sink in sinks:
            try:
                await sink.open()
            except ConfigError as error:
                self._log.error(str(error), stream=stream)  # results wait in the spool; the sink is tried for ever

    def _add(self, stream: str, sinks: Sequence[tuple[SinkConfig, Sink]]) -> None:
        log = self._log.bind(stream=stream)
        cursors = self._spool.attach(stream, {sink.name: config.model_dump_json() for config, sink in sinks})
        self._deliveries += [
            Delivery(cursor, sink, log, sync_seconds=config.sync_seconds)
            for cursor, (config, sink) in zip(cursors, sinks, strict=True)
        ]

    def _rebuild(self, stream: str, text: str) -> Sink | None:
        """A sink of a stream that is removed or broken, from what the spool kept of its configuration."""
        config = sink_config(text)
        if isinstance(config, MqttSink):
            if config.broker not in self._brokers and self._is_broken(config.broker):
                told = f"what waits for broker {config.broker} stays in the spool: its configuration is broken"
                self._log.warning(told, stream=stream)
                return None
            config = config.model_copy(update={"last_topic": ""})  # what is retained of it is removed there
        return self._sink(config, stream)

    def _is_broken(self, broker: str) -> bool:
        """Whether it may yet be configured: there is a mistake in it, or in what it may be written in."""
        return any(
            not problem.key or problem.key == "brokers" or problem.within("brokers", broker)
            for problem in self._loaded.problems
        )


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
