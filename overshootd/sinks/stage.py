"""What is new waits in memory that outlives the process, and reaches the disk only if a sink still lacks it then.

A card wears with every write, and ext4 adds 12 kB within five seconds of any (docs/bench.md, "Sinks"). So the newest
records, every sink's place and the counts are in a second database, on a tmpfs, that is attached to the spool's.
`Connection.hot` names the schema that has the small tables as they are now; `records` without a schema are those of
both. A power cut takes what is staged, as it takes what the kernel has not written yet. Runs in the disk's thread.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from overshootd.sinks.database import Connection, DatabaseError, may_pass, transaction
from overshootd.sinks.paths import FILE_MODE
from overshootd.sinks.places import Stream, row_of, rows_of
from overshootd.sinks.progress import Progress, progress
from overshootd.sinks.tables import TABLES, VERSION

STAGE = "stage"

SMALL = {"cursors": "stream, sink", "counts": "day, stream"}
"""The tables of which a stage has what is current, and their keys. Of `streams` it has all rows too, but their numbers
are the greater of both: that where records were deleted last."""

BOTH = """
CREATE TEMP VIEW records AS
  SELECT id, at, line FROM main.records UNION ALL SELECT id, at, line FROM stage.records"""

EVERYTHING = (0, (1 << 63) - 1)

Rows = tuple[int, int]
"""A range of rows, both ends included."""


def stage_path(directory: Path, spool: Path) -> Path:
    """Where a spool has its stage: spools in several places may share a directory."""
    place = hashlib.sha256(os.fsencode(spool.resolve())).hexdigest()[:8]
    return directory / f"{spool.name}-{place}"


def begin(connection: Connection, path: Path, boot: str) -> None:
    """Stage what comes from now on, on a new stage at `path`, which the spool names and which tells the spool by its
    seed. Raises DatabaseError, OSError, UnicodeError."""
    if any(name == STAGE for _, name, _ in connection.execute("PRAGMA database_list").fetchall()):
        connection.execute(f"DETACH {STAGE}")  # it could not be when it was left
    remove(path)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, FILE_MODE))
    connection.execute(f"ATTACH ? AS {STAGE}", (str(path),))
    try:
        # A log would take as much memory as the spool's takes of the disk; there is nothing to sync on a tmpfs.
        for setting in ("locking_mode = EXCLUSIVE", "synchronous = OFF", "journal_mode = TRUNCATE"):
            connection.execute(f"PRAGMA {STAGE}.{setting}").fetchall()
        tables = re.sub("(CREATE TABLE) ", rf"\1 {STAGE}.", TABLES)
        copies = ";".join(f"INSERT INTO {STAGE}.{table} SELECT * FROM main.{table}" for table in ("streams", *SMALL))
        connection.executescript(f"BEGIN; {tables} {copies}; PRAGMA {STAGE}.user_version = {VERSION}; COMMIT")
        with transaction(connection):  # not before all is there: a stage that tells no boot is not complete
            connection.execute(f"INSERT INTO {STAGE}.store (boot, seed) SELECT ?, seed FROM main.store", (boot,))
        connection.execute(BOTH)
        connection.execute("UPDATE main.store SET boot = ?", (f"{boot}@{path}",))
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("DROP VIEW IF EXISTS temp.records")
        connection.execute(f"DETACH {STAGE}")
        remove(path)
        raise
    connection.hot = STAGE


def leave(connection: Connection, boot: str) -> None:
    """Put everything into the spool, which names the stage no more, and stage nothing more. Raises DatabaseError."""
    with transaction(connection):
        _insert(connection, [EVERYTHING])
        _mirror(connection)
        connection.execute("UPDATE main.store SET boot = ?", (boot,))
        connection.execute("DROP VIEW temp.records")
    connection.hot = "main"  # whatever fails from here on: no start would look for what is staged now
    with suppress(DatabaseError):
        connection.execute(f"DETACH {STAGE}")


def remove(path: Path) -> None:
    """Raises OSError."""
    for file in (path, path.with_name(f"{path.name}-journal")):
        file.unlink(missing_ok=True)


def is_whole(connection: Connection) -> bool:
    """Whether all of it can be read: of an error it is else not known whether it is the spool's."""
    try:
        found = connection.execute(f"PRAGMA {STAGE}.integrity_check").fetchall()
        for table in ("streams", *SMALL):  # text that is none
            connection.execute(f"SELECT * FROM {STAGE}.{table}").fetchall()
    except DatabaseError as error:
        return may_pass(error)
    return found == [("ok",)]


