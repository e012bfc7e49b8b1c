"""A small filesystem of the test's own that can be filled, freed and made read-only. Blocking, but quick."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1024 * 1024
BALLAST = "ballast"
PIECES = (64 * 1024, 4096, 512)
"""Bytes that the ballast grows by, ever smaller as the room gets less."""


class NoDisk(Exception):
    """Nobody may mount here; the text says why."""


@dataclass(frozen=True)
class Disk:
    """Mounted at `path`; `kind` says what it is."""

    path: Path
    kind: str

    def fill(self, leave: int = 0) -> None:
        """Until nothing goes any more; then give back `leave` bytes."""
        with (self.path / BALLAST).open("wb", buffering=0) as ballast:
            for piece in PIECES:
                _fill(ballast.fileno(), bytes(piece))
            ballast.truncate(max(0, ballast.tell() - leave))

    def free(self) -> None:
        """Take the ballast away. Nothing when there is none."""
        (self.path / BALLAST).unlink(missing_ok=True)

    def read_only(self, only: bool) -> bool:
        """Whether that could be done: the kernel remounts nothing that somebody writes to."""
        done = subprocess.run(
            ["mount", "-o", f"remount,{'ro' if only else 'rw'}", str(self.path)], check=False, capture_output=True
        )
        return done.returncode == 0


@contextmanager
def small_disk(path: Path, megabytes: int, *, block: int = 1024) -> Iterator[Disk]:
    """An ext4 on a loop device, in blocks of so many bytes; a tmpfs where there are none. Raises NoDisk."""
    path.mkdir(parents=True)
    kind = "ext4" if _ext4(path, megabytes, block) else "tmpfs"
    if kind == "tmpfs":
        _tmpfs(path, megabytes * 1024)
    with _mounted(path):
        yield Disk(path, kind)


@contextmanager
def small_memory(path: Path, kilobytes: int) -> Iterator[Disk]:
    """A tmpfs. Raises NoDisk."""
    path.mkdir(parents=True)
    _tmpfs(path, kilobytes)
    with _mounted(path):
        yield Disk(path, "tmpfs")


@contextmanager
def _mounted(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def _tmpfs(path: Path, kilobytes: int) -> None:
    if why := _run("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(path)):
        raise NoDisk(why)


def _ext4(path: Path, megabytes: int, block: int) -> bool:
    image = path.with_name(f"{path.name}.img")
    with image.open("wb") as file:
        file.truncate(megabytes * MEGABYTE)
    at_once = "lazy_itable_init=0,lazy_journal_init=0"
    made = ("mkfs.ext4", "-q", "-m", "0", "-b", str(block), "-E", at_once, "-F", str(image))
    return not _run(*made) and not _run("mount", "-o", "loop,noatime", str(image), str(path))


def _run(*command: str) -> str:
    """Why it failed; nothing when it did not."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    return f"{command[0]}: {done.stderr.strip() or 'failed'}" if done.returncode else ""


def _fill(descriptor: int, piece: bytes) -> None:
    try:
        while True:
            os.write(descriptor, piece)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
