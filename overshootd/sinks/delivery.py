"""What brings one stream's records to one sink, for as long as it takes."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NoReturn

from overshootd.backoff import NETWORK, REFUSED, UNREACHABLE, Backoff
from overshootd.condition import Condition
from overshootd.contracts import Log, Sink
from overshootd.errors import Away, Refused, Transient, Unreachable
from overshootd.groups import TaskGroup
from overshootd.sinks.cursor import Cursor
from overshootd.sinks.lanes import Lanes
from overshootd.status import SinkNow

BACKOFFS = ((Refused, REFUSED), (Unreachable, UNREACHABLE))
"""By what failed; else NETWORK."""

SETTLE_SECONDS = 0.5
"""Of the time to stop, for the spool to learn what the sink has when there was no time for more; half at most."""

CLOSE_SECONDS = 1.0
"""What a sink may take to close, once all that it was given is synced or given up."""


class Delivery:
    """Reads from the spool, gives to the sink, and every `sync_seconds` has the sink sync and then the cursor move.

    A sink that fails is tried for ever; its records wait in the spool, and nobody waits for it. With `once` it ends as
    soon as nothing waits. `backoff` stands for those that fit the failure, `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        cursor: Cursor,
        sink: Sink,
        log: Log,
        *,
        sync_seconds: float,
        once: bool = False,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cursor = cursor
        cursor.sync_seconds = sync_seconds
        self._sink = sink
        self._log = log
        self._sync_seconds = sync_seconds
        self._backoff = backoff
        self._condition = Condition(log, f"delivery to {sink.name}", clock)
        self._failures: Counter[Backoff] = Counter()  # each kind has its own: an outage makes no slow key slower
        self._why = ""
        self._in_doubt = False  # a sync failed: nothing is sure that was given since the last one
        self._stopping = asyncio.Event()
        self._stop_at: float | None = None  # loop time
        self._end_at: float | None = None  # loop time
        self._bound: asyncio.Timeout | None = None
        self._lanes = Lanes(cursor, sink, log, self._stopping, once=once, backoff=backoff or REFUSED, clock=clock)

    @property
    def stream(self) -> str:
        return self._cursor.stream

    @property
    def known(self) -> bool:
        """Whether `now` tells more than that nobody has looked yet."""
        return self._cursor.attached or self._why != ""

    @property
    def now(self) -> SinkNow:
        """For whoever asks."""
        return SinkNow(self._sink.name, self._cursor.waiting, self._why or self._lanes.why, self._lanes.passed_over)

    async def run(self) -> None:
        """Deliver until `stop`, and then what is there. One task, once. Closes the sink."""
        try:
            await self._run()
            await self._settle_at_last()
        finally:
            await self._close()

    def stop(self, within: float) -> None:
        """Make `run` deliver what is there, once, and return within so many seconds; what is left is in the spool."""
        self._stopping.set()
        self._lanes.wake()
        now = asyncio.get_running_loop().time()
        self._stop_at, self._end_at = now + within - min(SETTLE_SECONDS, within / 2), now + within
        if self._bound is not None:
            self._bound.reschedule(self._stop_at)

    async def _run(self) -> None:
        try:
            async with asyncio.timeout_at(self._stop_at) as self._bound:
                while not await self._try():
                    pass
        except TimeoutError:
            self._left("no time to finish")
        finally:
            self._bound = None

    async def _try(self) -> bool:
        """Deliver until something fails or all is done; whether that is it."""
        failed: list[Transient] = []
        try:
            await self._deliver()
        except* Transient as group:
            failed = list(_leaves(group))
        if not failed:
            return True
        if self._in_doubt:
            self._cursor.rewind()
            self._in_doubt = False
        if self._stopping.is_set():
            self._left(str(failed[0]))
            return True
        await self._put_off(failed[0])
        return False

    async def _deliver(self) -> None:
        """Raises Transient, or a group of them."""
        await self._cursor.attach()
        if self._is_to_settle:
            self._lanes.gave.set()
        async with TaskGroup() as tasks:
            settling = tasks.create_task(self._settle_now_and_then(), name="settle")
            await self._lanes.run()
            settling.cancel()
            await asyncio.wait([settling])
        if not self._cursor.settled:
            await self._settle()
        self._works()

    async def _put_off(self, error: Transient) -> None:
        """Until the next try. What the sink has by now, the spool learns before: that may be long."""
        if not isinstance(error, Away):
            self._condition.bad(str(error))
        self._why = str(error)
        try:
            if not self._cursor.settled:
                await self._settle()
        except Transient as another:
            self._condition.bad(str(another))
            if self._in_doubt:  # else the spool alone has trouble, and the sink has what it has
                self._cursor.rewind()
                self._in_doubt = False
        kind = self._backoff or next((backoff for kind, backoff in BACKOFFS if isinstance(error, kind)), NETWORK)
        seconds = kind.delay(self._failures[kind], random.uniform, error.retry_after)
        self._failures[kind] += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    # -- what the sink has for sure

    @property
    def _is_to_settle(self) -> bool:
        """Whether the spool does not know what the sink was given, or something failed that only this shows to work
        again: nothing waits."""
        return not self._cursor.settled or (self._why != "" and not self._cursor.waiting)

    async def _settle_now_and_then(self) -> NoReturn:
        while True:
            await self._lanes.gave.wait()
            self._lanes.gave.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._sync_seconds):
                    await self._cursor.due.wait()
            if self._is_to_settle:
                await self._settle()
                self._works()

    async def _settle(self) -> None:
        async with self._lanes.turn:
            given = self._cursor.given
            self._lanes.gave.clear()  # what comes next has all of its time, as it has in the spool, which asks before
            self._lanes.settled()
            try:
                await self._sink.sync()
            except Transient:
                self._in_doubt = True
                raise
        await self._cursor.ack(given)

    def _works(self) -> None:
        """Not before a sync: a disk that takes data but cannot sync would work again every few seconds."""
        self._failures.clear()
        self._why = ""
        self._condition.good()

    # -- the end

    async def _settle_at_last(self) -> None:
        if self._cursor.settled:
            return
        try:
            async with asyncio.timeout_at(self._end_at):
                await self._settle()
        except (TimeoutError, Transient) as error:
            self._log.warning(f"delivery to {self._sink.name}: {str(error) or 'no time to sync'}; some may come twice")

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._sink.close()
        except (TimeoutError, Transient) as error:
            self._log.warning(f"closing {self._sink.name}: {str(error) or 'no answer'}")

    def _left(self, why: str) -> None:
        self._log.warning(f"delivery to {self._sink.name}: {why}; the rest is in the spool for the next start")


def _leaves(group: BaseExceptionGroup[Transient]) -> Iterator[Transient]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