def size(connection: Connection) -> int:
    """Bytes of the records on the stage."""
    return int(connection.execute(f"SELECT total(length(line)) FROM {STAGE}.records").fetchone()[0])


def drop_delivered(connection: Connection, stream: Stream, sinks: Collection[Progress]) -> None:
    """Leave on the stage what some sink lacks, without sinks nothing, and there the stream's number. Raises
    DatabaseError."""
    connection.execute(
        f"UPDATE {STAGE}.streams SET seq = ? WHERE id = ? AND seq < ?", (stream.head, stream.id, stream.head)
    )
    floor = min((has.floor for has in sinks), default=stream.head)
    low, high = rows_of(stream.id)
    connection.execute(f"DELETE FROM {STAGE}.records WHERE id BETWEEN ? AND ?", (low, stream.row(floor)))
    if any(has.spans for has in sinks):
        left = connection.execute(f"SELECT id FROM {STAGE}.records WHERE id BETWEEN ? AND ?", (low, high)).fetchall()
        done = [(row,) for (row,) in left if all(has.contains(row - low) for has in sinks)]
        connection.executemany(f"DELETE FROM {STAGE}.records WHERE id = ?", done)


def holds(connection: Connection, rows: Sequence[Rows]) -> bool:
    """Whether any of these is on the stage."""
    query = f"SELECT 1 FROM {STAGE}.records WHERE id BETWEEN ? AND ? LIMIT 1"
    return any(connection.execute(query, ends).fetchone() for ends in rows)


def bring(connection: Connection, rows: Sequence[Rows]) -> None:
    """Copy these to the spool. Raises DatabaseError."""
    with transaction(connection):
        _insert(connection, rows)
        _mirror(connection)


def drop(connection: Connection, rows: Sequence[Rows]) -> None:
    """They are in the spool now. Raises DatabaseError."""
    connection.executemany(f"DELETE FROM {STAGE}.records WHERE id BETWEEN ? AND ?", rows)


def is_behind(connection: Connection) -> bool:
    """Whether the spool has records that its own cursors, unlike the stage's, say are not delivered: after a power cut
    they would be once more."""
    query = (
        f"SELECT stream, had.seq, had.spans, has.seq, has.spans FROM main.cursors AS had"
        f" JOIN {STAGE}.cursors AS has USING (stream, sink) WHERE had.seq < has.seq OR had.spans <> has.spans"
    )
    some = "SELECT 1 FROM main.records WHERE id BETWEEN ? AND ? LIMIT 1"
    for stream, floor, spans, *now in connection.execute(query).fetchall():
        for gap in progress(*now).beyond(progress(floor, spans)):
            if connection.execute(some, (row_of(stream, gap[0]), row_of(stream, gap[1]))).fetchone():
                return True
    return False


def mirror(connection: Connection) -> None:
    """Write to the spool what the small tables have that it has not, if that is anything. Raises DatabaseError."""
    with transaction(connection):
        _mirror(connection)


def _mirror(connection: Connection) -> None:
    for table, key in SMALL.items():
        connection.execute(f"DELETE FROM main.{table} WHERE ({key}) NOT IN (SELECT {key} FROM {STAGE}.{table})")
        changed = f"SELECT * FROM {STAGE}.{table} EXCEPT SELECT * FROM main.{table}"
        connection.execute(f"INSERT OR REPLACE INTO main.{table} {changed}")
    connection.execute(
        f"UPDATE main.streams SET seq = has.seq FROM {STAGE}.streams AS has"
        " WHERE has.id = main.streams.id AND has.seq > main.streams.seq"
    )


def _insert(connection: Connection, rows: Sequence[Rows]) -> None:
    query = (
        f"INSERT OR IGNORE INTO main.records (id, at, line)"
        f" SELECT id, at, line FROM {STAGE}.records WHERE id BETWEEN ? AND ?"
    )
    connection.executemany(query, rows)
