"""One older file, compressed a slice at a time; a crash or a second compressor loses and doubles nothing."""

from __future__ import annotations

import fcntl
import os
import zlib
from contextlib import ExitStack
from pathlib import Path

from overshootd.sinks.paths import FILE_MODE, sync_directory, write_all

SLICE = 64 * 1024
"""Bytes read in one go: 2 ms on a PC, some 10 ms on a Pi Zero 2, which a result that arrives meanwhile waits."""

GZIP = 31
"""zlib's `wbits` for a gzip header and trailer. The gzip module would keep a buffer that cannot be given up quietly."""


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
        self._target = -1
        self._zip = zlib.compressobj(wbits=GZIP)

    def step(self) -> bool:
        """Do one slice. True when it is done, or is somebody else's."""
        if self._target < 0:
            return not self._begin()
        if piece := self._source.read(SLICE):
            write_all(self._target, self._zip.compress(piece))
            return False
        write_all(self._target, self._zip.flush())
        os.fsync(self._target)
        self._new.rename(self._gz)
        sync_directory(self.path.parent)
        self.path.unlink(missing_ok=True)
        self._open.close()
        return True

    def close(self) -> None:
        """Stop, done or not; half an archive is deleted."""
        self._open.close()

    def _begin(self) -> bool:
        try:
            fcntl.flock(self._source, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._open.close()
            return False
        self._target = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        self._open.callback(os.close, self._target)
        self._open.callback(self._new.unlink, missing_ok=True)
        return True
