"""What a process that was killed has left on a stage (stage.py). Runs in the disk's thread."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overshootd.sinks.database import Connection, connect, transaction
from overshootd.sinks.places import leave_out, row_of, rows_of
from overshootd.sinks.tables import SEQ_BITS, VERSION

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows as the tables have them (tables.py), and the seed of the spool that they are of."""

    seed: int
    streams: list[Row]
    cursors: list[Row]
    counts: list[Row]
    records: list[Row]


class Unusable(Exception):
    """It is damaged, or of another version."""


def read(path: Path, boot: str) -> Staged | None:
    """None: there is nothing from this boot. Raises DatabaseError, OSError, Unusable."""
    if not path.exists():
        return None
    with closing(connect(path)) as stage:
        (version,) = stage.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):  # 0: it was never complete. Whoever replaces overshootd ends it before
            raise Unusable(f"made by another overshootd (version {version}, this one knows {VERSION})")
        store = stage.execute("SELECT boot, seed FROM store").fetchone() if version else None
        if store is None or store[0] != boot:
            return None
        if not isinstance(store[1], int) or stage.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            raise Unusable("it is damaged")
        found = Staged(
            store[1],
            stage.execute("SELECT id, name, seq FROM streams").fetchall(),
            stage.execute("SELECT stream, sink, seq, spans, config FROM cursors").fetchall(),
            stage.execute("SELECT * FROM counts").fetchall(),
            stage.execute("SELECT id, at, line FROM records ORDER BY id").fetchall(),
        )
    if not _makes_sense(found):
        raise Unusable("it is damaged")
    return found


def _makes_sense(found: Staged) -> bool:
    """Whether everything has the type that was written: of damage within a row a table's structure tells nothing."""
    kinds: dict[str, tuple[Any, ...]] = {
        "streams": (int, str, int),
        "cursors": (int, str, int, str, str),
        "counts": (str, str, *[int | float] * 6),
        "records": (int, int | None, bytes),
    }
    rows = ((row, kind) for table, kind in kinds.items() for row in getattr(found, table))
    return all(all(map(isinstance, row, kind)) for row, kind in rows)


def take(connection: Connection, staged: Staged) -> None:
    """Put it into the spool; again, if it was there already. Raises DatabaseError.

    By the names of streams: the spool may be another one by now, where the former was damaged. Of the small tables the
    stage has what is current.
    """
    with transaction(connection):
        for stream, name, seq in staged.streams:
            _take_stream(connection, staged, stream, name, seq)
        connection.execute("DELETE FROM main.counts")
        connection.executemany("INSERT INTO main.counts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", staged.counts)


def _take_stream(connection: Connection, staged: Staged, stream: int, name: str, seq: int) -> None:
    connection.execute("INSERT OR IGNORE INTO main.streams SELECT NULL, ?, seed FROM main.store", (name,))
    here, head = connection.execute("SELECT id, seq FROM main.streams WHERE name = ?", (name,)).fetchone()
    connection.execute("UPDATE main.streams SET seq = max(seq, ?) WHERE id = ?", (seq, here))
    connection.execute("DELETE FROM main.cursors WHERE stream = ?", (here,))
    cursors = [(here, *rest) for of, *rest in staged.cursors if of == stream]
    insert = "INSERT INTO main.cursors (stream, sink, seq, spans, config) VALUES (?, ?, ?, ?, ?)"
    connection.executemany(insert, cursors)
    shift = row_of(here, 0) - row_of(stream, 0)
    records = [(row + shift, at, line) for row, at, line in staged.records if row >> SEQ_BITS == stream]
    connection.executemany("INSERT OR IGNORE INTO main.records (id, at, line) VALUES (?, ?, ?)", records)
    (last,) = connection.execute("SELECT max(id) FROM main.records WHERE id BETWEEN ? AND ?", rows_of(here)).fetchone()
    last = max(seq, 0 if last is None else last - row_of(here, 0))
    if last < head:  # a new spool goes on far beyond
        leave_out(connection, here, last + 1, head)
