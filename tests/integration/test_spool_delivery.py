"""Records reach each sink in order, the cursor follows the sink's sync, and no sink waits for another."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from overshootd.backoff import Backoff
from overshootd.errors import Transient
from overshootd.sinks.delivery import Delivery
from overshootd.sinks.disk import Disk
from overshootd.sinks.progress import Progress
from overshootd.sinks.spool import Spool
from tests.integration.sink_lab import record
from tests.remembering import RememberingLog

SOON = Backoff(base=0.001, cap=0.01)
NEVER = 3600.0
PATIENCE = 20.0


@dataclass
class Notebook:
    """A sink that keeps what it is given, fails when told to, and wakes who waits for it."""

    name: str = "notebook"
    lines: list[bytes] = field(default_factory=list)
    synced: int = 0
    failures: int = 0
    sync_failures: int = 0
    hangs: bool = False
    closed: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None: ...

    @property
    def live_first(self) -> bool:
        return False

    async def deliver(self, lines: list[bytes], *, backlog: bool = False) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.failures:
            self.failures -= 1
            raise Transient("no room")
        self.lines += lines
        self.changed.set()

    async def sync(self) -> None:
        if self.sync_failures:
            self.sync_failures -= 1
            raise Transient("no sync")
        self.synced = len(self.lines)
        self.changed.set()

    async def close(self) -> None:
        self.closed = True

    async def until(self, count: int, *, synced: bool = False) -> None:
        async with asyncio.timeout(PATIENCE):
            while (self.synced if synced else len(self.lines)) < count:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk()
    yield disk
    assert await disk.close(PATIENCE)


@pytest.fixture
async def spool(tmp_path: Path, disk: Disk) -> AsyncIterator[Spool]:
    spool = Spool(tmp_path, disk, RememberingLog())
    yield spool
    await spool.close(PATIENCE)


def deliveries(
    spool: Spool, *sinks: Notebook, log: RememberingLog | None = None, sync_seconds: float = 0.01
) -> list[tuple[Delivery, asyncio.Task[None]]]:
    cursors = spool.attach("yard", {sink.name: "" for sink in sinks})
    made = [
        Delivery(cursor, sink, log or RememberingLog(), sync_seconds=sync_seconds, backoff=SOON)
        for cursor, sink in zip(cursors, sinks, strict=True)
    ]
    return [(delivery, asyncio.create_task(delivery.run())) for delivery in made]


async def end(running: list[tuple[Delivery, asyncio.Task[None]]], within: float = PATIENCE) -> None:
    for delivery, _ in running:
        delivery.stop(within)
    await asyncio.gather(*(task for _, task in running))


async def append(spool: Spool, *texts: str) -> None:
    for text in texts:
        await spool.append(record("yard", text))


def texts(sink: Notebook) -> list[str]:
    return [line.rpartition(b'"text":"')[2].rstrip(b'"}').decode() for line in sink.lines]


def size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir())


async def test_records_arrive_in_order_as_they_come_and_are_synced_soon(spool: Spool) -> None:
    sink = Notebook()
    await append(spool, "before")
    running = deliveries(spool, sink)
    await sink.until(1)
    await append(spool, "a", "b")
    await sink.until(3, synced=True)
    assert texts(sink) == ["before", "a", "b"]
    await end(running)
    assert sink.closed


async def test_stopping_delivers_what_is_there_and_nothing_of_it_comes_again(spool: Spool) -> None:
    first, second = Notebook(), Notebook()
    running = deliveries(spool, first, sync_seconds=NEVER)
    await append(spool, *map(str, range(1000)))
    await end(running)
    assert texts(first) == [str(number) for number in range(1000)]
    running = deliveries(spool, second)
    await append(spool, "new")
    await second.until(1)
    assert texts(second) == ["new"]
    await end(running)


async def test_what_was_given_but_not_synced_comes_again_after_a_crash(tmp_path: Path, disk: Disk) -> None:
    first, second = Notebook(), Notebook()
    spool = Spool(tmp_path, disk, RememberingLog())
    [(_, task)] = deliveries(spool, first, sync_seconds=NEVER)
    await append(spool, "a", "b")
    await first.until(2)
    task.cancel()
    await asyncio.wait([task])
    await spool.close(PATIENCE)
    spool = Spool(tmp_path, disk, RememberingLog())
    running = deliveries(spool, second)
    await second.until(2)
    assert second.lines == first.lines, "the same uid tells the reader"
    await end(running)
    await spool.close(PATIENCE)


async def test_a_sink_that_fails_gets_everything_later_and_the_log_gets_two_lines(spool: Spool) -> None:
    sink, log = Notebook(failures=7), RememberingLog()
    running = deliveries(spool, sink, log=log)
    await append(spool, "a", "b", "c")
    await sink.until(3, synced=True)
    assert texts(sink) == ["a", "b", "c"]
    await end(running)
    assert log.lines == ["delivery to notebook: no room", "delivery to notebook works again"]


async def test_what_could_not_be_synced_is_given_again(spool: Spool) -> None:
    sink = Notebook(sync_failures=1)
    running = deliveries(spool, sink)
    await append(spool, "a")
    await sink.until(2, synced=True)
    assert texts(sink) == ["a", "a"]
    await end(running)


async def test_a_sink_that_hangs_holds_back_neither_another_nor_the_end(spool: Spool) -> None:
    stuck, free, log = Notebook("stuck", hangs=True), Notebook("free"), RememberingLog()
    running = deliveries(spool, stuck, free, log=log)
    await append(spool, "a", "b")
    await free.until(2, synced=True)
    begin = time.monotonic()
    await end(running, within=0.05)
    assert time.monotonic() - begin < 5
    assert log.lines == ["delivery to stuck: no time to finish; the rest is in the spool for the next start"]
    later = Notebook("stuck")
    running = deliveries(spool, later, Notebook("free"))
    await later.until(2)
    assert texts(later) == ["a", "b"]
    await end(running)


async def test_a_new_sink_begins_where_the_slowest_of_the_former_ones_was(spool: Spool) -> None:
    await append(spool, "a")
    former = Notebook("former")
    await end(deliveries(spool, former))
    assert texts(former) == ["a"]
    await append(spool, "b")
    new = Notebook("new")
    await end(deliveries(spool, new))
    assert texts(new) == ["b"]


async def test_a_sink_that_is_no_longer_configured_holds_nothing_back(spool: Spool) -> None:
    await end(deliveries(spool, Notebook("left", failures=1_000_000), Notebook("stays")), within=0.05)
    await append(spool, *map(str, range(600)))
    await end(deliveries(spool, Notebook("stays")))
    [cursor] = spool.attach("yard", {"stays": ""})
    await cursor.attach()
    assert cursor.given == Progress(600)
    late = Notebook("late")
    await end(deliveries(spool, Notebook("stays"), late))
    assert late.lines == []


async def test_where_nothing_happens_nothing_is_synced(spool: Spool) -> None:
    sink = Notebook(sync_failures=1_000_000)
    running = deliveries(spool, sink)
    await end(running)
    assert sink.sync_failures == 1_000_000


async def test_the_disk_is_synced_a_while_after_something_was_stored(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, synced = asyncio.get_running_loop(), asyncio.Event()
    spool = Spool(tmp_path, disk, RememberingLog(), sync_seconds=0.01)
    await append(spool, "makes the stream known, which syncs at once")
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: loop.call_soon_threadsafe(synced.set))
    syncing = asyncio.create_task(spool.run())
    async with asyncio.timeout(PATIENCE):
        await synced.wait()
    synced.clear()
    await append(spool, "a")
    async with asyncio.timeout(PATIENCE):
        await synced.wait()
    syncing.cancel()
    await asyncio.wait([syncing])
    await spool.close(PATIENCE)
