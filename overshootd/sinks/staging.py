"""Whether what is new is staged (stage.py), and what becomes of it. Runs in the disk's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from overshootd.contracts import Log
from overshootd.sinks import stage, staged
from overshootd.sinks.database import Connection, DatabaseError, transaction
from overshootd.sinks.places import Row

T = TypeVar("T")

STAGE_BYTES = 4_000_000
"""So much is staged at most: 10 s of 500 results a second."""

MIRROR_SECONDS = 300.0
"""How often cursors and counts are written where nothing else is: counts of so long a power cut may take."""


class Staging:
    """The stage of one spool; `path` None: it has none. All methods raise DatabaseError, OSError.

    Where the stage fails, nothing more is staged until the next start, and what was goes on in the spool. `most` is how
    many records may come between two times that the spool learns their numbers.
    """

    def __init__(self, path: Path | None, boot: str, most: int, log: Log) -> None:
        self._path = path
        self._boot = boot
        self._most = most
        self._log = log
        self._mirror_at = 0.0  # monotonic
        self._unmirrored = 0  # records since then
        self._bytes = 0  # of records: on the stage when that was looked at last, and what came since

    def is_on(self, connection: Connection) -> bool:
        return connection.hot == stage.STAGE

    def take_over(self, connection: Connection, place: str) -> bool:
        """Put into the spool what a killed process has left at `place` (empty: it staged nothing), or where it would be
        staged now: the spool may be a new one. False when it is not there, or cannot be read."""
        found = not place
        places = [Path(place)] if place else []
        places += [self._path] if self._path is not None else []
        for path in dict.fromkeys(places):
            if (left := self._read(path)) is not None:
                staged.take(connection, left)
                found |= str(path) == place
            if path != self._path:
                stage.remove(path)
        return found

    def begin(self, connection: Connection) -> None:
        """Stage what comes from now on, if that is possible."""
        if self._path is None:
            return
        try:
            stage.begin(connection, self._path, self._boot)
        except (DatabaseError, OSError) as error:
            self._tell(error)
        else:
            self._mirrored()

    def leave(self, connection: Connection) -> None:
        """Put everything into the spool."""
        if self._path is not None and self.is_on(connection):
            stage.leave(connection, self._path, self._boot)

    def write(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        """What `work` returns, done in one transaction that concerns only what may be staged."""
        try:
            with transaction(connection):
                return work(connection)
        except DatabaseError as error:
            if not self.is_on(connection):
                raise
            self._tell(error)
            self.leave(connection)
        with transaction(connection):
            return work(connection)

    def came(self, rows: Sequence[Row]) -> None:
        self._unmirrored += len(rows)
        self._bytes += sum(len(line) for _, _, line in rows)

    def is_full(self, connection: Connection) -> bool:
        if not self.is_on(connection) or self._bytes < STAGE_BYTES:
            return False
        self._bytes = stage.size(connection)
        return self._bytes >= STAGE_BYTES

    def bring(self, connection: Connection, rows: Sequence[stage.Rows]) -> None:
        """Move these to the spool."""
        stage.bring(connection, rows)
        self._mirrored()

    def mirror(self, connection: Connection) -> None:
        """Let the spool have what the small tables have."""
        if self.is_on(connection):
            stage.mirror(connection)
            self._mirrored()

    def mirror_if_due(self, connection: Connection) -> None:
        late = self._mirror_at < time.monotonic() or self._unmirrored > self._most
        if late or stage.is_behind(connection):
            self.mirror(connection)

    def _mirrored(self) -> None:
        self._mirror_at = time.monotonic() + MIRROR_SECONDS
        self._unmirrored = 0

    def _read(self, path: Path) -> staged.Staged | None:
        try:
            return staged.read(path, self._boot)
        except DatabaseError as error:
            aside = path.with_name(f"{path.name}.aside")
            path.rename(aside)
            self._log.error(f"{path}: {error}: set aside as {aside}; what was new when overshootd ended is in it")
            return None

    def _tell(self, error: Exception) -> None:
        self._log.warning(f"{self._path}: {error}: what is new goes to the disk at once, until the next start")
