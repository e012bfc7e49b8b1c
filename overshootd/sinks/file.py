"""The file sink: records as lines in a file that is rotated, compressed and synced.

It rotates when a record arrives, never by itself: a file to which nothing happens is not touched. The older files are
named as `rotation` says, and compressed in slices between records, as many as keep pace. The sinks of several streams
may share a file if they share the disk's thread; somebody else may move the file away (logrotate) at any time.
"""

from __future__ import annotations

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


class FileSink:
    """`path` is complete: nothing in it is left to fill in. `clock` gives seconds since the epoch."""

    def __init__(
        self, config: FileSinkConfig, path: Path, disk: Disk, log: Log, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._disk = disk
        self._archives = Archives(path, config.keep, config.gzip, log, clock)
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
            rotated = await self._disk.run(self._file.append, lines)
        except OSError as error:
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

    def _close(self) -> None:
        self._archives.close()
        self._file.close()
