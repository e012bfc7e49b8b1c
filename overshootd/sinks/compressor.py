"""One older file, compressed a slice at a time; a crash or a second compressor loses and doubles nothing."""

from __future__ import annotations

import fcntl
import gzip
import os
from contextlib import ExitStack
from pathlib import Path

from overshootd.sinks.paths import FILE_MODE, sync_directory

SLICE = 64 * 1024
"""Bytes read in one go: 2 ms on a PC, some 10 ms on a Pi Zero 2, which a result that arrives meanwhile waits."""

LEVEL = 6


class Compressor:
    """`path` becomes `path.gz`: written under another name, synced, renamed, and only then is `path` deleted.

    Two sinks may write to one file; the lock on `path` says which of them compresses it. All methods raise OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._gz = path.with_name(f"{path.name}.gz")
        self._new = path.with_name(f"{path.name}.gz.tmp")
        self._open = ExitStack()
        self._source = self._open.enter_context(path.open("rb", buffering=0))
        self._archive: gzip.GzipFile | None = None

    def step(self) -> bool:
        """Do one slice. True when it is done, or is somebody else's."""
        if self._archive is None:
            return not self._begin()
        if piece := self._source.read(SLICE):
            self._archive.write(piece)
            return False
        self._archive.close()  # writes the trailer
        os.fsync(self._target.fileno())
        self._new.rename(self._gz)
        sync_directory(self.path.parent)
        self.path.unlink(missing_ok=True)
        self._open.close()
        return True

    def close(self) -> None:
        """Stop, half done or not. The half that is there is overwritten next time."""
        self._open.close()

    def _begin(self) -> bool:
        try:
            fcntl.flock(self._source, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._open.close()
            return False
        if self._gz.exists():  # the last one came as far as this
            self.path.unlink(missing_ok=True)
            self._open.close()
            return False
        self._target = self._open.enter_context(os.fdopen(_create(self._new), "wb"))
        self._archive = gzip.GzipFile(self.path.name, "wb", LEVEL, self._target)
        self._open.callback(self._new.unlink, missing_ok=True)
        return True


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
