"""What streams took and gave, added up by day and stream in the spool's database, over restarts.

It is written with the spool's own syncs, or after FLUSH_SECONDS, and not at all when nothing was counted. What was
added since then is lost with the process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import astuple
from datetime import date, datetime, timedelta, tzinfo
from typing import NoReturn, Protocol, TypeVar

from overshootd.condition import Condition
from overshootd.contracts import Count, Log
from overshootd.errors import SpoolError
from overshootd.sinks.database import Connection

T = TypeVar("T")

FLUSH_SECONDS = 60.0
"""A minute of counts is what a crash may cost where the spool has nothing to sync."""

KEPT_DAYS = 400
"""A year can be compared with the one before."""

DOUBTED = "?"
"""Before a day that a clock told which could not be trusted. Once it can, the last of these is today, and so are those
that cannot be; the others are believed. Where it never can, a day ends all the same."""

Key = tuple[str, str]
"""A day (ISO 8601) and a stream."""

COLUMNS = "seconds, cents, bytes_up, bytes_down, received, due"
SUMS = ", ".join(f"{column} = {column} + excluded.{column}" for column in COLUMNS.split(", "))


class Within(Protocol):
    """Spool.within: what the function returns, done in one transaction. Raises SpoolError."""

    def __call__(self, function: Callable[[Connection], T], /) -> Awaitable[T]: ...


class DayTally:
    """Satisfies contracts.Tally. `within` runs a function on the spool's database; days are those of `zone` (None: the
    system's); `synced` says whether `wall` (seconds since the epoch) can be trusted."""

    def __init__(
        self,
        within: Within,
        zone: tzinfo | None,
        synced: Callable[[], bool],
        log: Log,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._within, self._zone, self._synced, self._wall = within, zone, synced, wall
        self._stored: dict[Key, Count] = {}  # what the database had of the last day that was written or read
        self._written: dict[Key, Count] = {}  # on its way there
        self._added: dict[Key, Count] = {}  # since then
        self._writing: asyncio.Task[None] | None = None
        self._flushing = asyncio.Lock()
        self._dirty = asyncio.Event()
        self._works = Condition(log, "counting by day", time.monotonic)

    @property
    def day(self) -> str:
        """Today; behind DOUBTED what an untrusted clock takes for it."""
        day = datetime.fromtimestamp(self._wall(), self._zone).date().isoformat()
        return day if self._synced() else DOUBTED + day

    def add(self, stream: str, count: Count) -> None:
        _add(self._added, (self.day, stream), count)
        self._dirty.set()

    def today(self) -> dict[str, Count]:
        """What each stream has today. Before `load` it lacks what an earlier process counted."""
        day, sums = self.day, dict[Key, Count]()
        for part in (self._stored, self._written, self._added):
            for key, count in part.items():
                _add(sums, key, count)
        return {stream: count for (at, stream), count in sums.items() if at == day}

    async def load(self) -> None:
        """Find out what today has already. That it cannot be read is told; then the next write finds out."""
        day = self.day
        try:
            self._stored = await self._within(lambda connection: _find(connection, day))
        except SpoolError as error:
            self._works.bad(str(error))

    async def days(self) -> dict[Key, Count]:
        """All days that are kept, oldest first. Raises SpoolError."""
        await self.flush()
        return await self._within(_find_all)

    async def run(self) -> NoReturn:
        """Write what was added, where the spool's syncs did not."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what was added, if anything was: for the spool before it syncs, and for the end. A failure is told, and
        mended by the next."""
        async with self._flushing:
            if self._writing is None and self._added:
                self._writing = asyncio.create_task(self._write(), name="write counts")
            if self._writing is not None:
                # Cancelled, it leaves the writing to whoever comes next: written twice, it is counted twice.
                await asyncio.wait([self._writing])
                writing, self._writing = self._writing, None
                writing.result()

    async def _write(self) -> None:
        self._dirty.clear()
        day, self._written, self._added = self.day, self._added, {}
        try:
            self._stored = await self._within(lambda connection: _put(connection, self._written, day))
        except SpoolError as error:
            self._works.bad(str(error))
            for key, count in self._written.items():
                _add(self._added, key, count)
            self._dirty.set()
        else:
            self._works.good()
        self._written = {}


def _add(to: dict[Key, Count], key: Key, count: Count) -> None:
    to[key] = to.get(key, Count()) + count


def _put(connection: Connection, counts: Mapping[Key, Count], day: str) -> dict[Key, Count]:
    """Add them; what there is of `day` then."""
    _insert(connection, counts)
    doubt, today = day[:-10], day[-10:]
    oldest = (date.fromisoformat(today) - timedelta(days=KEPT_DAYS)).isoformat()
    if not doubt:
        _believe(connection, oldest, today)
    connection.execute(f"DELETE FROM {connection.hot}.counts WHERE day >= ? AND day < ?", (doubt, doubt + oldest))
    return _find(connection, day)


def _believe(connection: Connection, oldest: str, today: str) -> None:
    """The clock is right now, and says what the days in doubt were."""
    doubted = _find_all(connection, DOUBTED)
    last = max((day for day, _ in doubted), default=DOUBTED)
    for (day, stream), count in doubted.items():
        told = day.removeprefix(DOUBTED)
        _insert(connection, {(told if day != last and oldest <= told < today else today, stream): count})
    if doubted:
        connection.execute(f"DELETE FROM {connection.hot}.counts WHERE day >= ?", (DOUBTED,))


def _insert(connection: Connection, counts: Mapping[Key, Count]) -> None:
    into = f"INSERT INTO {connection.hot}.counts (day, stream, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    rows = [(*key, *astuple(count)) for key, count in counts.items()]
    connection.executemany(f"{into} ON CONFLICT DO UPDATE SET {SUMS}", rows)


def _find(connection: Connection, day: str) -> dict[Key, Count]:
    query = f"SELECT stream, {COLUMNS} FROM {connection.hot}.counts WHERE day = ?"
    return {(day, stream): Count(*counts) for stream, *counts in connection.execute(query, (day,)).fetchall()}


def _find_all(connection: Connection, first: str = "") -> dict[Key, Count]:
    """From the `first` day on; those in doubt come last."""
    query = f"SELECT day, stream, {COLUMNS} FROM {connection.hot}.counts WHERE day >= ? ORDER BY day, stream"
    return {(day, stream): Count(*counts) for day, stream, *counts in connection.execute(query, (first,)).fetchall()}
