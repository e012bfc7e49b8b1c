"""What can still be read in a damaged spool goes on in a new one: a broken page must not cost what is on the others.

Runs in the disk's thread.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from overshootd.sinks.database import Connection, DatabaseError
from overshootd.sinks.places import leave_out, row_of, rows_of
from overshootd.sinks.progress import progress
from overshootd.sinks.tables import SEQ_BITS

TRIES = 300
"""Queries in one stream: halving the unread range each time, that finds the whole records among as many broken ones."""

UNNAMED = range(1, 257)
"""Streams that are looked for though the table of their names may not have them any more: lines tell the name too."""

UNNAMED_TRIES = 1024
"""Queries in all of those: where an inner page is broken each of them would fail to its end, and take 17 s on a PC."""

Row = tuple[int, int | None, bytes]


def salvage(damaged: Connection, new: Connection, first: int) -> int:
    """Put into the `new` one, whose tables are empty, what can be read in the other: streams, the cursors of their
    sinks, records, counts, how many were dropped. Every stream goes on beyond seq `first`. Returns how many records.

    Raises DatabaseError when the `new` one cannot be written.
    """
    names = {id: name for id, name in _rows(damaged, "SELECT id, name FROM streams") if _is_stream(id, name)}
    found, left = 0, iter(range(UNNAMED_TRIES))
    for stream in sorted({*names, *UNNAMED}):
        for row in records(damaged, stream, range(TRIES) if stream in names else islice(left, TRIES)):
            if name := _stream_of(row[2]):
                names.setdefault(stream, name)
                new.execute("INSERT OR IGNORE INTO records (id, at, line) VALUES (?, ?, ?)", row)
                found += 1
    for values in _rows(damaged, "SELECT * FROM cursors"):
        stream, sink, seq, spans, config = (*values, "", "")[:5]  # version 1 had three
        if _is_place(seq, spans):
            new.execute("INSERT OR IGNORE INTO cursors VALUES (?, ?, ?, ?, ?)", (stream, sink, seq, spans, config))
    for stream, name in names.items():
        _go_on_beyond(new, stream, name, first)
    for values in _rows(damaged, "SELECT * FROM counts"):
        if all(isinstance(value, int | float) for value in values[2:]):
            new.execute("INSERT OR IGNORE INTO counts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    for (dropped,) in _rows(damaged, "SELECT dropped FROM store"):
        if isinstance(dropped, int):
            new.execute("UPDATE store SET dropped = ?", (dropped,))
    return found


def _go_on_beyond(new: Connection, stream: int, name: str, first: int) -> None:
    (row,) = new.execute("SELECT max(id) FROM records WHERE id BETWEEN ? AND ?", rows_of(stream)).fetchone()
    last = 0 if row is None else row - row_of(stream, 0)
    new.execute("INSERT OR IGNORE INTO streams VALUES (?, ?, ?)", (stream, name, max(first, last)))
    if last < first:
        leave_out(new, stream, last + 1, first)


def records(damaged: Connection, stream: int, tries: Iterable[int]) -> Iterator[Row]:
    """The whole records of a stream, in no order: from either end to where it is broken, and from the middle of what
    is left, again and again."""
    at = "at" if any(name == "at" for _, name, *_ in _rows(damaged, "PRAGMA table_info(records)")) else "NULL"
    query = f"SELECT id, {at}, line FROM records WHERE id BETWEEN ? AND ? ORDER BY id"
    unread = deque([rows_of(stream)])
    for _ in tries:
        if not unread:
            break
        low, high = unread.popleft()
        forth = _Reading(damaged, query, (low, high))
        yield from forth
        if forth.broken is None:
            continue
        low = low if forth.last is None else forth.last + 1
        back = _Reading(damaged, f"{query} DESC", (low, high))
        yield from back
        high = high if back.last is None else back.last - 1
        if back.broken is not None and low < high:
            middle = (low + high) // 2
            unread += [(low, middle), (middle + 1, high)]


class _Reading:
    """The rows of one query, to its end or to where it is `broken`; `last` is the id of the last one."""

    def __init__(self, connection: Connection, query: str, values: tuple[int, int]) -> None:
        self._connection = connection
        self._query = query
        self._values = values
        self.last: int | None = None
        self.broken: DatabaseError | None = None

    def __iter__(self) -> Iterator[Row]:
        rows = iter(())
        try:
            rows = self._connection.execute(self._query, self._values)
            for row in rows:
                self.last = row[0]
                yield row
        except DatabaseError as error:
            self.broken = error


def _rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    """Those before the first that cannot be read."""
    rows: list[tuple[Any, ...]] = []
    try:
        for row in connection.execute(query):
            rows.append(row)
    except DatabaseError:
        return rows
    return rows


def _is_stream(id: object, name: object) -> bool:
    return isinstance(id, int) and 0 < id < 1 << 63 - SEQ_BITS - 1 and isinstance(name, str)


def _is_place(seq: object, spans: object) -> bool:
    try:
        return isinstance(seq, int) and isinstance(spans, str) and progress(seq, spans).floor == seq
    except (ValueError, TypeError):
        return False


def _stream_of(line: object) -> str | None:
    """The stream that a line tells; None: it is not a whole record, for a broken page may hold anything."""
    try:
        record = json.loads(line) if isinstance(line, bytes) else None
    except (ValueError, RecursionError):
        return None
    name = record.get("stream") if isinstance(record, dict) else None
    return name if isinstance(name, str) else None
