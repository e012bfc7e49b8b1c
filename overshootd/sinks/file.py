"""The file sink: records as lines in a file that is rotated, compressed and synced.

It rotates when a record arrives, never by itself: a file to which nothing happens is not touched. The older files are
named as `rotation` says, and compressed in slices between records, as many as keep pace. The sinks of several streams
may share a file if they share the disk's thread; somebody else may move the file away (logrotate) at any time. Where
less than `min_free_mb` is free, `space` deletes older files.

A sink that syncs rarely holds its lines and writes them with the sync, for ext4 commits the inode of whatever is
written to within five seconds, 12 kB each time. What is held is in the spool until it is synced.
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

COMMIT_SECONDS = 5.0
"""Within which ext4 commits by itself (its mount option `commit`). A sync that comes sooner is the only one."""

HOLD_BYTES = 256 * 1024
"""Less is held, however rarely it syncs. A delivery that gave PLENTY (lanes.py) has it sync before its time."""


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
        self._holds = config.sync_seconds > COMMIT_SECONDS
        self._held: dict[bytes, None] = {}  # in order, each once; only the disk's thread touches it
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
        """Return when the lines are with the kernel, or held. Raises Transient; given the same again, it writes none
        twice."""
        await self._write(lines, self._holds)
        slices = 2 + sum(map(len, lines)) // SLICE
        while self._compressing and slices:
            self._compressing = await self._disk.run(self._archives.work)
            slices -= 1

    async def sync(self) -> None:
        """Write what is held; return when all is on the disk. Raises Transient: nothing since the last time is sure.

        What could not be written stays held, and is known when it comes again.
        """
        if self._holds:
            await self._write([], False)
        try:
            await self._disk.run(self._file.sync)
        except OSError as error:
            self._file.told()
            raise Transient(
                f"{self._path}: cannot be synced to the disk ({error.strerror}): look at the kernel's log"
            ) from error

    async def close(self) -> None:
        """Drop what is held: the spool has it."""
        try:
            await self._disk.run(self._close)
        except OSError as error:
            raise Transient(f"{self._path}: {error.strerror}") from error

    async def _write(self, lines: list[bytes], hold: bool) -> None:
        try:
            rotated = await self._disk.run(self._take, lines, hold)
        except OSError as error:
            self._compressing = True  # it may have rotated before
            raise Transient(cannot_write(self._path, error, "path")) from error
        self._compressing |= rotated

    def _take(self, lines: list[bytes], hold: bool) -> bool:
        """Hold the lines, or write them behind those that are held. True when it rotated."""
        held = {**self._held, **dict.fromkeys(lines)}
        if hold and sum(map(len, held)) < HOLD_BYTES:
            self._held = held
            return False
        rotated = bool(held) and self._append(list(held))
        self._held = {}
        return rotated

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
        self._held = {}
        self._space.leave(self._archives)
        self._archives.close()
        self._file.close()
