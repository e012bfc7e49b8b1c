"""One sink's place in one stream."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from overshootd.sinks.disk import Disk
from overshootd.sinks.store import Store

BATCH_ROWS = 256
BATCH_BYTES = 256 * 1024


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
