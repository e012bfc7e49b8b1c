"""The file sink: records as lines in a file that is rotated, compressed and synced.

It rotates when a record arrives, never by itself: a file to which nothing happens is not touched. The older files are
named as `rotation` says, and compressed in slices between records, as many as keep pace. The sinks of several streams
may share a file if they share the disk's thread; somebody else may move the file away (logrotate) at any time. Where
less than `min_free_mb` is free, `space` deletes older files.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

from overshootd.config.sinks import FileSink as FileSinkConfig
from overshootd.contracts import Log
from overshootd.errors import ConfigError, Transient
from overshootd.sinks.archives import Archives
from overshootd.sinks.compressor import SLICE
from overshootd.sinks.disk import Disk
from overshootd.sinks.logfile import LogFile
from overshootd.sinks.paths import cannot_write, is_hopeless
from overshootd.sinks.space import MB, Space


class FileSink:
    """`path` is complete: nothing in it is left to fill in. `space` is shared by all file sinks of the disk's thread.
    `clock` gives seconds since the epoch."""

    def __init__(
        self,
        config: FileSinkConfig,
        path: Path,
        disk: Disk,
        log: Log,
        space: Space,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._disk = disk
        self._space = space
        self._archives = Archives(path, config.keep, config.gzip, config.min_free_mb * MB, log, clock)
        self._file = LogFile(path, self._archives, config.rotate_bytes, config.rotate_seconds, clock)
        self._compressing = config.gzip  # the last run may have left something

    @property
    def name(self) -> str:
        return f"file:{self._path}"

    @property
    def live_first(self) -> bool:
        return False

    async def open(self) -> None:
        """Make the file. Raises ConfigError when a person must act."""
        try:
            await self._disk.run(self._file.open)
        except OSError as error:
            if is_hopeless(error):
                raise ConfigError(cannot_write(self._path, error, "path")) from error
            # What may pass by itself (a full disk), `deliver` will meet and say.

    async def deliver(self, lines: list[bytes], *, backlog: bool = False) -> None:
        """Return when the lines are with the kernel. Raises Transient; given the same again, it writes none twice."""
        try:
            rotated = await self._disk.run(self._append, lines)
        except OSError as error:
            self._compressing = True  # it may have rotated before
            raise Transient(cannot_write(self._path, error, "path")) from error
        self._compressing |= rotated
        slices = 2 + sum(map(len, lines)) // SLICE
        while self._compressing and slices:
            self._compressing = await self._disk.run(self._archives.work)
            slices -= 1

    async def sync(self) -> None:
        """Return when it is on the disk. Raises Transient: nothing since the last time is sure."""
        try:
            await self._disk.run(self._file.sync)
        except OSError as error:
            raise Transient(
                f"{self._path}: cannot be synced to the disk ({error.strerror}): look at the kernel's log"
            ) from error

    async def close(self) -> None:
        try:
            await self._disk.run(self._close)
        except OSError as error:
            raise Transient(f"{self._path}: {error.strerror}") from error

    def _append(self, lines: list[bytes]) -> bool:
        """True when it rotated. A full disk is one where room has to be made at once; then all comes once more."""
        self._space.look(self._archives)
        try:
            rotated = self._file.append(lines)
        except OSError as error:
            if error.errno != errno.ENOSPC or not self._space.look(self._archives, now=True):
                raise
            self._file.append(lines)
            return True
        if rotated:
            self._space.look(self._archives, now=True)
        return rotated

    def _close(self) -> None:
        self._space.leave(self._archives)
        self._archives.close()
        self._file.close()
