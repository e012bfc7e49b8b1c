"""The spool's tables: records, the cursor of each sink, and numbers that never repeat. Runs in the disk's thread.

What is written seldom, and why that is enough:

- `seq` costs an append nothing: the highest number is the last record's, and `streams.seq` is brought up to it only
  when records are deleted. A power cut may take the last records although a sink has seen their numbers: therefore the
  first start in another boot, when there was no orderly end, rounds every stream's number up to the next million.
- Cursors move once in `sync_seconds`, and delivered records are deleted by the hundred.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from overshootd.contracts import Log
from overshootd.errors import ConfigError, SpoolError
from overshootd.sinks.database import SEQ_BITS, is_broken, open_database, set_aside, wal
from overshootd.sinks.paths import cannot_write, is_hopeless

JUMP = 1_000_000
"""More than any stream can store between two syncs of the disk."""

PURGE_ROWS = 256
"""Delivered records that are kept until it is worth a write to delete them; 0.2 MB a stream."""

PURGE_LIMIT = 1024
"""Records deleted in one go, so that nobody waits long."""


@dataclass(slots=True)
class _Stream:
    id: int
    head: int  # the highest seq given out

    def row(self, seq: int) -> int:
        return self.id << SEQ_BITS | seq


class Store:
    """Blocking. A broken file is replaced by a new one, then and there; the next call goes on with that.

    `boot` names the running kernel: what was written since it started is there, even if this process was killed.
    """

    def __init__(self, path: Path, log: Log, boot: str) -> None:
        self._path = path
        self._log = log
        self._boot = boot
        self._database: sqlite3.Connection | None = None
        self._begun = False
        self._streams: dict[str, _Stream] = {}
        self._cursors: dict[str, dict[str, int]] = {}
        self._purged: dict[str, int] = {}

    def open(self) -> None:
        """Raises ConfigError when a person must act, SpoolError when it may pass."""
        try:
            with self._open():
                pass
        except SpoolError as error:
            if isinstance(error.__cause__, OSError) and is_hopeless(error.__cause__):
                raise ConfigError(str(error)) from error
            raise

    def attach(self, name: str, sinks: Iterable[str]) -> tuple[int, dict[str, int]]:
        """These are the stream's sinks now. Returns its highest seq, and for each sink the last one that it has.

        A sink that is new begins where the slowest of the former ones is; those that are no longer named are forgotten.
        """
        with self._open() as database:
            stream = self._stream(database, name)
            rows = database.execute("SELECT sink, seq FROM cursors WHERE stream = ?", (stream.id,)).fetchall()
            before: dict[str, int] = dict(rows)
            start = min(before.values(), default=0)
            cursors = {sink: before.get(sink, start) for sink in sinks}
            if cursors != before:
                with _transaction(database):
                    database.execute("DELETE FROM cursors WHERE stream = ?", (stream.id,))
                    values = [(stream.id, sink, seq) for sink, seq in cursors.items()]
                    database.executemany("INSERT INTO cursors VALUES (?, ?, ?)", values)
            self._cursors[name] = cursors
            return stream.head, dict(cursors)

    def append(self, name: str, make: Callable[[int], bytes]) -> int:
        """Store what `make` makes of the next seq."""
        with self._open() as database:
            stream = self._stream(database, name)
            seq = stream.head + 1
            database.execute("INSERT INTO records VALUES (?, ?)", (stream.row(seq), make(seq)))
            stream.head = seq
            return seq

    def read(self, name: str, after: int, rows: int, size: int) -> list[tuple[int, bytes]]:
        """The first records after seq `after`: at most `rows`, and at most `size` bytes unless it is a single one."""
        found: list[tuple[int, bytes]] = []
        with self._open() as database:
            stream = self._stream(database, name)
            query = "SELECT id, line FROM records WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
            cursor = database.execute(query, (stream.row(after), stream.row(stream.head), rows))
            for row, line in cursor:
                size -= len(line)
                if size < 0 and found:
                    break
                found.append((row - stream.row(0), line))
            cursor.close()  # an open read would keep the write-ahead log from starting over
        return found

    def ack(self, name: str, sink: str, seq: int) -> None:
        """The sink has all up to `seq`."""
        with self._open() as database:
            stream = self._stream(database, name)
            update = "INSERT INTO cursors VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq"
            database.execute(update, (stream.id, sink, seq))
            self._cursors[name][sink] = seq

    def purge(self, name: str) -> bool:
        """Delete some of what all sinks have, if that is worth a write. True when there is more."""
        with self._open() as database:
            stream = self._stream(database, name)
            bound = min(self._cursors[name].values(), default=stream.head)
            if bound - self._purged.get(name, 0) < PURGE_ROWS:
                return False
            delete = (
                "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?)"
            )
            with _transaction(database):
                database.execute("UPDATE streams SET seq = max(seq, ?) WHERE id = ?", (bound, stream.id))
                deleted = database.execute(delete, (stream.row(0), stream.row(bound), PURGE_LIMIT)).rowcount
            if deleted == PURGE_LIMIT:
                return True
            self._purged[name] = bound
            return False

    def sync(self) -> None:
        """Bring to the disk what was committed."""
        with self._open():
            self._sync()

    def close(self) -> None:
        """End in order: what is there is brought to the disk, and the next start knows that nothing is missing."""
        if self._database is None:
            return
        with self._open() as database:
            database.execute("UPDATE store SET boot = ''")
            self._database = None
            database.close()

    def _stream(self, database: sqlite3.Connection, name: str) -> _Stream:
        if name not in self._streams:
            known = database.execute("SELECT id, seq FROM streams WHERE name = ?", (name,)).fetchone()
            if known is None:
                insert = "INSERT INTO streams SELECT NULL, ?, seed FROM store RETURNING id, seq"
                (known,) = database.execute(insert, (name,)).fetchall()
                self._sync()  # or a power cut takes the stream's number, and it begins again with the same ones
            stream = _Stream(*known)
            query = "SELECT max(id) FROM records WHERE id BETWEEN ? AND ?"
            (last,) = database.execute(query, (stream.row(0), stream.row(2**SEQ_BITS - 1))).fetchone()
            stream.head = max(stream.head, (last or 0) - stream.row(0))
            self._streams[name] = stream
        return self._streams[name]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The database. SQLite's errors and the system's become SpoolError."""
        try:
            if self._database is None:
                self._database, self._begun = open_database(self._path, self._log.warning), False
            if not self._begun:
                self._begin(self._database)
                self._begun = True
            yield self._database
        except sqlite3.ProgrammingError:
            raise  # ours
        except sqlite3.Error as error:
            self._streams.clear()  # a commit that failed may yet be there: ask the file again
            if self._database is not None and is_broken(error):
                self._replace(error)
            raise SpoolError(f"{self._path}: {_explain(error)}") from error
        except OSError as error:
            raise SpoolError(cannot_write(self._path, error, "state_dir")) from error

    def _begin(self, database: sqlite3.Connection) -> None:
        (boot,) = database.execute("SELECT boot FROM store").fetchone()
        if boot == self._boot:
            return
        with _transaction(database):
            if boot:
                for (name,) in database.execute("SELECT name FROM streams").fetchall():
                    stream = self._stream(database, name)
                    stream.head = (stream.head // JUMP + 1) * JUMP
                    database.execute("UPDATE streams SET seq = ? WHERE id = ?", (stream.head, stream.id))
            database.execute("UPDATE store SET boot = ?", (self._boot,))
        self._sync()

    def _replace(self, error: sqlite3.Error) -> None:
        assert self._database is not None
        self._database.close()
        self._database = None
        self._purged.clear()
        self._log.error(f"{self._path}: {error}: set aside as {set_aside(self._path)}, a new spool is begun")

    def _sync(self) -> None:
        # SQLite locks the database but never its write-ahead log; closing a second descriptor of that drops no lock.
        descriptor = os.open(wal(self._path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # SQLite itself rolls back when the disk is full
            database.execute("ROLLBACK")
        raise


def _explain(error: sqlite3.Error) -> str:
    match error.sqlite_errorcode & 0xFF:
        case sqlite3.SQLITE_FULL:
            return "no space left on the disk: make room there"
        case sqlite3.SQLITE_BUSY:
            return "in use by another process: stop the other overshootd, or give this one a state_dir of its own"
        case sqlite3.SQLITE_READONLY:
            return "the filesystem has become read-only: look at the disk and the kernel's log"
        case sqlite3.SQLITE_IOERR:
            return f"{error} ({error.sqlite_errorname}): look at the disk and the kernel's log"
        case _:
            return str(error)
