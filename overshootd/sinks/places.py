"""Where each sink is in each stream, as the spool's database keeps it. Runs in the disk's thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from overshootd.sinks.database import Connection
from overshootd.sinks.progress import Progress, progress
from overshootd.sinks.tables import SEQ_BITS

MANY = 64
"""Rows to a statement."""

Row = tuple[int, int | None, bytes]
"""Of `records`: its id, when it came (seconds since the epoch; None: the clock was not trusted), and its line."""


@dataclass(slots=True)
class Stream:
    """A stream in the database: its number there, and the highest seq given out."""

    id: int
    head: int

    def row(self, seq: int) -> int:
        return row_of(self.id, seq)


@dataclass(frozen=True, slots=True)
class Place:
    """What a sink has of a stream, and its configuration as JSON; empty where a spool of version 1 kept none."""

    has: Progress
    config: str


def row_of(stream: int, seq: int) -> int:
    """The id of a record's row."""
    return stream << SEQ_BITS | seq


def rows_of(stream: int) -> tuple[int, int]:
    """The least and the greatest id that a stream's rows can have."""
    return row_of(stream, 0), row_of(stream + 1, 0) - 1


def places(connection: Connection, stream: int) -> dict[str, Place]:
    """Of all the stream's sinks, by their names."""
    query = f"SELECT sink, seq, spans, config FROM {connection.hot}.cursors WHERE stream = ?"
    rows = connection.execute(query, (stream,)).fetchall()
    return {sink: Place(_progress(seq, spans), config) for sink, seq, spans, config in rows}


def put_places(connection: Connection, stream: int, sinks: Mapping[str, Place]) -> None:
    """These and no others."""
    connection.execute(f"DELETE FROM {connection.hot}.cursors WHERE stream = ?", (stream,))
    for sink, place in sinks.items():
        put_place(connection, stream, sink, place)


def put_place(connection: Connection, stream: int, sink: str, place: Place) -> None:
    update = (
        f"INSERT INTO {connection.hot}.cursors (stream, sink, seq, spans, config) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET seq = excluded.seq, spans = excluded.spans, config = excluded.config"
    )
    connection.execute(update, (stream, sink, place.has.floor, place.has.text(), place.config))


def leave_out(connection: Connection, stream: int, first: int, last: int) -> None:
    """No record has these numbers, both included: they are nothing that any sink lacks."""
    for sink, place in places(connection, stream).items():
        put_place(connection, stream, sink, replace(place, has=place.has.having(first, last)))


def put_records(connection: Connection, rows: Sequence[Row]) -> None:
    """Many in one statement: each step of one gives up the interpreter's lock, and has to wait for it again."""
    for some in (rows[at : at + MANY] for at in range(0, len(rows), MANY)):
        values = ", ".join(["(?, ?, ?)"] * len(some))
        insert = f"INSERT INTO {connection.hot}.records (id, at, line) VALUES {values}"
        connection.execute(insert, [*chain.from_iterable(some)])


def owed(connection: Connection, stream: Stream, has: Progress) -> bool:
    """Whether there is a record that a sink with this progress was not given yet."""
    query = "SELECT 1 FROM records WHERE id BETWEEN ? AND ? LIMIT 1"
    while gap := has.gap(stream.head):
        if connection.execute(query, tuple(map(stream.row, gap))).fetchone():
            return True
        has = has.having(*gap)
    return False


def oldest_owed(connection: Connection) -> int | None:
    """When the oldest record came that some sink lacks, in seconds since the epoch; None: there is none, or the clock
    was not trusted then."""
    floors = connection.execute(f"SELECT stream, min(seq) FROM {connection.hot}.cursors GROUP BY stream").fetchall()
    query = "SELECT at FROM records WHERE id > ? AND id <= ? ORDER BY id LIMIT 1"
    bounds = [(row_of(stream, floor), rows_of(stream)[1]) for stream, floor in floors]
    found = [connection.execute(query, ends).fetchone() for ends in bounds]
    return min((at for (at,) in filter(None, found) if at is not None), default=None)


def _progress(floor: int, spans: str) -> Progress:
    """Spans that a broken disk has garbled count as undelivered: they go out twice."""
    try:
        return progress(floor, spans)
    except (ValueError, TypeError):
        return Progress(floor)
