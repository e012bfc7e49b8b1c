"""Where records wait for their sinks (design decision 5).

The promise: what `append` has stored is there when the process dies, because it is with the kernel; and when the power
does, all but the last `sync_seconds`, because the disk is synced that often. A sink's cursor moves only after the sink
has synced what it was given, so one of the two always has the record on the disk. What a sink was given since its
cursor last moved is given to it again after a crash: at least once, and `uid` tells.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import uuid6

from overshootd.condition import Condition
from overshootd.contracts import Log, Record
from overshootd.errors import SpoolError
from overshootd.sinks.disk import Disk
from overshootd.sinks.record import encode
from overshootd.sinks.store import Store

FILE_NAME = "spool.sqlite3"
BATCH_ROWS = 256
BATCH_BYTES = 256 * 1024
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

    def attach(self, stream: str, sinks: Sequence[str]) -> list[Cursor]:
        """The cursors of a stream's sinks, all of them: one that was there before and is not named is forgotten."""
        self._cursors[stream] = [Cursor(self._store, self._disk, stream, sinks, sink) for sink in sinks]
        return self._cursors[stream]

    async def close(self, within: float) -> None:
        """Bring everything to the disk. Raises TimeoutError, SpoolError."""
        async with asyncio.timeout(within):
            await self._disk.run(self._store.close)


class Cursor:
    """One sink's place in one stream: what it was given, and what it has for sure. One task uses it.

    It learns where it stands at the first `read`, so that a spool that cannot be read yet keeps nobody from starting.
    """

    def __init__(self, store: Store, disk: Disk, stream: str, sinks: Sequence[str], sink: str) -> None:
        self._store = store
        self._disk = disk
        self._stream = stream
        self._sinks = sinks
        self._sink = sink
        self._attached = False
        self._acked = self._given = self._head = 0
        self._arrived = asyncio.Event()

    @property
    def behind(self) -> bool:
        """Whether there may be something to `read`."""
        return self._head > self._given or not self._attached

    def announce(self, seq: int) -> None:
        """There is a record `seq` now."""
        self._head = max(self._head, seq)
        self.wake()

    async def wait(self) -> None:
        """Return when there is something to `read`, or at `wake`."""
        if not self.behind:
            self._arrived.clear()
            await self._arrived.wait()

    def wake(self) -> None:
        self._arrived.set()

    async def read(self) -> tuple[int, list[bytes]]:
        """The next lines, BATCH_ROWS and BATCH_BYTES at most, behind the seq for `given`. Raises SpoolError."""
        if not self._attached:
            head, acked = await self._disk.run(self._store.attach, self._stream, self._sinks)
            self._acked = self._given = acked[self._sink]
            self._head = max(self._head, head)
            self._attached = True
        head = self._head
        rows = await self._disk.run(self._store.read, self._stream, self._given, BATCH_ROWS, BATCH_BYTES)
        return (rows[-1][0] if rows else head), [line for _, line in rows]

    def given(self, seq: int) -> None:
        """The sink was given all up to `seq`."""
        self._given = seq

    def rewind(self) -> None:
        """What the sink was given since the last `ack` is in doubt: read it again."""
        self._given = self._acked

    async def ack(self) -> None:
        """What the sink was given, it has for sure; what all sinks have is deleted. Raises SpoolError."""
        given = self._given
        await self._disk.run(self._store.ack, self._stream, self._sink, given)
        self._acked = given
        while await self._disk.run(self._store.purge, self._stream):
            pass
