"""Where records wait for their sinks (design decision 5).

The promise: what `append` has stored is there when the process dies, because it is with the kernel; and when the power
does, all but the last `sync_seconds`, because the disk is synced that often. Shortly before, the sinks are asked to
sync: what they have by then need not be written (stage.py). A sink's cursor moves only after the sink
has synced what it was given, so one of the two always has the record on the disk. What a sink was given since its
cursor last moved is given to it again after a crash: at least once, and `uid` tells.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import uuid6

from overshootd.condition import Condition
from overshootd.contracts import Log, Record
from overshootd.errors import SpoolError
from overshootd.sinks.bounds import Bounds
from overshootd.sinks.cursor import Cursor
from overshootd.sinks.database import Connection
from overshootd.sinks.disk import Disk
from overshootd.sinks.recent import Recent
from overshootd.sinks.record import encode
from overshootd.sinks.store import UNBOUNDED, Store
from overshootd.status import SpoolNow

T = TypeVar("T")

FILE_NAME = "spool.sqlite3"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

LIMIT = 1024
"""Records that may wait for the disk. Every caller awaits its own: so many mean a wedged disk."""

TEND_SECONDS = 3600.0
"""How often what is too old is looked for while nothing is stored."""


GRACE_SECONDS = 0.5
"""For sinks to sync, before the disk is: at most, and no more than a tenth of `sync_seconds`."""


@dataclass(slots=True)
class _Item:
    """A record on its way to the disk, and the future of who waits for its seq."""

    record: Record
    done: asyncio.Future[int]
    line: bytes = b""

    def make(self, seq: int) -> bytes:
        self.line = encode(self.record, str(uuid6.uuid7()), seq)
        return self.line


@dataclass(frozen=True, slots=True)
class _Readers:
    """Who reads a stream, and what they read."""

    cursors: list[Cursor] = field(default_factory=list)
    recent: Recent = field(default_factory=Recent)

    def came(self, seq: int, line: bytes) -> None:
        self.recent.came(seq, line)
        for cursor in self.cursors:
            cursor.announce(seq)


class Spool:
    """One for all streams. `state_dir` is made when it is missing.

    `synced` tells whether the wall clock can be trusted; while it cannot, nothing is too old. `stage_dir` is a
    directory on a tmpfs for what is new (stage.py); None: all goes to the disk.
    """

    def __init__(
        self,
        state_dir: Path,
        disk: Disk,
        log: Log,
        *,
        sync_seconds: float = 5.0,
        max_bytes: int = UNBOUNDED.max_bytes,
        max_seconds: float = UNBOUNDED.max_seconds,
        synced: Callable[[], bool] = lambda: False,
        wall: Callable[[], float] = time.time,
        stage_dir: Path | None = None,
    ) -> None:
        boot, bounds = BOOT_ID.read_text().strip(), Bounds(max_bytes, max_seconds)
        self._store = Store(state_dir / FILE_NAME, log, boot, bounds, lambda: wall() if synced() else None, stage_dir)
        self._disk = disk
        self._sync_seconds = sync_seconds
        self._grace = min(GRACE_SECONDS, sync_seconds / 10)
        self._syncing = Condition(log, "syncing the spool", time.monotonic)
        self._readers: dict[str, _Readers] = {}
        self._unstored = self._unsynced = ""  # why it could not be done last
        self._heads: dict[str, int] = {}  # the highest seq that was stored, by stream
        self._dirty = asyncio.Event()
        self._dirty_at = 0.0  # monotonic
        self._items: list[_Item] = []
        self._writing: asyncio.Task[None] | None = None
        self.before_sync: Callable[[], Awaitable[None]] | None = None
        """Awaited before each sync, for what else wants to be written then, with `within`. It raises nothing."""

    async def open(self) -> None:
        """Find out early whether it can work; without this call it opens at the first use.

        Raises ConfigError when a person must act (may not write there), SpoolError when it may pass (full, in use).
        """
        await self._disk.run(self._store.open)

    async def run(self) -> None:
        """Never return; sync the disk `sync_seconds` after something was written, and not otherwise."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TEND_SECONDS):
                    await self._dirty.wait()
            # Since the first that came: it may have waited for the last sync to end.
            await asyncio.sleep(self._dirty_at + self._sync_seconds - self._grace - time.monotonic())
            if self._dirty.is_set() and self.before_sync is not None:
                await self.before_sync()
            dirty = self._dirty.is_set()
            self._dirty.clear()
            heads = dict(self._heads)
            await self._ask_sinks()
            try:
                if dirty:
                    await self._disk.run(self._store.sync, heads)
                while await self._disk.run(self._store.tend):
                    pass
            except SpoolError as error:
                self._unsynced = str(error)
                self._syncing.bad(str(error))
                self._touch()
            else:
                self._unsynced = ""
                self._syncing.good()

    async def append(self, record: Record) -> int:
        """Store it and return its `seq`; the record is with the kernel then. Raises SpoolError: try again.

        Records that come while the disk is busy are stored together, in one transaction.
        """
        if len(self._items) >= LIMIT:
            raise SpoolError(f"the disk does not answer: {LIMIT} records wait for it")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._items.append(_Item(record, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="spool append")
        return await done

    @property
    def now(self) -> SpoolNow:
        """How full it is, for whoever asks."""
        return replace(self._store.now, trouble=self._unstored or self._unsynced)

    def attach(self, stream: str, sinks: Mapping[str, str]) -> list[Cursor]:
        """The cursors of a stream's sinks, all of them, each with its configuration as JSON: one that was there before
        and is not named is forgotten."""
        self._readers[stream] = readers = _Readers()
        readers.cursors.extend(Cursor(self._store, self._disk, stream, sinks, sink, readers.recent) for sink in sinks)
        return readers.cursors

    async def strangers(self, known: Collection[str], named: Collection[str]) -> dict[str, dict[str, str]]:
        """What streams that are not `known` still have to deliver: by stream, the sinks that lack something, each with
        its configuration as JSON (empty where an older overshootd kept none). Those that are not even `named` and lack
        nothing are forgotten. Raises SpoolError."""
        return await self._disk.run(self._store.strangers, known, named)

    async def within(self, function: Callable[[Connection], T]) -> T:
        """What `function` returns, done in one transaction of the database: for what is kept beside the records. It is
        with the kernel then, and on the disk `sync_seconds` later. Raises SpoolError."""
        done = await self._disk.run(self._store.within, function)
        self._touch()
        return done

    async def forget(self, stream: str) -> None:
        """The stream is gone: drop its records and cursors. Raises SpoolError."""
        await self._disk.run(self._store.forget, stream)

    async def close(self, within: float) -> None:
        """Bring everything to the disk. Raises TimeoutError, SpoolError."""
        async with asyncio.timeout(within):
            if self._writing is not None:
                await asyncio.wait([self._writing])
            await self._disk.run(self._store.close)

    def _touch(self) -> None:
        if not self._dirty.is_set():
            self._dirty_at = time.monotonic()
            self._dirty.set()

    async def _ask_sinks(self) -> None:
        """Have those sync that sync as often as the spool, and wait for that, within bounds."""
        cursors = [cursor for readers in self._readers.values() for cursor in readers.cursors]
        asked = [cursor for cursor in cursors if not cursor.settled and cursor.sync_seconds <= self._sync_seconds]
        for cursor in asked:
            cursor.ask()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                for cursor in asked:
                    await cursor.moved()

    async def _write(self) -> None:
        """What waits, and what comes meanwhile; each caller learns what became of its own."""
        try:
            while self._items:
                items = [item for item in self._items if not item.done.done()]  # without those who gave up
                self._items.clear()
                await self._write_together(items)
        finally:
            self._writing = None

    async def _write_together(self, items: list[_Item]) -> None:
        try:
            results = await self._disk.run(self._store.append_all, [(item.record.stream, item.make) for item in items])
        except Exception as error:  # noqa: BLE001  # it is raised where each is awaited
            self._unstored = str(error)
            results = [error] * len(items)
        else:
            self._unstored = ""
        for item, result in zip(items, results, strict=True):
            if isinstance(result, int):
                self._touch()
                self._heads[item.record.stream] = result
                if readers := self._readers.get(item.record.stream):
                    readers.came(result, item.line)
            if item.done.done():
                continue
            if isinstance(result, int):
                item.done.set_result(result)
            else:
                item.done.set_exception(result)
