"""The spool's tables: records, the cursor of each sink, and numbers that never repeat. Runs in the disk's thread.

What is written seldom, and why that is enough:

- `seq` costs an append nothing: the highest number is the last record's, and `streams.seq` is brought up to it only
  when records are deleted. A power cut may take the last records although a sink has seen their numbers: therefore the
  first start in another boot, when there was no orderly end, rounds every stream's number up to the next million.
- Cursors move once in `sync_seconds`, and delivered records are deleted by the hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from overshootd.contracts import Log
from overshootd.errors import SpoolError
from overshootd.sinks.database import SEQ_BITS, Connection, Database, transaction

JUMP = 1_000_000
"""More than any stream can store between two syncs of the disk."""

PURGE_ROWS = 256
"""Delivered records are deleted so many at a time: fewer are not worth a write, more would keep others waiting."""


@dataclass(slots=True)
class _Stream:
    id: int
    head: int  # the highest seq given out

    def row(self, seq: int) -> int:
        return self.id << SEQ_BITS | seq


class Store:
    """All methods raise SpoolError.

    `boot` names the running kernel: what was written since it started is there, even if this process was killed.
    """

    def __init__(self, path: Path, log: Log, boot: str) -> None:
        self._database = Database(path, self._begin, log)
        self._boot = boot
        self._streams: dict[str, _Stream] = {}
        self._cursors: dict[str, dict[str, int]] = {}
        self._purged: dict[str, int] = {}

    def open(self) -> None:
        """Raises ConfigError when a person must act, SpoolError when it may pass."""
        self._database.open()

    def attach(self, name: str, sinks: Iterable[str]) -> tuple[int, dict[str, int]]:
        """These are the stream's sinks now. Returns its highest seq, and for each sink the last one that it has.

        A sink that is new begins where the slowest of the former ones is; those that are no longer named are forgotten.
        """
        with self._use() as connection:
            stream = self._stream(connection, name)
            rows = connection.execute("SELECT sink, seq FROM cursors WHERE stream = ?", (stream.id,)).fetchall()
            before: dict[str, int] = dict(rows)
            start = min(before.values(), default=0)
            cursors = {sink: before.get(sink, start) for sink in sinks}
            if cursors != before:
                with transaction(connection):
                    connection.execute("DELETE FROM cursors WHERE stream = ?", (stream.id,))
                    values = [(stream.id, sink, seq) for sink, seq in cursors.items()]
                    connection.executemany("INSERT INTO cursors VALUES (?, ?, ?)", values)
            self._cursors[name] = cursors
            return stream.head, dict(cursors)

    def append(self, name: str, make: Callable[[int], bytes]) -> int:
        """Store what `make` makes of the next seq."""
        with self._use() as connection:
            stream = self._stream(connection, name)
            seq = stream.head + 1
            connection.execute("INSERT INTO records VALUES (?, ?)", (stream.row(seq), make(seq)))
            stream.head = seq
            return seq

    def read(self, name: str, after: int, rows: int, size: int) -> list[tuple[int, bytes]]:
        """The first records after seq `after`: at most `rows`, and at most `size` bytes unless it is a single one."""
        found: list[tuple[int, bytes]] = []
        with self._use() as connection:
            stream = self._stream(connection, name)
            query = "SELECT id, line FROM records WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
            cursor = connection.execute(query, (stream.row(after), stream.row(stream.head), rows))
            for row, line in cursor:
                size -= len(line)
                if size < 0 and found:
                    break
                found.append((row - stream.row(0), line))
            cursor.close()  # an open read would keep the write-ahead log from starting over
        return found

    def ack(self, name: str, sink: str, seq: int) -> None:
        """The sink has all up to `seq`."""
        with self._use() as connection:
            stream = self._stream(connection, name)
            update = "INSERT INTO cursors VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq"
            connection.execute(update, (stream.id, sink, seq))
            self._cursors[name][sink] = seq

    def purge(self, name: str) -> bool:
        """Delete some of what all sinks have, if that is worth a write. True when there is more."""
        with self._use() as connection:
            stream = self._stream(connection, name)
            bound = min(self._cursors.get(name, {}).values(), default=stream.head)
            if bound - self._purged.get(name, 0) < PURGE_ROWS:
                return False
            delete = (
                "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?)"
            )
            with transaction(connection):
                connection.execute("UPDATE streams SET seq = max(seq, ?) WHERE id = ?", (bound, stream.id))
                deleted = connection.execute(delete, (stream.row(0), stream.row(bound), PURGE_ROWS)).rowcount
            if deleted == PURGE_ROWS:
                return True
            self._purged[name] = bound
            return False

    def sync(self) -> None:
        """Bring to the disk what was committed."""
        with self._use():
            self._database.sync()

    def close(self) -> None:
        """End in order: what is there is brought to the disk, and the next start knows that nothing is missing."""
        if not self._database.is_open:
            return
        with self._use() as connection:
            connection.execute("UPDATE store SET boot = ''")
            self._database.close()

    def _stream(self, connection: Connection, name: str) -> _Stream:
        if name not in self._streams:
            known = connection.execute("SELECT id, seq FROM streams WHERE name = ?", (name,)).fetchone()
            if known is None:
                insert = "INSERT INTO streams SELECT NULL, ?, seed FROM store RETURNING id, seq"
                (known,) = connection.execute(insert, (name,)).fetchall()
                self._database.sync()  # or a power cut takes the row, and the stream gives out the same numbers again
            stream = _Stream(*known)
            query = "SELECT max(id) FROM records WHERE id BETWEEN ? AND ?"
            (last,) = connection.execute(query, (stream.row(0), stream.row(2**SEQ_BITS - 1))).fetchone()
            stream.head = max(stream.head, (last or 0) - stream.row(0))
            self._streams[name] = stream
        return self._streams[name]

    @contextmanager
    def _use(self) -> Iterator[Connection]:
        try:
            with self._database.use() as connection:
                yield connection
        except SpoolError:
            self._streams.clear()  # a commit that failed may yet be there: ask the file again
            raise

    def _begin(self, connection: Connection) -> None:
        (boot,) = connection.execute("SELECT boot FROM store").fetchone()
        if boot == self._boot:
            return
        self._streams.clear()
        with transaction(connection):
            if boot:
                self._jump(connection)
            connection.execute("UPDATE store SET boot = ?", (self._boot,))
        self._database.sync()

    def _jump(self, connection: Connection) -> None:
        for (name,) in connection.execute("SELECT name FROM streams").fetchall():
            stream = self._stream(connection, name)
            stream.head = (stream.head // JUMP + 1) * JUMP
            connection.execute("UPDATE streams SET seq = ? WHERE id = ?", (stream.head, stream.id))
