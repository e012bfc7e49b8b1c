"""A small file of what must be known after a restart: whole whenever it is read, set aside when it cannot be used."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from overshootd.contracts import Log
from overshootd.errors import SpoolError

T = TypeVar("T")

FILE_MODE = 0o600
DIRECTORY_MODE = 0o750

LONGEST_FILE = 1_000_000
"""Bytes. A stream takes some hundreds, unless it has a long prompt."""

DISK_SECONDS = 10.0
"""A card that stalls for longer must not hold a stream back, which is billed."""


class Unusable(Exception):
    """The file cannot be used. `suffix` is what its name gets when it is set aside."""

    def __init__(self, why: str, suffix: str) -> None:
        super().__init__(why)
        self.suffix = suffix


class Run(Protocol):
    """Runs a blocking function where it does not hold the event loop, one after the other, in order."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


class StateFile:
    """The file at `path`. `without` ends the sentence that says that it cannot be used: what follows from that."""

    def __init__(self, path: Path, without: str, log: Log, run: Run) -> None:
        self._path = path
        self._without = without
        self._log = log
        self._run = run

    async def load(self, decode: Callable[[bytes], T]) -> T | None:
        """What `decode`, which raises Unusable, makes of the content. None when there is no file, or none that can be
        used: then the log says why, and it is set aside."""
        try:
            async with asyncio.timeout(DISK_SECONDS):
                return await self._run(lambda: self._read(decode))
        except (SpoolError, TimeoutError) as error:
            self._log.error(f"{self._path}: {why(error)}: {self._without}")
            return None

    async def save(self, content: bytes) -> None:
        """Make that its content. Returns once it survives a power cut. Raises OSError (TimeoutError is one),
        SpoolError."""
        async with asyncio.timeout(DISK_SECONDS):
            await self._run(lambda: write(self._path, content))

    def _read(self, decode: Callable[[bytes], T]) -> T | None:
        try:
            return decode(_content(self._path))
        except FileNotFoundError:
            return None
        except Unusable as error:
            self._set_aside(error)
            return None

    def _set_aside(self, error: Unusable) -> None:
        aside = self._path.with_name(f"{self._path.name}.{error.suffix}")
        try:
            os.replace(self._path, aside)
        except OSError as trouble:
            self._log.error(f"{self._path}: {error}; and it could not be set aside: {why(trouble)}")
        else:
            self._log.error(f"{self._path}: {error}: set aside as {aside.name}, {self._without}")


def _content(path: Path) -> bytes:
    """Raises FileNotFoundError, and Unusable for whatever else is wrong."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_FILE + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unusable(why(error), "unreadable") from error
    if len(content) > LONGEST_FILE:
        raise Unusable(f"longer than {LONGEST_FILE} bytes", "corrupt")
    return content


def write(path: Path, content: bytes) -> None:
    """Make it the content of `path`: whoever reads it, after whatever cut, reads this or what was there. Raises
    OSError."""
    path.parent.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # what a cut left there may be readable by others
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)  # or a power cut may leave the new name with nothing under it
    finally:
        os.close(descriptor)
    os.replace(new, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def why(error: Exception) -> str:
    """A word for the log."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or "the disk does not answer"
