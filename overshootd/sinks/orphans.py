"""Delivers what streams that are removed, or broken just now, still had to deliver, under their old names."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import TypeVar

from overshootd.backoff import NETWORK, Backoff
from overshootd.condition import Condition
from overshootd.contracts import Log, Sink
from overshootd.errors import ConfigError, SpoolError
from overshootd.groups import TaskGroup
from overshootd.sinks.delivery import Delivery
from overshootd.sinks.spool import Spool
from overshootd.status import SinkNow

T = TypeVar("T")

SYNC_SECONDS = 5.0

Rebuild = Callable[[str, str], Sink | None]
"""From a stream's name and the configuration of a sink as JSON to the sink; None where it cannot be built just now, as
after a slip in the configuration. Raises ConfigError where it never will be."""


class Orphans:
    """`sound`: the streams that have their own deliveries. `broken`: those of which the configuration says too little
    for that. No sink of theirs loses anything; of a removed stream one does that can never be built any more.
    """

    def __init__(
        self,
        spool: Spool,
        rebuild: Rebuild,
        log: Log,
        *,
        sound: Collection[str],
        broken: Collection[str],
        backoff: Backoff | None = None,
    ) -> None:
        self._spool = spool
        self._rebuild = rebuild
        self._log = log
        self._sound = frozenset(sound)
        self._broken = frozenset(broken)
        self._backoff = backoff
        self._looking = Condition(log, "looking in the spool for streams that are configured no more", time.monotonic)
        self._stopping = asyncio.Event()
        self._deliveries: list[Delivery] = []

    @property
    def now(self) -> dict[str, list[SinkNow]]:
        """By stream, for whoever asks."""
        found: dict[str, list[SinkNow]] = {}
        for delivery in self._deliveries:
            found.setdefault(delivery.stream, []).append(delivery.now)
        return found

    async def run(self) -> None:
        """Return when nothing waits any more, or after `stop`. One task, once."""
        waiting = await self._asked(lambda: self._spool.strangers(self._sound, self._broken))
        for stream, configs in (waiting or {}).items():
            await self._begin(stream, configs)
        if self._stopping.is_set():
            return  # what was asked to stop before it was there would not know
        async with TaskGroup() as tasks:
            for delivery in self._deliveries:
                tasks.create_task(delivery.run(), name=f"delivery of {delivery.stream}")
        if self._deliveries:  # and now forget what has nothing left
            await self._asked(lambda: self._spool.strangers(self._sound, self._broken))
        self._deliveries = []

    def stop(self, within: float) -> None:
        """Make `run` return within so many seconds; what is left is in the spool."""
        self._stopping.set()
        for delivery in self._deliveries:
            delivery.stop(within)

    async def _begin(self, stream: str, configs: Mapping[str, str]) -> None:
        log = self._log.bind(stream=stream)
        sinks: dict[str, Sink] = {}
        kept = dict(configs)
        for name, config in configs.items():
            try:
                if (sink := self._rebuild(stream, config)) is not None:
                    sinks[name] = sink
            except ConfigError as error:
                log.warning(f"nothing more is delivered to {name}: {error}")
                if stream not in self._broken:
                    del kept[name]
        if not kept:
            log.warning(f"what waited for {', '.join(configs)} is dropped")
            await self._asked(lambda: self._spool.forget(stream))
            return
        if sinks:
            log.info("delivering what waits of a stream that is removed or broken")
        cursors = dict(zip(kept, self._spool.attach(stream, kept), strict=True))
        self._deliveries += [
            Delivery(cursors[name], sink, log, sync_seconds=SYNC_SECONDS, once=True, backoff=self._backoff)
            for name, sink in sinks.items()
        ]

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What the spool answers; None when it has not before it is time to stop."""
        failures = 0
        while not self._stopping.is_set():
            try:
                answer = await ask()
            except SpoolError as error:
                self._looking.bad(str(error))
                await self._pause((self._backoff or NETWORK).delay(failures, random.uniform))
                failures += 1
            else:
                self._looking.good()
                return answer
        return None

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
