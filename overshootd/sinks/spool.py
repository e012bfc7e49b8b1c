"""Where records wait for their sinks (design decision 5).

The promise: what `append` has stored is there when the process dies, because it is with the kernel; and when the power
does, all but the last `sync_seconds`, because the disk is synced that often. A sink's cursor moves only after the sink
has synced what it was given, so one of the two always has the record on the disk. What a sink was given since its
cursor last moved is given to it again after a crash: at least once, and `uid` tells.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import uuid6

from overshootd.condition import Condition
from overshootd.contracts import Log, Record
from overshootd.errors import SpoolError
from overshootd.sinks.cursor import Cursor
from overshootd.sinks.database import Connection
from overshootd.sinks.disk import Disk
from overshootd.sinks.record import encode
from overshootd.sinks.store import Store

T = TypeVar("T")

FILE_NAME = "spool.sqlite3"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Spool:
    """One for all streams. `state_dir` is made when it is missing."""

    def __init__(self, state_dir: Path, disk: Disk, log: Log, *, sync_seconds: float = 5.0) -> None:
        self._store = Store(state_dir / FILE_NAME, log, BOOT_ID.read_text().strip())
        self._disk = disk
        self._sync_seconds = sync_seconds
        self._syncing = Condition(log, "syncing the spool", time.monotonic)
        self._cursors: dict[str, list[Cursor]] = {}
        self._dirty = asyncio.Event()

    async def open(self) -> None:
        """Find out early whether it can work; without this call it opens at the first use.

        Raises ConfigError when a person must act (may not write there), SpoolError when it may pass (full, in use).
        """
        await self._disk.run(self._store.open)

    async def run(self) -> None:
        """Never return; sync the disk `sync_seconds` after something was written, and not otherwise."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(self._sync_seconds)
            self._dirty.clear()
            try:
                await self._disk.run(self._store.sync)
            except SpoolError as error:
                self._syncing.bad(str(error))
                self._dirty.set()
            else:
                self._syncing.good()

    async def append(self, record: Record) -> int:
        """Store it and return its `seq`; the record is with the kernel then. Raises SpoolError: try again."""
        line = partial(encode, record, str(uuid6.uuid7()))
        seq = await self._disk.run(self._store.append, record.stream, line)
        self._dirty.set()
        cursors = self._cursors.get(record.stream)
        for cursor in cursors or ():
            cursor.announce(seq)
        if cursors == []:  # a stream without sinks: nobody else would ever delete its records
            await self._disk.run(self._store.purge, record.stream)
        return seq

    def attach(self, stream: str, sinks: Mapping[str, str]) -> list[Cursor]:
        """The cursors of a stream's sinks, all of them, each with its configuration as JSON: one that was there before
        and is not named is forgotten."""
        self._cursors[stream] = [Cursor(self._store, self._disk, stream, sinks, sink) for sink in sinks]
        return self._cursors[stream]

    async def within(self, function: Callable[[Connection], T]) -> T:
        """What `function` returns, done in one transaction of the database: for what is kept beside the records. Raises
        SpoolError."""
        done = await self._disk.run(self._store.within, function)
        self._dirty.set()
        return done

    async def close(self, within: float) -> None:
        """Bring everything to the disk. Raises TimeoutError, SpoolError."""
        async with asyncio.timeout(within):
            await self._disk.run(self._store.close)
