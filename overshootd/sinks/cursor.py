"""One sink's place in one stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from overshootd.sinks.disk import Disk
from overshootd.sinks.pace import BATCH_BYTES, BATCH_ROWS, Arrivals
from overshootd.sinks.progress import Progress
from overshootd.sinks.recent import Recent
from overshootd.sinks.store import Store

LEAP = 10_000
"""So many do not come at once: numbers between were left out, for the spool had to be replaced meanwhile (store.py)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The records from `first` to `last`, both seq included; what is missing between them was dropped."""

    first: int
    last: int
    lines: list[bytes]


class Cursor:
    """One sink's place in one stream: what it was given, and what it has for sure. One `Delivery` uses it.

    It learns where it stands at `attach`, so that a spool that cannot be read yet keeps nobody from starting. `recent`
    is the stream's, filled by who stores its records.
    """

    def __init__(
        self, store: Store, disk: Disk, stream: str, sinks: Mapping[str, str], sink: str, recent: Recent
    ) -> None:
        self._store = store
        self._disk = disk
        self._stream = stream
        self._sinks = sinks
        self._sink = sink
        self._recent = recent
        self.attached = False
        """It knows where it stands."""
        self._arrivals = Arrivals()
        self._arrived = asyncio.Event()
        self._acked = Progress()
        self._moved = asyncio.Event()
        self.due = asyncio.Event()
        """The sink is to sync now, for the cursor to move."""
        self.sync_seconds = inf
        """How often its sink syncs, which whoever delivers to it sets."""
        self.given = Progress()
        """What the sink was given."""
        self.head = 0
        """The highest seq that there is."""

    @property
    def stream(self) -> str:
        return self._stream

    @property
    def waiting(self) -> int:
        """How many records the sink was not given and may yet be."""
        return self.given.waiting(self.head) - self.given.waiting(min(self._store.gone(self._stream), self.head))

    @property
    def settled(self) -> bool:
        """Whether the spool knows what the sink was given."""
        return self.given == self._acked

    async def attach(self) -> None:
        """Learn where it stands, once. Raises SpoolError."""
        if self.attached:
            return
        head, progress = await self._disk.run(self._store.attach, self._stream, self._sinks)
        self._acked = self.given = progress[self._sink]
        if gone := self._store.gone(self._stream):
            self.given = self.given.having(1, gone)
        self.head = max(self.head, head)
        self.attached = True

    def announce(self, seq: int) -> None:
        """There is a record `seq` now."""
        if self.attached and seq > self.head + LEAP:
            self.given = self.given.having(self.head + 1, seq - 1)
        self.head = max(self.head, seq)
        self._arrivals.came(self.head, time.monotonic())
        self.wake()

    def age(self, seq: int) -> float:
        """For how many seconds `seq` has been there at least, as far as this cursor has seen."""
        return self._arrivals.age(seq, time.monotonic())

    async def wait(self) -> None:
        """Return at the next `announce` or `wake`."""
        self._arrived.clear()
        await self._arrived.wait()

    def wake(self) -> None:
        self._arrived.set()

    async def read(self, after: int, upto: int, rows: int = BATCH_ROWS) -> Batch:
        """The first records after seq `after`, to `upto` and no more than `rows` or BATCH_BYTES. Raises SpoolError.

        It reaches to `upto` when there are no more.
        """
        found = self._recent.read(after, upto, rows)
        if found is None:
            found = await self._disk.run(self._store.read, self._stream, after, upto, rows, BATCH_BYTES)
        return Batch(after + 1, found[-1][0] if found else upto, [line for _, line in found])

    def gave(self, batch: Batch) -> None:
        """The sink was given this."""
        self.given = self.given.having(batch.first, batch.last)

    def rewind(self) -> None:
        """What the sink was given since the last `ack` is in doubt: it is given again."""
        self.given = self._acked

    def ask(self) -> None:
        """Have the sink sync now."""
        self._moved.clear()
        self.due.set()

    async def moved(self) -> None:
        """Return when the sink has synced what it had at the last `ask`."""
        await self._moved.wait()

    async def ack(self, given: Progress) -> None:
        """So much the sink has for sure; what all sinks have is deleted. Raises SpoolError."""
        await self._disk.run(self._store.ack, self._stream, self._sink, given)
        self._acked = given
        self._moved.set()
        while await self._disk.run(self._store.purge, self._stream):
            pass
