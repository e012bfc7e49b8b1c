"""What the tests of the file sink share: sinks with small files, lines for them, and what has become of those."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from overshootd.config.sinks import FileSink as FileSinkConfig
from overshootd.sinks.disk import Disk
from overshootd.sinks.file import FileSink
from overshootd.sinks.record import encode
from overshootd.sinks.space import Space
from tests.integration.sink_lab import record
from tests.ledger.disk import Disk as Card
from tests.ledger.disk import NoDisk, small_disk
from tests.remembering import RememberingLog

PATIENCE = 20.0


class Clock:
    """Seconds since the epoch."""

    def __init__(self) -> None:
        self.now = 1_784_542_500.0

    def __call__(self) -> float:
        return self.now


def open_sink(
    disk: Disk, path: Path, clock: Clock | None = None, log: RememberingLog | None = None, **config: object
) -> FileSink:
    small = {"rotate_bytes": 1000, "min_free_mb": 0}
    parsed = FileSinkConfig.model_validate({"type": "file", "path": str(path), **small, **config})
    remembering = log or RememberingLog()
    return FileSink(parsed, path, disk, remembering, Space(remembering), clock or Clock())


def lines(begin: int, end: int, size: int = 0) -> list[bytes]:
    return [encode(record("yard", "x" * size), f"uid-{number}", number) for number in range(begin, end)]


def older(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}?*"))


def content(files: Sequence[Path]) -> list[bytes]:
    return [
        line
        for file in files
        for line in (gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()).splitlines()
    ]


@contextmanager
def ext4(path: Path, megabytes: int) -> Iterator[Card]:
    """In blocks of 4 kB, as on a card. Skips where nobody may mount one."""
    try:
        with small_disk(path, megabytes, block=4096) as card:
            if card.kind != "ext4":
                pytest.skip("there is no loop device for an ext4")
            yield card
    except NoDisk as error:
        pytest.skip(f"may not mount: {error}")
