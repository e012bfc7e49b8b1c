"""Whether what is new is staged (stage.py), and what becomes of it. Runs in the disk's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from overshootd.condition import Condition
from overshootd.contracts import Log
from overshootd.errors import SpoolError
from overshootd.sinks import stage, staged
from overshootd.sinks.database import Connection, DatabaseError, explain, may_pass, transaction
from overshootd.sinks.places import Row, Stream
from overshootd.sinks.progress import Progress

T = TypeVar("T")

STAGE_BYTES = 4_000_000
"""So much is staged at most: 10 s of 500 results a second."""

AGAIN_SECONDS = 3600.0
"""How long nothing is staged after the stage failed: whoever has filled the tmpfs may have left it since."""

MIRROR_SECONDS = 300.0
"""How often cursors and counts are written where nothing else is: counts of so long a power cut may take."""


class Staging:
    """The stage of one spool; `path` None: it has none. All methods raise DatabaseError, OSError.

    Where the stage fails, nothing more is staged for AGAIN_SECONDS, and what was goes on in the spool. `most` is how
    many records may come between two times that the spool learns their numbers.
    """

    def __init__(self, path: Path | None, boot: str, most: int, log: Log) -> None:
        self._path = path
        self._boot = boot
        self._most = most
        self._log = log
        self._former: Path | None = None  # where a killed process staged, if elsewhere: it is in the spool now
        self._stages = Condition(log, f"staging what is new in {path}", time.monotonic)
        self._begin_at = 0.0  # monotonic
        self._mirror_at = 0.0  # monotonic
        self._unmirrored = 0  # records since then
        self._bytes = 0  # of records: on the stage when that was looked at last, and what came since

    def is_on(self, connection: Connection) -> bool:
        return connection.hot == stage.STAGE

    def take_over(self, connection: Connection, place: str, seed: int) -> bool:
        """Put into the spool, whose seed that is, what a killed process has left at `place` (empty: it staged nothing),
        or where it would be staged now if that is another spool's, which had to be replaced. False when what was at
        `place` cannot be had. Raises SpoolError when that may pass."""
        found = not place
        former = Path(place) if place else None
        for path in dict.fromkeys(path for path in (former, self._path) if path is not None):
            try:
                left = self._read(path)
            except staged.Unusable as error:
                self._set_aside(path, error)
                continue
            if left is not None and (path == former or left.seed != seed):
                staged.take(connection, left)
                found |= path == former
            elif path == former:
                self._log.error(f"{path} is gone, and with it what was new when overshootd ended: keep its directory")
            if path != self._path:
                self._former = path
        return found

    def begin(self, connection: Connection) -> None:
        """Stage what comes from now on, if that is possible."""
        if self._former is not None:
            self._remove(self._former)
            self._former = None
        if self._path is None:
            return
        self._begin_at = time.monotonic() + AGAIN_SECONDS
        try:
            stage.begin(connection, self._path, self._boot)
        except (DatabaseError, OSError, UnicodeError) as error:
            self._stages.bad(_why(error))
        else:
            self._stages.good()
            self._mirrored()

    def begin_if_due(self, connection: Connection) -> None:
        """The same, where the stage failed a while ago."""
        if not self.is_on(connection) and time.monotonic() >= self._begin_at:
            self.begin(connection)

    def leave(self, connection: Connection) -> None:
        """Put everything into the spool."""
        if self._path is not None and self.is_on(connection):
            self._begin_at = time.monotonic() + AGAIN_SECONDS
            stage.leave(connection, self._boot)
            self._remove(self._path)

    def write(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        """What `work` returns, done in one transaction that concerns only what may be staged. Where the stage fails,
        once more without it."""
        try:
            with transaction(connection):
                return work(connection)
        except DatabaseError as error:
            if not self.is_on(connection):
                raise
            self._stages.bad(_why(error))
            self.leave(connection)
        with transaction(connection):
            return work(connection)

    def is_broken(self, connection: Connection) -> bool:
        """Whether an error may be the stage's."""
        return self.is_on(connection) and not stage.is_whole(connection)

    def came(self, rows: Sequence[Row]) -> None:
        self._unmirrored += len(rows)
        self._bytes += sum(len(line) for _, _, line in rows)

    def is_full(self, connection: Connection) -> bool:
        if not self.is_on(connection) or self._bytes < STAGE_BYTES:
            return False
        self._bytes = stage.size(connection)
        return self._bytes >= STAGE_BYTES

    def bring(self, connection: Connection, rows: Sequence[stage.Rows]) -> None:
        """Move these to the spool, in two steps: what a kill in between leaves in both, the next start takes once."""
        stage.bring(connection, rows)
        self._mirrored()
        self._clean(connection, lambda: stage.drop(connection, rows))

    def drop_delivered(self, connection: Connection, stream: Stream, sinks: Collection[Progress]) -> None:
        """Leave on the stage what some of the sinks lacks."""
        self._clean(connection, lambda: stage.drop_delivered(connection, stream, sinks))

    def mirror(self, connection: Connection) -> None:
        """Let the spool have what the small tables have."""
        if self.is_on(connection):
            stage.mirror(connection)
            self._mirrored()

    def mirror_if_due(self, connection: Connection) -> None:
        late = self._mirror_at < time.monotonic() or self._unmirrored > self._most
        if late or stage.is_behind(connection):
            self.mirror(connection)

    def _clean(self, connection: Connection, work: Callable[[], None]) -> None:
        """Where there is no stage any more, nothing is to be cleaned."""
        if self.is_on(connection):
            self.write(connection, lambda _: work() if self.is_on(connection) else None)

    def _mirrored(self) -> None:
        self._mirror_at = time.monotonic() + MIRROR_SECONDS
        self._unmirrored = 0

    def _read(self, path: Path) -> staged.Staged | None:
        """Raises Unusable, SpoolError."""
        try:
            return staged.read(path, self._boot)
        except DatabaseError as error:
            if not may_pass(error):
                raise staged.Unusable(str(error)) from error
            raise SpoolError(f"{path}: {explain(error)}") from error
        except OSError as error:
            raise SpoolError(f"{path}: {error.strerror}") from error

    def _set_aside(self, path: Path, why: Exception) -> None:
        aside = path.with_name(f"{path.name}.aside")
        try:
            path.rename(aside)
        except OSError as error:
            self._log.error(f"{path}: {why}; and it could not be set aside: {error.strerror}")
        else:
            self._log.error(f"{path}: {why}: set aside as {aside}, with what was new when overshootd ended")

    def _remove(self, path: Path) -> None:
        """The spool has it all. One that stays is not taken for what a killed process has left: the spool names it no
        more."""
        try:
            stage.remove(path)
        except OSError as error:
            self._log.warning(f"{path} could not be removed: {error.strerror}")


def _why(error: Exception) -> str:
    return f"{error}: it goes to the disk at once; another try is made every hour"
