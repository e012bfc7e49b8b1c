"""A spool with a stage, as the disk's thread uses it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from overshootd.errors import SpoolError
from overshootd.sinks.aside import log_of
from overshootd.sinks.spool import FILE_NAME
from overshootd.sinks.store import Store
from tests.integration.sink_lab import store_one
from tests.remembering import RememberingLog


def open_store(tmp_path: Path, memory: Path, log: RememberingLog | None = None, boot: str = "boot 1") -> Store:
    return Store(tmp_path / FILE_NAME, log or RememberingLog(), boot, stage_dir=memory)


def append(store: Store, count: int, size: int = 100) -> list[int]:
    return [store_one(store, "yard", lambda seq: b"%d %s" % (seq, b"x" * size)) for _ in range(count)]


def read(store: Store) -> list[int]:
    return [seq for seq, _ in store.read("yard", 0, None, 1 << 30, 1 << 40)]


def staged_at(memory: Path) -> Path:
    [path] = [file for file in memory.iterdir() if not file.name.endswith("-journal")]
    return path


def written(path: Path) -> bytes:
    """All that the disk has of a spool."""
    return path.read_bytes() + log_of(path).read_bytes()


def killed(store: Store, tmp_path: Path, memory: Path) -> None:
    """As if the process had been: the files stay as they are, whatever closing does to them."""
    files = {file: file.read_bytes() for folder in (tmp_path, memory) for file in folder.iterdir() if file.is_file()}
    with suppress(SpoolError):  # where the disk is full
        store.close()
    for file, content in files.items():
        file.write_bytes(content)
