"""The older files of one results file: named, counted and compressed. Runs in the disk's thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from overshootd.contracts import Log
from overshootd.sinks.compressor import Compressor
from overshootd.sinks.rotation import next_stamp, stamps


@dataclass(frozen=True, slots=True)
class Older:
    """One older file of the results file at `path`, in whatever form it is there."""

    stamp: str
    path: Path
    names: tuple[str, ...]
    size: int
    """Bytes that it takes on the disk."""
    mark: int
    """Bytes: it may go for room while fewer are free."""


class Archives:
    """`min_free` is in bytes; `clock` gives seconds since the epoch."""

    def __init__(
        self, path: Path, keep: int, compress: bool, min_free: int, log: Log, clock: Callable[[], float]
    ) -> None:
        self.path = path
        self.min_free = min_free
        self._keep = keep
        self._compress = compress
        self._log = log
        self._clock = clock
        self._compressor: Compressor | None = None
        self._waiting: list[Path] | None = None  # None: look which there are

    def add(self) -> None:
        """The file becomes an older one; the oldest beyond the number to keep are deleted. Raises OSError."""
        known = self._known()
        stamp = next_stamp(datetime.fromtimestamp(self._clock(), UTC), known)
        archive = self.path.with_name(f"{self.path.name}-{stamp}")
        self.path.rename(archive)
        known[stamp] = [archive.name]
        for surplus in list(known)[: max(len(known) - self._keep, 0)]:
            for name in known[surplus]:
                self.path.with_name(name).unlink(missing_ok=True)
        self._waiting = None

    def older(self) -> list[Older]:
        """Those that are there, the oldest first. Raises OSError."""
        return [
            Older(stamp, self.path, tuple(names), sum(map(self._size, names)), self.min_free)
            for stamp, names in self._known().items()
        ]

    def delete(self, older: Older) -> None:
        """To make room; also when another sink of the same file did it. Raises OSError."""
        if self._compressor is not None and self._compressor.path.name in older.names:
            self.close()  # it holds the file open, and the room with it
        for name in older.names:
            self.path.with_name(name).unlink(missing_ok=True)

    def work(self) -> bool:
        """Compress one slice. True when there is more to do. An archive that cannot be compressed stays as it is."""
        try:
            return self._compress and self._slice()
        except FileNotFoundError:  # deleted to keep the number, or compressed by another sink
            self.close()
            return True
        except OSError as error:
            self._log.warning(
                f"{self.path}: an older file could not be compressed: {error}; tried again after the next one"
            )
            self.close()
            return False

    def close(self) -> None:
        if self._compressor is not None:
            self._compressor.close()
            self._compressor = None

    def _slice(self) -> bool:
        if self._waiting is None:
            names = [f"{self.path.name}-{stamp}" for stamp in self._known()]
            self._waiting = [path for name in names if (path := self.path.with_name(name)).exists()]
        if self._compressor is None:
            if not self._waiting:
                return False
            self._compressor = Compressor(self._waiting.pop(0))
        if self._compressor.step():
            self._compressor = None
        return True

    def _size(self, name: str) -> int:
        with suppress(FileNotFoundError):  # moved away meanwhile
            return self.path.with_name(name).lstat().st_blocks * 512
        return 0

    def _known(self) -> dict[str, list[str]]:
        return stamps(os.listdir(self.path.parent), self.path.name)
