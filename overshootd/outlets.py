"""The ways out: what brings records to sinks, and the brokers that are told how the device is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from overshootd import __version__
from overshootd.config.load import Loaded
from overshootd.config.sinks import MqttSink, SinkConfig, sink_config
from overshootd.contracts import Controls, Log, Sink
from overshootd.errors import ConfigError, SpoolError
from overshootd.mqtt.announce import Announcer, announced_streams
from overshootd.mqtt.commands import Commands
from overshootd.mqtt.summary import Json
from overshootd.mqtt.topics import Topics
from overshootd.sinks.choose import Ways, sink_for
from overshootd.sinks.delivery import Delivery
from overshootd.sinks.spool import Spool
from overshootd.status import BrokerState, SinkNow

if TYPE_CHECKING:  # aiomqtt comes with it, and many have no broker
    from overshootd.mqtt.broker import Broker

DRAIN_SECONDS = 1.5
"""For the sinks to take what is there. With the 5 s that streams have to close, this fits the 9 s of the whole end."""

FAREWELL_SECONDS = 0.5
"""For the brokers to be told that the device is away. One that is not, hears it from our will."""

FORMER_SECONDS = 2.0
"""For the spool to say what streams of a former configuration have left, before those of now begin."""


class Outlets:
    """All that records and the device's own state go out by. `brokers` are those of `ways`, and are run here."""

    def __init__(self, loaded: Loaded, spool: Spool, ways: Ways, brokers: Mapping[str, Broker], log: Log) -> None:
        self._loaded = loaded
        self._spool = spool
        self._ways = ways
        self._brokers = brokers
        self._log = log
        self._enabled = {name: config for name, config in loaded.streams.items() if config.enabled}
        self._deliveries: list[Delivery] = []
        self._announcers: list[Announcer] = []
        self._stopping = asyncio.Event()

    @property
    def sinks(self) -> Mapping[str, Sequence[SinkNow]]:
        """How far each stream's sinks are, for whoever asks."""
        found: dict[str, list[SinkNow]] = {}
        for delivery in self._deliveries:
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
        """Find out where each sink is. Without this, and before it, nothing is delivered, and nothing lost."""
        for name, config in self._enabled.items():
            await self._add(name, [(sink, self._sink(sink, name)) for sink in config.sinks])
        try:
            async with asyncio.timeout(FORMER_SECONDS):
                former = await self._spool.strangers(self._enabled, {*self._loaded.streams, *self._loaded.broken})
        except (SpoolError, TimeoutError) as error:
            self._log.error(f"what former streams still have to deliver waits for the next start: {error}")
            return
        for name, configs in former.items():
            await self._add_former(name, configs)

    async def run(self) -> None:
        """Deliver until `stop`; then bring out what is there, and say farewell."""
        async with asyncio.TaskGroup() as tasks:
            connected = [tasks.create_task(broker.run(), name="broker") for broker in self._brokers.values()]
            announcing = [tasks.create_task(announcer.run(), name="announce") for announcer in self._announcers]
            delivering = [tasks.create_task(delivery.run(), name="deliver") for delivery in self._deliveries]
            await self._stopping.wait()
            for delivery in self._deliveries:
                delivery.stop(DRAIN_SECONDS)
            if delivering:
                await asyncio.wait(delivering)
            await _ended(announcing)
            await asyncio.gather(*(broker.close(FAREWELL_SECONDS) for broker in self._brokers.values()))
            await _ended(connected)

    def stop(self) -> None:
        """Make `run` end."""
        self._stopping.set()

    def _sink(self, config: SinkConfig, stream: str) -> Sink:
        return sink_for(config, stream, self._ways, self._log.bind(stream=stream))

    async def _add(self, stream: str, sinks: Sequence[tuple[SinkConfig, Sink]]) -> None:
        log = self._log.bind(stream=stream)
        for _, sink in sinks:
            try:
                await sink.open()
            except ConfigError as error:
                log.error(str(error))  # results wait in the spool; the sink is tried for ever
        cursors = self._spool.attach(stream, {sink.name: config.model_dump_json() for config, sink in sinks})
        self._deliveries += [
            Delivery(cursor, sink, log, sync_seconds=config.sync_seconds)
            for cursor, (config, sink) in zip(cursors, sinks, strict=True)
        ]

    async def _add_former(self, stream: str, configs: Mapping[str, str]) -> None:
        """What a stream that does not run any more still has to deliver goes out under its name."""
        sinks = []
        for name, text in configs.items():
            try:
                config = sink_config(text)
                if isinstance(config, MqttSink):
                    config = config.model_copy(update={"last_topic": ""})  # what is retained of it is removed there
                sinks.append((config, self._sink(config, stream)))
            except ConfigError as error:
                self._log.warning(f"{name}: {error}: what {stream} still had for it is dropped", stream=stream)
        self._log.info("does not run any more; what it still has to deliver goes out", stream=stream)
        await self._add(stream, sinks)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
