"""The streams that a spool knows, and numbers that never repeat. Runs in the disk's thread.

The highest number costs an append nothing: it is the last record's, and `streams.seq` is brought up to it only when
records are deleted.
"""

from __future__ import annotations

from collections.abc import Callable

from overshootd.sinks.database import Connection, transaction
from overshootd.sinks.places import Stream, leave_out, rows_of
from overshootd.sinks.staging import Staging

JUMP = 1_000_000
UNKNOWN = 750_000
"""More than any stream can store before the disk knows its number: a mirror of the stage is due after half of JUMP."""


class Streams:
    """By their names. `sync` brings to the disk what was committed. All methods raise DatabaseError, OSError."""

    def __init__(self, staging: Staging, sync: Callable[[], None]) -> None:
        self._staging = staging
        self._sync = sync
        self._known: dict[str, Stream] = {}
        self._synced = True

    def get(self, name: str) -> Stream | None:
        """One that was found before. Of all methods this one may be called in any thread."""
        return self._known.get(name)

    def doubt(self) -> None:
        """Ask the file again: a commit that failed may yet be there."""
        self._known.clear()

    def find(self, connection: Connection, name: str) -> Stream:
        """Not within a transaction: one that is new is synced, and the stage is to know it too."""
        if name not in self._known:
            stream = _find(connection, name) or self._begin(connection, name)
            if not self._synced:
                self._sync()  # or a power cut takes the row, and the stream gives out the same numbers again
                self._synced = True
            if self._staging.is_on(connection):
                row = (stream.id, name, stream.head)
                self._staging.write(connection, lambda hot: _put(hot, row))
            self._known[name] = stream
        return self._known[name]

    def all(self, connection: Connection) -> list[str]:
        return [name for (name,) in connection.execute("SELECT name FROM main.streams ORDER BY id").fetchall()]

    def jump(self, connection: Connection) -> None:
        """Leave numbers out, in every stream: a sink may have seen them though the disk has not. Nothing is staged."""
        streams = {name: self.find(connection, name) for name in self.all(connection)}
        with transaction(connection):
            for stream in streams.values():
                was, stream.head = stream.head, ((stream.head + UNKNOWN) // JUMP + 1) * JUMP
                leave_out(connection, stream.id, was + 1, stream.head)
                connection.execute("UPDATE main.streams SET seq = ? WHERE id = ?", (stream.head, stream.id))

    def _begin(self, connection: Connection, name: str) -> Stream:
        connection.execute("INSERT INTO main.streams SELECT NULL, ?, seed FROM main.store", (name,))
        self._synced = False
        return Stream(*connection.execute("SELECT id, seq FROM main.streams WHERE name = ?", (name,)).fetchone())


def _find(connection: Connection, name: str) -> Stream | None:
    # The number is the greater of both: that where records were deleted last.
    both = " UNION ALL ".join(f"SELECT * FROM {schema}.streams" for schema in {"main", connection.hot})
    found = connection.execute(f"SELECT id, max(seq) FROM ({both}) WHERE name = ? GROUP BY id", (name,)).fetchone()
    if found is None:
        return None
    stream = Stream(*found)
    query = "SELECT id FROM records WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
    if last := connection.execute(query, rows_of(stream.id)).fetchone():
        stream.head = max(stream.head, last[0] - stream.row(0))
    return stream


def _put(connection: Connection, row: tuple[int, str, int]) -> None:
    connection.execute(f"INSERT OR IGNORE INTO {connection.hot}.streams VALUES (?, ?, ?)", row)
