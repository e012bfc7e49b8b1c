"""Bytes that reach the device: what the block layer of a loop ext4 counts as written, beside a file that is synced
after each line.

Time may run `speed` times as fast, with as many results for each sync, so that checkpoints and deletions have their
share. But what the kernel writes by itself is then less in proportion: every five seconds the journal has the times of
whatever file was written to. `speed` 1 has it all.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.process import Failure
from bench.sinks import records
from bench.sinks.figures import Line
from bench.sinks.pipe import STAGE, Pipe
from tests.integration.mosquitto import mosquitto
from tests.ledger.disk import small_disk

STREAM = "front-door"
INTERVAL = 2.0
"""Seconds between two results, before `speed`."""

MEGABYTES = 256
BLOCK = 4096
"""Bytes of a filesystem's block, as on any card; a small one would be made with less."""

SECTOR = 512
ALREADY = 3000
"""Results before those that count: by then the spool's write-ahead log has its size."""

IDLE_SECONDS = 60.0
"""In which nothing happens; not sped up."""

SETTLE_SECONDS = 8.0
"""For what the kernel still has to write: the journal is committed every five seconds."""

RARELY = 5
"""Lines to an fsync: as often as `sync_seconds` 10. What nobody can be below who writes each line at once."""

TARGET = 0.25


@dataclass(frozen=True, slots=True)
class Way:
    """How results reach a disk of its own."""

    name: str
    sync_seconds: float
    files: bool
    broker: bool
    staged: bool = True


BOTH = Way("spool and file, sync_seconds 10", 10.0, files=True, broker=False)
WAYS = (
    BOTH,
    Way("spool and MQTT, sync_seconds 10", 10.0, files=False, broker=True),
    Way("spool and file, sync_seconds 0.5", 0.5, files=True, broker=False),
    Way("spool and file, sync_seconds 10, without a stage", 10.0, files=True, broker=False, staged=False),
)


async def device(folder: Path, count: int, speed: float, *, idle: bool = True) -> list[Line]:
    """All of them in the same time, each on its own disk."""
    with ExitStack() as disks:
        places = [
            disks.enter_context(small_disk(folder / f"disk-{number}", MEGABYTES, block=BLOCK)).path
            for number in range(len(WAYS) + 2)
        ]
        async with (
            mosquitto(folder / "mosquitto", persistence=False) as server,
            asyncio.TaskGroup() as tasks,
        ):
            url = f"mqtt://127.0.0.1:{server.port}"
            ours = [
                tasks.create_task(_ours(way, path, folder / STAGE, url if way.broker else None, count, speed, idle))
                for way, path in zip(WAYS, places, strict=False)
            ]
            plain = tasks.create_task(_plain(places[-1], count, speed, 1))
            rarely = tasks.create_task(_plain(places[-2], count, speed, RARELY))
    return _lines([one.result() for one in ours], plain.result(), rarely.result(), count)


def _lines(ours: Sequence[tuple[int, int | None]], plain: int, rarely: int, count: int) -> list[Line]:
    lines = []
    for way, (written, at_rest) in zip(WAYS, ours, strict=True):
        target = TARGET if way is BOTH else None
        ratio = written / plain
        name = f"bytes on the device, {way.name}"
        lines.append(Line(name, _told(written, count), ratio, "fsync a line", _told(plain, count), ratio, target))
        if way is BOTH and at_rest is not None:
            name = f"bytes on the device in {IDLE_SECONDS:g} s without a result"
            lines.append(Line(name, f"{at_rest}", at_rest, target=0.0))
    name = f"bytes on the device, no spool, fsync every {RARELY * INTERVAL:g} s"
    return [
        *lines,
        Line(name, _told(rarely, count), rarely / plain, "fsync a line", _told(plain, count), rarely / plain),
    ]


def _told(written: int, count: int) -> str:
    day = written / count * 86_400 / INTERVAL
    return f"{written / count:,.0f} a result, {day / 1e6:,.0f} MB/day"


async def _ours(
    way: Way, path: Path, stage: Path, broker: str | None, count: int, speed: float, idle: bool
) -> tuple[int, int | None]:
    """Bytes for `count` results, and, with `idle`, for IDLE_SECONDS without any."""
    pipe = Pipe(
        path / "state",
        [STREAM],
        files=path / "results" if way.files else None,
        broker=broker,
        sync_seconds=way.sync_seconds / speed,
        stage=stage if way.staged else None,
    )

    async def work(pipe: Pipe) -> tuple[int, int | None]:
        for _ in range(ALREADY):
            await pipe.append(records.result(STREAM))
        await asyncio.sleep(max(SETTLE_SECONDS, 3 * way.sync_seconds / speed))
        before = written(path)
        for _ in range(count):
            await pipe.append(records.result(STREAM))
            await asyncio.sleep(INTERVAL / speed)
        await asyncio.sleep(2 * way.sync_seconds / speed)
        busy = written(path) - before
        if not idle:
            return busy, None
        await asyncio.sleep(SETTLE_SECONDS)
        before = written(path)
        await asyncio.sleep(IDLE_SECONDS)
        return busy, written(path) - before

    return await pipe.during(work)


async def _plain(path: Path, count: int, speed: float, every: int) -> int:
    """Lines that are written as they come, and an fsync after so many."""
    line = b"x" * records.size() + b"\n"
    descriptor = os.open(path / "results.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line)
        await asyncio.sleep(SETTLE_SECONDS)
        before = written(path)
        for number in range(1, count + 1):
            os.write(descriptor, line)
            if not number % every:
                await asyncio.to_thread(os.fsync, descriptor)
            await asyncio.sleep(INTERVAL / speed)
        return written(path) - before
    finally:
        os.close(descriptor)


def written(path: Path) -> int:
    """Bytes written to the device on which this is, since it is there; all that the kernel holds goes there first."""
    subprocess.run(["sync", "--file-system", str(path)], check=True)
    number = path.stat().st_dev
    stat = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat")
    if not stat.exists():
        raise Failure("bytes on a device are counted on loop devices, and there are none here")
    return int(stat.read_text().split()[6]) * SECTOR
