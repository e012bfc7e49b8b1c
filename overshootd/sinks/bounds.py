"""How much the spool may hold, in bytes and in time. What is too much goes oldest first over all streams, and nothing
has to be scanned for it. Runs in the disk's thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from overshootd.sinks.database import Connection
from overshootd.sinks.places import places, row_of, rows_of
from overshootd.sinks.progress import Progress
from overshootd.sinks.tables import SEQ_BITS

DROP_ROWS = 256
"""Dropped at a time: about 4 ms of the disk's thread."""

LOOK_ROWS = 1000
"""Rows without a time that are looked through at a time for the next that has one."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`max_seconds` counts from when a record came, for those that came while the clock was trusted."""

    max_bytes: int
    max_seconds: float


@dataclass(frozen=True, slots=True)
class Oldest:
    """A stream's first rows up to and with row `last`: they came at `at` (seconds since the epoch) or earlier, or it is
    not known when, and then `length` tells how far the stream's newest is away."""

    stream: int
    last: int
    at: int | None
    length: int = 0

    @property
    def order(self) -> tuple[int, int]:
        """The least goes first: what has no time for long; of those, what is of the longest queue."""
        return (-1, -self.length) if self.at is None else (self.at, 0)

    def came_before(self, at: float) -> bool:
        return self.at is not None and self.at < at


class Ages:
    """How old the first rows of each stream are. One without a time is as old as the next that has one; each is looked
    at once for that, LOOK_ROWS at a time."""

    def __init__(self) -> None:
        self._looked: dict[int, tuple[int, int | None]] = {}  # to which row, and the time that one has

    def of(self, connection: Connection, stream: int) -> Oldest | None:
        """None: it has no rows."""
        low, high = rows_of(stream)
        query = "SELECT id, at FROM records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
        first = connection.execute(query, (low, high, 1)).fetchone()
        if first is None:
            return None
        row, at = first
        if at is None:
            row, at = self._looked.get(stream, first)
            if row < first[0]:
                row, at = first
            if at is None:
                row, at = _look(connection.execute(query, (row, high, LOOK_ROWS)).fetchall())
            self._looked[stream] = row, at
        if at is not None:
            return Oldest(stream, row, at)
        (newest,) = connection.execute("SELECT max(id) FROM records WHERE id BETWEEN ? AND ?", (low, high)).fetchone()
        return Oldest(stream, row, None, newest - first[0])

    def clear(self) -> None:
        """The database is another one."""
        self._looked.clear()


def used(connection: Connection) -> tuple[int, int]:
    """Bytes of the file that hold something, and bytes of it that are free."""
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
    return (pages - free) * size, free * size


def drop_oldest(connection: Connection, ages: Ages, before: float | None = None) -> tuple[int, int]:
    """Delete the oldest rows, DROP_ROWS at most; with `before` (seconds since the epoch) only what came before that.

    Returns how many, and how many of them some sink lacked. Within a transaction.
    """
    dropped = _delete_oldest(connection, ages, before)
    lacked = 0
    for stream, rows in dropped.items():
        seqs = [row - row_of(stream, 0) for row in rows]
        connection.execute("UPDATE streams SET seq = max(seq, ?) WHERE id = ?", (seqs[-1], stream))
        lacked += lacking(seqs, [place.has for place in places(connection, stream).values()])
    return sum(map(len, dropped.values())), lacked


def any_before(connection: Connection, ages: Ages, before: float) -> bool:
    """Whether something came before that, in seconds since the epoch."""
    streams = connection.execute("SELECT id FROM streams").fetchall()
    return any((oldest := ages.of(connection, stream)) and oldest.came_before(before) for (stream,) in streams)


def lacking(seqs: Iterable[int], sinks: Iterable[Progress]) -> int:
    """How many of these some sink lacks. Pure."""
    sinks = list(sinks)
    return sum(any(not _has(sink, seq) for sink in sinks) for seq in seqs)


def _has(progress: Progress, seq: int) -> bool:
    return seq <= progress.floor or any(first <= seq <= last for first, last in progress.spans)


def _look(rows: list[tuple[int, int | None]]) -> tuple[int, int | None]:
    """The first that has a time, or else the last."""
    return next((found for found in rows if found[1] is not None), rows[-1])


def _delete_oldest(connection: Connection, ages: Ages, before: float | None) -> dict[int, list[int]]:
    """The rows deleted, by stream, each in order."""
    streams = connection.execute("SELECT id FROM streams").fetchall()
    oldest = {stream: found for (stream,) in streams if (found := ages.of(connection, stream))}
    dropped: dict[int, list[int]] = {}
    left = DROP_ROWS
    while left and (due := [one for one in oldest.values() if before is None or one.came_before(before)]):
        first = min(due, key=lambda one: one.order)
        rows = _delete(connection, first, left)
        left -= len(rows)
        dropped.setdefault(first.stream, []).extend(rows)
        if following := ages.of(connection, first.stream):
            oldest[first.stream] = following
        else:
            del oldest[first.stream]
    return dropped


def _delete(connection: Connection, oldest: Oldest, most: int) -> list[int]:
    query = "SELECT id FROM records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
    rows = [row for (row,) in connection.execute(query, (oldest.stream << SEQ_BITS, oldest.last, most)).fetchall()]
    connection.execute("DELETE FROM records WHERE id BETWEEN ? AND ?", (rows[0], rows[-1]))
    return rows
