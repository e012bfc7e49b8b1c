"""What brings one stream's records to one sink."""

from __future__ import annotations

import asyncio
import random
import re
import time
from contextlib import nullcontext, suppress
from typing import NoReturn

from overshootd.backoff import NETWORK, REFUSED, Backoff
from overshootd.condition import Condition
from overshootd.contracts import Log, Sink
from overshootd.errors import Refused, Rejected, Transient
from overshootd.sinks.cursor import BATCH_ROWS, Batch, Cursor
from overshootd.status import SinkNow

LIVE_ROWS = 64
"""In one go of the live lane: what comes next waits for it."""

FEW = 16
"""So many that wait are not worth a lane of their own: they go out in order."""

FAR = 4 * LIVE_ROWS
"""The live lane that lags by so many leaves them to the backlog: the link is slower than what arrives."""

REJECTIONS = 10
"""Times that one record is refused by itself, with an hour between the first and the last, before it is passed over."""

CLOSE_SECONDS = 1.0
"""What a sink may take to close, once all that it was given is synced or given up."""

SETTLE_SECONDS = 0.5
"""At the end, for the spool to learn what the sink has, when there was no time for more."""

UID = re.compile(rb'"uid":"([^"]*)"')


class Delivery:
    """Reads from the spool, gives to the sink, and every `sync_seconds` has the sink sync and then the cursor move.

    A sink that fails is tried for ever; its records wait in the spool, and nobody waits for it. Where the sink lets
    what is live go first, a backlog goes beside it, in a lane of its own.
    """

    def __init__(
        self, cursor: Cursor, sink: Sink, log: Log, *, sync_seconds: float, backoff: Backoff | None = None
    ) -> None:
        self._cursor = cursor
        self._sink = sink
        self._log = log
        self._sync_seconds = sync_seconds
        self._backoff = backoff
        self._condition = Condition(log, f"delivery to {sink.name}", time.monotonic)
        self._failures = 0
        self._why = ""
        self._rejected: tuple[bytes, int] = (b"", 0)  # the record that was refused last, and how often
        self._live = 0  # the live lane has taken all up to this seq
        self._turn = asyncio.Lock()  # a sink whose records come in order is not asked to sync in the midst of some
        self._gave = asyncio.Event()
        self._behind = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stop_at: float | None = None  # loop time
        self._bound: asyncio.Timeout | None = None

    @property
    def stream(self) -> str:
        return self._cursor.stream

    @property
    def now(self) -> SinkNow:
        """For whoever asks."""
        return SinkNow(self._sink.name, self._cursor.waiting, self._why)

    async def run(self) -> None:
        """Deliver until `stop`, and then what is there. One task, once. Closes the sink."""
        try:
            async with asyncio.timeout_at(self._stop_at) as self._bound:
                while not await self._try():
                    pass
        except TimeoutError:
            self._log.warning(
                f"delivery to {self._sink.name}: no time to finish; the rest is in the spool for the next start"
            )
            await self._settle_at_last()
        finally:
            self._bound = None
            await self._close()

    def stop(self, within: float) -> None:
        """Make `run` deliver what is there, once, and return within so many seconds; what is left is in the spool."""
        self._stopping.set()
        self._cursor.wake()
        self._behind.set()
        self._gave.set()
        self._stop_at = asyncio.get_running_loop().time() + within
        if self._bound is not None:
            self._bound.reschedule(self._stop_at)

    async def _try(self) -> bool:
        """Deliver until something fails or all is done; whether that is it."""
        try:
            await self._deliver()
        except Transient as error:
            if self._stopping.is_set():
                told = f"delivery to {self._sink.name}: {error}"
                self._log.warning(f"{told}; the rest is in the spool for the next start")
                return True
            self._condition.bad(str(error))
            self._why = str(error)
            slow = REFUSED if isinstance(error, Refused) else NETWORK
            await self._pause((self._backoff or slow).delay(self._failures, random.uniform, error.retry_after))
            self._failures += 1
            return False
        return True

    async def _deliver(self) -> None:
        """Raises Transient."""
        await self._cursor.attach()
        apart = self._sink.live_first and self._cursor.waiting > FEW
        self._live = self._cursor.head if apart else self._cursor.given.floor
        self._behind.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                settling = tasks.create_task(self._settle_now_and_then(), name="settle")
                lanes = [tasks.create_task(self._live_lane(), name="live")]
                if self._sink.live_first:
                    lanes.append(tasks.create_task(self._backlog_lane(), name="backlog"))
                await asyncio.wait(lanes)
                settling.cancel()
        except BaseExceptionGroup as group:
            if (ours := group.subgroup(Transient)) is None or group.split(Transient)[1] is not None:
                raise
            raise _first(ours) from group
        await self._settle()

    # -- the lanes

    async def _live_lane(self) -> None:
        """What arrives, in order; returns once all that is there was given, when it is to stop."""
        while True:
            if (gap := self._cursor.given.gap_after(self._live, self._cursor.head)) is None:
                if self._stopping.is_set():
                    return
                await self._cursor.wait(self._cursor.head)
                continue
            if self._sink.live_first and self._cursor.head - gap[0] > FAR:
                self._live = self._cursor.head - LIVE_ROWS
                self._behind.set()
                continue
            batch = await self._cursor.read(gap[0] - 1, gap[1], LIVE_ROWS if self._sink.live_first else BATCH_ROWS)
            async with self._turn:
                await self._give(batch, backlog=False)
            self._live = batch.last

    async def _backlog_lane(self) -> None:
        """What the live lane has left behind, oldest first."""
        while True:
            if (gap := self._cursor.given.gap(self._live)) is not None:
                await self._give(await self._cursor.read(gap[0] - 1, gap[1]), backlog=True)
            elif self._stopping.is_set():
                return
            else:
                self._behind.clear()
                await self._behind.wait()

    async def _give(self, batch: Batch, *, backlog: bool) -> None:
        if batch.lines:
            try:
                await self._sink.deliver(batch.lines, backlog=backlog)
            except Rejected as error:
                await self._give_each(batch, error, backlog=backlog)
            self._gave.set()
        self._cursor.gave(batch)

    async def _give_each(self, batch: Batch, error: Rejected, *, backlog: bool) -> None:
        """Find the one that is refused. It is passed over once that was so often enough, or is certain."""
        if len(batch.lines) > 1:
            for line in batch.lines:
                try:
                    await self._sink.deliver([line], backlog=backlog)
                except Rejected as refused:
                    self._refused(line, refused)
            return
        self._refused(batch.lines[0], error)

    def _refused(self, line: bytes, error: Rejected) -> None:
        """Raises it, unless the record is to be passed over."""
        times = self._rejected[1] + 1 if self._rejected[0] == line else 1
        self._rejected = (line, times)
        if not error.certain and times < REJECTIONS:
            raise error
        uid = match[1].decode() if (match := UID.search(line)) else "?"
        self._log.error(f"delivery to {self._sink.name}: a record is passed over: {error}", uid=uid)

    # -- what the sink has for sure

    async def _settle_now_and_then(self) -> NoReturn:
        while True:
            await self._gave.wait()
            self._gave.clear()
            await asyncio.sleep(self._sync_seconds)
            await self._settle()

    async def _settle(self) -> None:
        async with nullcontext() if self._sink.live_first else self._turn:
            given = self._cursor.given
            if self._cursor.settled:
                return
            try:
                await self._sink.sync()
            except Transient:
                self._cursor.rewind()
                raise
        await self._cursor.ack(given)
        self._failures = 0
        self._why = ""
        self._condition.good()  # not before: a disk that takes data but cannot sync would work again every few seconds

    # -- the end

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _settle_at_last(self) -> None:
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._settle()
        except (TimeoutError, Transient) as error:
            self._log.warning(f"delivery to {self._sink.name}: {str(error) or 'no time'}; some may come twice")

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._sink.close()
        except (TimeoutError, Transient) as error:
            self._log.warning(f"closing {self._sink.name}: {str(error) or 'no answer'}")


def _first(group: BaseExceptionGroup[Transient]) -> Transient:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
