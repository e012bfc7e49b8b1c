"""How much the spool may hold, in bytes and in time. What is too much goes oldest first over all streams, and nothing
has to be scanned for it. Runs in the disk's thread."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from overshootd.sinks.database import Connection
from overshootd.sinks.places import places, row_of, rows_of
from overshootd.sinks.progress import Progress

DROP_ROWS = 256
"""Dropped at a time at most: about 4 ms of the disk's thread."""

SLACK = 1 / 256
"""Of the room is made free beyond what is needed, so that not every record needs some."""

LOOK_ROWS = 1000
"""Rows without a time that are looked through at a time for the next that has one, where that can wait."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`max_seconds` counts from when a record came, for those that came while the clock was trusted."""

    max_bytes: int
    max_seconds: float


@dataclass(frozen=True, slots=True)
class Oldest:
    """A stream's first rows up to and with row `last`: they came at `at` (seconds since the epoch) or earlier, or none
    of the stream has a time (or none that was found yet), and then `length` tells how far its newest is away."""

    stream: int
    last: int
    at: int | None
    length: int = 0

    @property
    def order(self) -> tuple[float, int]:
        """The least goes first. What has no time came after all that has one, for the clock was lost; among those, it
        is the longest queue that gives way."""
        return (inf, -self.length) if self.at is None else (self.at, 0)

    def came_before(self, at: float) -> bool:
        return self.at is not None and self.at < at


class Ages:
    """How old the first rows of each stream are. One without a time is as old as the next that has one; each is looked
    at once for that."""

    def __init__(self) -> None:
        self._looked: dict[int, tuple[int, int | None]] = {}  # to which row, and the time that one has

    def of(self, connection: Connection, stream: int, *, rows: int = LOOK_ROWS) -> Oldest | None:
        """None: it has no rows. At most so many `rows` are looked through for a time."""
        low, high = rows_of(stream)
        query = "SELECT id, at FROM main.records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
        first = connection.execute(query, (low, high, 1)).fetchone()
        if first is None:
            return None
        row, at = first
        if at is None:
            row, at = self._looked.get(stream, first)
            if row < first[0]:
                row, at = first
            while (
                at is None and rows > 0 and (found := connection.execute(query, (row + 1, high, LOOK_ROWS)).fetchall())
            ):
                row, at = next((one for one in found if one[1] is not None), found[-1])
                rows -= len(found)
            self._looked[stream] = row, at
        if at is not None:
            return Oldest(stream, row, at)
        (newest,) = connection.execute(
            "SELECT max(id) FROM main.records WHERE id BETWEEN ? AND ?", (low, high)
        ).fetchone()
        return Oldest(stream, row, None, newest - first[0])

    def clear(self) -> None:
        """The database is another one."""
        self._looked.clear()


def used(connection: Connection) -> tuple[int, int]:
    """Bytes of the file that hold something, and bytes of it that are free."""
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
    return (pages - free) * size, free * size


def drop_oldest(
    connection: Connection, ages: Ages, *, size: float = inf, before: float = inf
) -> tuple[dict[int, int], int]:
    """Delete the oldest rows, DROP_ROWS at most: until lines of `size` bytes are gone, and only what came `before` that
    (seconds since the epoch) when it is given.

    Returns up to which seq they are gone, by stream, and how many of them some sink lacked. Within a transaction.
    """
    gone, lacked = dict[int, int](), 0
    for stream, rows in _delete_oldest(connection, ages, size, before).items():
        seqs = [row - row_of(stream, 0) for row in rows]
        connection.execute("UPDATE main.streams SET seq = max(seq, ?) WHERE id = ?", (seqs[-1], stream))
        lacked += lacking(seqs, [place.has for place in places(connection, stream).values()])
        gone[stream] = seqs[-1]
    return gone, lacked


def count_dropped(connection: Connection, lacked: int) -> None:
    """For ever: whoever looks next year is to see it."""
    if lacked:
        connection.execute("UPDATE main.store SET dropped = dropped + ?", (lacked,))


def any_before(connection: Connection, ages: Ages, before: float) -> bool:
    """Whether something came before that, in seconds since the epoch."""
    streams = connection.execute("SELECT id FROM main.streams").fetchall()
    return any((oldest := ages.of(connection, stream)) and oldest.came_before(before) for (stream,) in streams)


def lacking(seqs: Iterable[int], sinks: Iterable[Progress]) -> int:
    """How many of these some sink lacks. Pure."""
    sinks = list(sinks)
    return sum(any(not sink.contains(seq) for sink in sinks) for seq in seqs)


def _delete_oldest(connection: Connection, ages: Ages, size: float, before: float) -> dict[int, list[int]]:
    """The rows deleted, by stream, each in order."""
    rows = LOOK_ROWS if before < inf else sys.maxsize
    streams = connection.execute("SELECT id FROM main.streams").fetchall()
    oldest = {stream: found for (stream,) in streams if (found := ages.of(connection, stream, rows=rows))}
    dropped: dict[int, list[int]] = {}
    left = DROP_ROWS
    while left and size > 0 and (due := [one for one in oldest.values() if before == inf or one.came_before(before)]):
        first = min(due, key=lambda one: one.order)
        deleted = _delete(connection, first, left, size)
        left -= len(deleted)
        size -= sum(deleted.values())
        dropped.setdefault(first.stream, []).extend(deleted)
        if following := ages.of(connection, first.stream, rows=rows):
            oldest[first.stream] = following
        else:
            del oldest[first.stream]
    return dropped


def _delete(connection: Connection, oldest: Oldest, most: int, size: float) -> dict[int, int]:
    """The rows deleted, and the size of each one's line."""
    query = "SELECT id, length(line) FROM main.records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
    deleted: dict[int, int] = {}
    for row, length in connection.execute(query, (rows_of(oldest.stream)[0], oldest.last, most)).fetchall():
        deleted[row] = length
        size -= length
        if size <= 0:
            break
    connection.execute("DELETE FROM main.records WHERE id BETWEEN ? AND ?", (min(deleted), max(deleted)))
    return deleted
