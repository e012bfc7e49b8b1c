"""Keeps at one broker what is true of the device and its streams: what a subscriber finds there, whenever it comes."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from overshootd.config.brokers import BrokerConfig
from overshootd.config.model import StreamConfig
from overshootd.config.sinks import MqttSink
from overshootd.contracts import Controls, Log
from overshootd.errors import OvershootdError
from overshootd.mqtt.discovery import AnnouncedStream, Board
from overshootd.mqtt.home_assistant import HomeAssistant
from overshootd.mqtt.listening import Listening
from overshootd.mqtt.summary import Json, Trouble, available, board_of, essence, newest, summary
from overshootd.mqtt.topics import LEAVES, Topics

APART_SECONDS = 2.0
"""From one look at what has changed to the next: a stream that flaps must not fill a mobile uplink."""

LOOK_SECONDS = 30.0
"""Looked at unasked: nobody calls when the clock is set or the voltage drops."""

STATUS_SECONDS = 3600.0
"""The status is told so often though nothing changed, for its numbers."""

MOST_REMOVED = 100
"""Streams of which a run removes what was retained: others may write to our topics as often as they like."""

ONLINE, OFFLINE = b"online", b"offline"


def announced_streams(streams: Mapping[str, StreamConfig], broker: str, topics: Topics) -> list[AnnouncedStream]:
    """Those that have a sink at this broker; of several sinks of one stream the first counts. Pure."""
    found = []
    for name, config in streams.items():
        sinks = [sink for sink in config.sinks if isinstance(sink, MqttSink) and sink.broker == broker]
        if sinks:
            last_topic = topics.filled(sinks[0].last_topic, name)
            found.append(AnnouncedStream(name, last_topic, config.inference.output_schema_json))
    return found


class Announcer:
    """To be made before the broker runs, for it subscribes then; `run` is its task, and ends before the broker does.

    `report` gives what `overshootd status --json` prints, within seconds. `spared` are streams whose configuration is
    broken just now: what is retained of them is left there.
    """

    def __init__(
        self,
        broker: Listening,
        config: BrokerConfig,
        topics: Topics,
        streams: Collection[AnnouncedStream],
        spared: Collection[str],
        version: str,
        report: Callable[[], Awaitable[Json]],
        controls: Controls,
        redact: Callable[[str], str],
        log: Log,
        *,
        apart_seconds: float = APART_SECONDS,
        status_seconds: float = STATUS_SECONDS,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._names = [stream.name for stream in streams]
        self._spared = spared
        self._report = report
        self._controls = controls
        self._redact = redact
        self._log = log.bind(broker=broker.name)
        self._apart_seconds = apart_seconds
        self._status_seconds = status_seconds
        self._changed = asyncio.Event()
        self._removed: set[str] = set()
        self._last: Json = {}  # the report before
        self._trouble: Trouble | None = None
        self._told: Any = None  # the essence of the last status, and when that was told
        self._told_at = 0.0
        self._board = Board()
        self._home_assistant = HomeAssistant(
            broker,
            topics,
            config.home_assistant,
            streams,
            spared,
            config.commands,
            version,
            self.changed,
            uniform,
            log,
        )
        broker.subscribe(topics.availability("+"), self._found)

    def changed(self) -> None:
        """Something may be different from what was told. Never waits."""
        self._changed.set()

    async def run(self) -> NoReturn:
        """Tell what has changed. Cancelled, it leaves all streams offline: whoever kills us leaves only our will."""
        try:
            while True:
                self._changed.clear()
                await self._look()
                await asyncio.sleep(self._apart_seconds)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._patience()):
                        await self._changed.wait()
        finally:
            for name in self._names:
                self._broker.keep(self._topics.availability(name), OFFLINE)

    def _patience(self) -> float:
        """Seconds until the next look, if nobody calls."""
        now, next_at = time.monotonic(), self._home_assistant.next_at
        due = min(self._told_at + self._status_seconds, now + LOOK_SECONDS if next_at is None else next_at)
        return max(0.0, min(LOOK_SECONDS, due - now))

    async def _look(self) -> None:
        report = await self._report()
        self._trouble = newest(self._trouble, report, self._last)
        self._last = report
        for name in self._names:
            self._broker.keep(self._topics.availability(name), ONLINE if available(report, name) else OFFLINE)
            self._tell_controls(name)
        self._tell_status(summary(report, self._trouble, self._redact))
        self._board = board_of(report, self._board)
        self._home_assistant.keep(self._board)

    def _tell_controls(self, name: str) -> None:
        with suppress(OvershootdError):  # a stream that does not run has no prompt, and is not paused
            self._broker.keep(self._topics.of(name, "prompt"), self._redact(self._controls.prompt(name)).encode())
            self._broker.keep(self._topics.of(name, "pause"), b"ON" if self._controls.paused(name) else b"OFF")

    def _tell_status(self, said: Json) -> None:
        now, told = time.monotonic(), essence(said)
        if told != self._told or now >= self._told_at + self._status_seconds:
            self._told, self._told_at = told, now
            self._broker.keep(self._topics.status, _encoded(said))

    def _found(self, topic: str, payload: bytes, retained: bool) -> None:
        """What an earlier run left of a stream, or what we keep ourselves."""
        stream = self._topics.stream_of(topic, "availability")
        if not retained or not payload or stream is None or stream in self._names:
            return
        if stream in self._spared:
            self._broker.keep(topic, OFFLINE)
            return
        if stream not in self._removed:
            if len(self._removed) >= MOST_REMOVED:
                return
            self._removed.add(stream)
            self._log.info("what was retained of a stream that is no longer announced here is removed", stream=stream)
        # Availability comes last: it is what the others are found by, should this be cut short.
        for leaf in sorted(LEAVES, key=lambda leaf: leaf == "availability"):
            self._broker.keep(self._topics.of(stream, leaf), b"")


def _encoded(said: Json) -> bytes:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
