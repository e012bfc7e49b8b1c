"""`python -m bench.sinks.fill STATE_DIR STREAM COUNT`: a spool in which so many results wait. A process of its own, so
that its memory is not counted."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

import uuid6

from bench.sinks import records
from overshootd.sinks.bounds import Bounds
from overshootd.sinks.record import encode
from overshootd.sinks.spool import BOOT_ID, FILE_NAME
from overshootd.sinks.store import Store
from tests.remembering import RememberingLog

BATCH = 1000


async def filled(state_dir: Path, stream: str, count: int) -> None:
    command = [sys.executable, "-m", "bench.sinks.fill", str(state_dir), stream, str(count)]
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise RuntimeError("the spool could not be filled")


def fill(state_dir: Path, stream: str, count: int) -> None:
    bounds = Bounds(max_bytes=10**12, max_seconds=10**9)
    store = Store(state_dir / FILE_NAME, RememberingLog(), BOOT_ID.read_text().strip(), bounds, lambda: None)
    record = records.result(stream)
    for begin in range(0, count, BATCH):
        store.append_all(
            [(stream, partial(encode, record, str(uuid6.uuid7()))) for _ in range(min(BATCH, count - begin))]
        )
    store.close()


if __name__ == "__main__":
    fill(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
