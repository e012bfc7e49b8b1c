"""A file that only grows, one line a record, until it is rotated. Blocking: runs in the disk's thread."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from overshootd.sinks.ahead import allocate, give_back
from overshootd.sinks.archives import Archives
from overshootd.sinks.paths import FILE_MODE, make_directories, sync_data, sync_directory, write_all
from overshootd.sinks.rotation import plan

TAIL = 1024 * 1024
"""Bytes searched for the end of the last whole line; a record has a few kilobytes."""

RECORD = b'{"schema":'
"""How every record begins."""


class LogFile:
    """All methods raise OSError. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        path: Path,
        archives: Archives,
        rotate_bytes: int,
        rotate_seconds: float | None,
        clock: Callable[[], float],
    ) -> None:
        self._path = path
        self._archives = archives
        self._rotate_bytes = rotate_bytes
        self._rotate_seconds = rotate_seconds
        self._clock = clock
        self._fd = -1
        self._born = 0.0  # when the first record came, in seconds since the epoch
        self._there: set[bytes] = set()  # digests of the lines since the last `sync`: of some PLENTY (lanes.py) at most
        self._half_way = False  # the last `append` failed: its lines come again, also after a `sync`
        self._doubt: OSError | None = None  # why what was written may not be on the disk

    def open(self) -> None:
        """Make it and its directories, unless that was done; mend what a power cut did to its end."""
        if self._fd >= 0:
            return
        directory = self._path.parent
        make_directories(directory)
        is_new = not self._path.exists()
        if not is_new and not stat.S_ISREG(self._path.stat().st_mode):
            raise OSError(errno.EEXIST, "not a regular file", str(self._path))
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            _mend(fd)
            self._born = _born(fd)
            if is_new:
                sync_directory(directory)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def append(self, lines: Sequence[bytes]) -> bool:
        """Write the lines, rotating before, between and never within. True when it rotated.

        After an error the same lines are expected again; those that are there since the last `sync` are not written
        twice.
        """
        self._half_way = True
        lines = [line for line in lines if _digest(line) not in self._there]
        self._follow()
        size = os.fstat(self._fd).st_size
        files = (
            [[], *plan(0, lines, self._rotate_bytes)]
            if size and self._is_old()
            else plan(size, lines, self._rotate_bytes)
        )
        for number, part in enumerate(files):
            if number:
                self._rotate()
            if part:
                self._write(part)
                self._there.update(map(_digest, part))
        self._half_way = False
        return len(files) > 1

    def sync(self) -> None:
        """Return when all that was appended is on the disk. After an error none of it is sure since the last `sync`.

        It is raised again until `told`: the kernel says it once, and whoever waited may have been cancelled.
        """
        try:
            if self._doubt is not None:
                raise self._doubt
            if self._fd >= 0:
                sync_data(self._fd)
        except OSError as error:
            self._doubt = error
            self._there.clear()
            raise
        if not self._half_way:
            self._there.clear()

    def told(self) -> None:
        """Whoever appends knows that the last `sync` failed, and gives its lines again."""
        self._doubt = None

    def close(self) -> None:
        if self._fd >= 0:
            self._leave()

    def _follow(self) -> None:
        """Open what is at the path now: somebody else may have moved the file away (logrotate without copytruncate)."""
        if self._fd >= 0:
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self._path), os.fstat(self._fd)):
                    return
            self._leave()
        self.open()

    def _rotate(self) -> None:
        self._leave()
        self._archives.add()
        self.open()

    def _leave(self) -> None:
        try:
            give_back(self._fd)
            sync_data(self._fd)
        except OSError as error:
            self._doubt = error
        fd, self._fd = self._fd, -1
        os.close(fd)

    def _is_old(self) -> bool:
        now = self._clock()
        self._born = min(self._born, now)  # begun while the clock was ahead: else it would not be old for as long
        return self._rotate_seconds is not None and now - self._born >= self._rotate_seconds

    def _write(self, lines: Sequence[bytes]) -> None:
        size = os.fstat(self._fd).st_size
        if not size:
            self._born = self._clock()
        data = b"".join(line + b"\n" for line in lines)
        allocate(self._fd, len(data), self._rotate_bytes)
        try:
            write_all(self._fd, data)
        except OSError:
            self._take_back(size)  # all or nothing: what fitted would come again
            raise

    def _take_back(self, size: int) -> None:
        """Cut the file there. Where even that fails (it became read-only) a later `open` mends the end."""
        try:
            os.ftruncate(self._fd, size)
        except OSError:
            fd, self._fd = self._fd, -1
            os.close(fd)


def _digest(line: bytes) -> bytes:
    """A line's stand-in where thousands are remembered."""
    return hashlib.blake2b(line, digest_size=16).digest()


def _mend(fd: int) -> None:
    """End the file in a newline: cut a torn record, which the spool still has, and end a line that is not ours."""
    size = os.fstat(fd).st_size
    tail = os.pread(fd, TAIL, max(size - TAIL, 0))
    torn = tail[tail.rfind(b"\n") + 1 :]
    if not torn:
        return
    if torn.startswith(RECORD) or RECORD.startswith(torn) or not torn.strip(b"\0"):
        os.ftruncate(fd, size - len(torn))
    else:
        os.write(fd, b"\n")


def _born(fd: int) -> float:
    """When the first record came; of a file that begins with something else, when it was last written."""
    first = os.pread(fd, TAIL, 0).partition(b"\n")[0]
    try:
        return datetime.fromisoformat(json.loads(first)["received_at"]).timestamp()
    except (ValueError, TypeError, KeyError, RecursionError):
        return os.fstat(fd).st_mtime
