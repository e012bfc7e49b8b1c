"""The spool's tables: records, the cursor of each sink, and numbers that never repeat. Runs in the disk's thread.

What is written seldom, and why that is enough:

- `seq` costs an append nothing: the highest number is the last record's, and `streams.seq` is brought up to it only
  when records are deleted. A power cut may take the last records although a sink has seen their numbers: therefore the
  first start in another boot, when there was no orderly end, rounds every stream's number up to the next million.
- Cursors move once in `sync_seconds`, and delivered records are deleted by the hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from overshootd.contracts import Log
from overshootd.errors import SpoolError
from overshootd.sinks.database import Connection, Database, transaction
from overshootd.sinks.progress import Progress, progress
from overshootd.sinks.tables import SEQ_BITS

T = TypeVar("T")

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
        self._log = log
        self._cursors: dict[str, dict[str, tuple[Progress, str]]] = {}
        self._purged: dict[str, int] = {}

    def open(self) -> None:
        """Raises ConfigError when a person must act, SpoolError when it may pass."""
        self._database.open()

    def attach(self, name: str, sinks: Mapping[str, str]) -> tuple[int, dict[str, Progress]]:
        """These are the stream's sinks now, each with its configuration as JSON. Returns the stream's highest seq, and
        what each sink has.

        A sink that is new begins where the slowest of the former ones is; those that are no longer named are forgotten.
        """
        with self._use() as connection:
            stream = self._stream(connection, name)
            before = _cursors(connection, stream)
            start = min((has.floor for has, _ in before.values()), default=0)
            now = {sink: (before[sink][0] if sink in before else Progress(start), sinks[sink]) for sink in sinks}
            if now != before:
                self._tell_dropped(connection, name, {sink: before[sink][0] for sink in before.keys() - now})
                with transaction(connection):
                    connection.execute("DELETE FROM cursors WHERE stream = ?", (stream.id,))
                    for sink, (has, config) in now.items():
                        _move(connection, stream, sink, has, config)
            self._cursors[name] = now
            return stream.head, {sink: has for sink, (has, _) in now.items()}

    def append(self, name: str, make: Callable[[int], bytes]) -> int:
        """Store what `make` makes of the next seq."""
        with self._use() as connection:
            stream = self._stream(connection, name)
            seq = stream.head + 1
            connection.execute("INSERT INTO records (id, line) VALUES (?, ?)", (stream.row(seq), make(seq)))
            stream.head = seq
            return seq

    def read(self, name: str, after: int, upto: int | None, rows: int, size: int) -> list[tuple[int, bytes]]:
        """The first records after seq `after`, up to and with `upto` (None: all): at most `rows`, and at most `size`
        bytes unless it is a single one. Each is its seq and its line."""
        found: list[tuple[int, bytes]] = []
        with self._use() as connection:
            stream = self._stream(connection, name)
            last = stream.row(stream.head if upto is None else min(upto, stream.head))
            query = "SELECT id, line FROM records WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
            cursor = connection.execute(query, (stream.row(after), last, rows))
            for row, line in cursor:
                size -= len(line)
                if size < 0 and found:
                    break
                found.append((row - stream.row(0), line))
            cursor.close()  # an open read would keep the write-ahead log from starting over
        return found

    def ack(self, name: str, sink: str, has: Progress) -> None:
        """The sink, one of those that were attached, has so much."""
        with self._use() as connection:
            before, config = self._cursors[name][sink]
            if has != before:
                _move(connection, self._stream(connection, name), sink, has, config)
                self._cursors[name][sink] = (has, config)

    def purge(self, name: str) -> bool:
        """Delete some of what all sinks have, if that is worth a write. True when there is more."""
        with self._use() as connection:
            stream = self._stream(connection, name)
            bound = min((has.floor for has, _ in self._cursors.get(name, {}).values()), default=stream.head)
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

    def waiting(self, known: Collection[str]) -> dict[str, dict[str, str]]:
        """What streams that are not `known` still have to deliver: by stream, the sinks that lack some of its records,
        each with its configuration as JSON (empty where a version 1 stored none)."""
        with self._use() as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM streams ORDER BY id").fetchall()]
            found = {name: self._lacking(connection, name) for name in names if name not in known}
        return {name: sinks for name, sinks in found.items() if sinks}

    def forget(self, name: str) -> None:
        """The stream is gone: drop its records and cursors. Its numbers are remembered, should it come back."""
        with self._use() as connection:
            stream = self._stream(connection, name)
            with transaction(connection):
                connection.execute("UPDATE streams SET seq = max(seq, ?) WHERE id = ?", (stream.head, stream.id))
                connection.execute("DELETE FROM cursors WHERE stream = ?", (stream.id,))
                bounds = (stream.row(0), stream.row(stream.head))
                connection.execute("DELETE FROM records WHERE id BETWEEN ? AND ?", bounds)
            self._cursors.pop(name, None)

    def within(self, function: Callable[[Connection], T]) -> T:
        """What `function` returns, done in one transaction: all of it or, when it raises, nothing."""
        with self._use() as connection, transaction(connection):
            return function(connection)

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

    def _lacking(self, connection: Connection, name: str) -> dict[str, str]:
        stream = self._stream(connection, name)
        cursors = _cursors(connection, stream)
        return {sink: config for sink, (has, config) in cursors.items() if _lacks(connection, stream, has)}

    def _tell_dropped(self, connection: Connection, name: str, dropped: Mapping[str, Progress]) -> None:
        stream = self._stream(connection, name)
        for sink, has in dropped.items():
            if _lacks(connection, stream, has):
                self._log.warning(f"{sink} is no longer a sink of {name}: what it still lacked, it will not get")

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


def _cursors(connection: Connection, stream: _Stream) -> dict[str, tuple[Progress, str]]:
    """What each sink has, and its configuration."""
    query = "SELECT sink, seq, spans, config FROM cursors WHERE stream = ?"
    rows = connection.execute(query, (stream.id,)).fetchall()
    return {sink: (progress(seq, spans), config) for sink, seq, spans, config in rows}


def _move(connection: Connection, stream: _Stream, sink: str, has: Progress, config: str) -> None:
    update = (
        "INSERT INTO cursors (stream, sink, seq, spans, config) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET seq = excluded.seq, spans = excluded.spans"
    )
    connection.execute(update, (stream.id, sink, has.floor, has.text(), config))


def _lacks(connection: Connection, stream: _Stream, has: Progress) -> bool:
    """Whether there is a record that a sink with this progress was not given yet."""
    query = "SELECT 1 FROM records WHERE id BETWEEN ? AND ? LIMIT 1"
    while gap := has.gap(stream.head):
        if connection.execute(query, tuple(map(stream.row, gap))).fetchone():
            return True
        has = has.having(*gap)
    return False
