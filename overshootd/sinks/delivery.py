"""The loop that brings one stream's records to one sink."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress

from overshootd.backoff import NETWORK, Backoff
from overshootd.condition import Condition
from overshootd.contracts import Log, Sink
from overshootd.errors import Transient
from overshootd.sinks.cursor import Cursor

CLOSE_SECONDS = 1.0
"""What a sink may take to close, once all that it was given is synced or given up."""


class Delivery:
    """Reads from the spool, gives to the sink, and `sync_seconds` later has the sink sync and then the cursor move.

    A sink that fails is tried for ever; its records wait in the spool, and nobody waits for it.
    """

    def __init__(
        self, cursor: Cursor, sink: Sink, log: Log, *, sync_seconds: float, backoff: Backoff = NETWORK
    ) -> None:
        self._cursor = cursor
        self._sink = sink
        self._log = log
        self._sync_seconds = sync_seconds
        self._backoff = backoff
        self._condition = Condition(log, f"delivery to {sink.name}", time.monotonic)
        self._failures = 0
        self._sync_at: float | None = None  # loop time; None: the sink was given nothing since it last synced
        self._stopping = asyncio.Event()
        self._stop_at: float | None = None  # loop time
        self._bound: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Deliver until `stop`. One task, once. Closes the sink."""
        try:
            async with asyncio.timeout_at(self._stop_at) as self._bound:
                while not self._stopping.is_set():
                    await self._step()
                await self._finish()
        except TimeoutError:
            self._log.warning(
                f"delivery to {self._sink.name}: no time to finish; the rest is in the spool for the next start"
            )
        finally:
            self._bound = None
            await self._close()

    def stop(self, within: float) -> None:
        """Make `run` deliver what is there, once, and return within so many seconds; what is left is in the spool."""
        self._stopping.set()
        self._cursor.wake()
        self._stop_at = asyncio.get_running_loop().time() + within
        if self._bound is not None:
            self._bound.reschedule(self._stop_at)

    async def _step(self) -> None:
        try:
            if self._cursor.behind:
                await self._give()
            else:
                await self._rest()
            if self._sync_at is not None and asyncio.get_running_loop().time() >= self._sync_at:
                await self._settle()
        except Transient as error:
            self._condition.bad(str(error))
            await self._pause(self._backoff.delay(self._failures, random.uniform, error.retry_after))
            self._failures += 1

    async def _give(self) -> None:
        seq, lines = await self._cursor.read()
        if lines:
            await self._sink.deliver(lines)
        self._cursor.given(seq)
        if lines and self._sync_at is None:
            self._sync_at = asyncio.get_running_loop().time() + self._sync_seconds

    async def _settle(self) -> None:
        try:
            await self._sink.sync()
        except Transient:
            self._cursor.rewind()
            self._sync_at = None
            raise
        await self._cursor.ack()
        self._sync_at = None
        self._failures = 0
        self._condition.good()  # not before: a disk that takes data but cannot sync would work again every few seconds

    async def _finish(self) -> None:
        try:
            while self._cursor.behind:
                await self._give()
            if self._sync_at is not None:
                await self._settle()
        except Transient as error:
            self._log.warning(f"delivery to {self._sink.name}: {error}; the rest is in the spool for the next start")

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._sync_at):
                await self._cursor.wait()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._sink.close()
        except (TimeoutError, Transient) as error:
            self._log.warning(f"closing {self._sink.name}: {str(error) or 'no answer'}")
