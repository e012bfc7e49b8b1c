"""What the tests of spool and sinks share: small filesystems, another user."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from overshootd.contracts import Record
from overshootd.sinks.store import Store

NOBODY = 65534


def store_one(store: Store, stream: str, make: Callable[[int], bytes]) -> int:
    """By itself; its seq."""
    [seq] = store.append_all([(stream, make)])
    assert isinstance(seq, int)
    return seq


def record(stream: str, text: str = "") -> Record:
    return Record("result", stream, {"stream": stream, "received_at": "2026-07-27T10:15:00.000Z", "text": text})


@contextmanager
def small_filesystem(path: Path, options: str) -> Iterator[Path]:
    """A tmpfs of its own at `path`. Skips where nobody may mount."""
    path.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"may not mount: {mount.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> None:
    """Take all the room that the filesystem of this new file has left."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def remount(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Not root meanwhile, for root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(NOBODY)
    except OSError as error:
        pytest.skip(f"cannot become another user: {error}")
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def foreign_directory() -> Iterator[Path]:
    """A directory that everybody may enter and read, but only its owner may write to; and that is not us, later."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755 if os.geteuid() == 0 else 0o555)
    try:
        yield path
    finally:
        path.chmod(0o755)
        shutil.rmtree(path)
