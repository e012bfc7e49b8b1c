"""What the tests of delivery share: sinks that do as they are told, and what runs them on a real spool."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overshootd.backoff import Backoff
from overshootd.contracts import Sink
from overshootd.errors import Rejected, Transient
from overshootd.sinks.cursor import Cursor
from overshootd.sinks.delivery import Delivery
from overshootd.sinks.disk import Disk
from overshootd.sinks.spool import Spool
from tests.integration.sink_lab import record
from tests.remembering import RememberingLog

SOON = Backoff(base=0.001, cap=0.01)
NEVER = 3600.0
PATIENCE = 20.0
TOGETHER = 500


class TellingLog(RememberingLog):
    """It remembers whom an error was about, too."""

    def __init__(self) -> None:
        super().__init__()
        self.uids: list[str] = []

    def error(self, event: str, **context: Any) -> None:
        self.lines.append(event)
        self.uids.append(context["uid"])


@dataclass
class Wire:
    """A sink that lets what is live go first. `allow_live`, `allow_backlog` and `allow_sync` hold it up while clear."""

    name: str = "wire"
    live_first: bool = True
    given: list[tuple[int, bool]] = field(default_factory=list)  # seq, and whether it came as backlog
    down: bool = False
    fails: Callable[[], bool] = lambda: False
    syncs_fail: bool = True  # as what is given does
    refused: set[int] = field(default_factory=set)
    certain: bool = False
    tried: int = 0  # how often it did not fail at once
    syncs: int = 0
    largest: int = 0
    alone: list[int] = field(default_factory=list)  # what was tried by itself
    seconds: float = 0.0  # that a record takes
    allow_live: asyncio.Event = field(default_factory=asyncio.Event)
    allow_backlog: asyncio.Event = field(default_factory=asyncio.Event)
    allow_sync: asyncio.Event = field(default_factory=asyncio.Event)
    syncing: int = 0  # how often it was begun
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.allow_live.set()
        self.allow_backlog.set()
        self.allow_sync.set()

    async def open(self) -> None: ...

    async def deliver(self, lines: list[bytes], *, backlog: bool = False) -> None:
        self.largest = max(self.largest, len(lines))
        if self.down or self.fails():
            raise Transient("the wire is cut")
        self.tried += 1
        seqs = [int(json.loads(line)["seq"]) for line in lines]
        if len(seqs) == 1:
            self.alone += seqs
        await (self.allow_backlog if backlog else self.allow_live).wait()
        if self.seconds:
            await asyncio.sleep(self.seconds * len(lines))
        if self.refused & {*seqs}:
            raise Rejected("too odd", certain=self.certain)
        self.given += [(seq, backlog) for seq in seqs]
        self.changed.set()

    async def sync(self) -> None:
        if self.syncs_fail and self.fails():
            raise Transient("the wire is cut")
        self.syncing += 1
        await self.allow_sync.wait()
        self.syncs += 1
        self.changed.set()

    async def close(self) -> None: ...

    @property
    def seqs(self) -> list[int]:
        return [seq for seq, _ in self.given]

    @property
    def live(self) -> list[int]:
        return [seq for seq, backlog in self.given if not backlog]

    @property
    def backlog(self) -> list[int]:
        return [seq for seq, backlog in self.given if backlog]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Looked at whenever something was given or synced, and now and then."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self.changed.clear()
                try:
                    async with asyncio.timeout(0.05):
                        await self.changed.wait()
                except TimeoutError:
                    continue


@dataclass
class Running:
    """A delivery under way."""

    cursor: Cursor
    delivery: Delivery
    task: asyncio.Task[None]

    async def stop(self, within: float = PATIENCE) -> None:
        self.delivery.stop(within)
        await self.task

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


def begin(
    spool: Spool,
    sink: Sink,
    log: RememberingLog | None = None,
    *,
    sync_seconds: float = 0.01,
    backoff: Backoff = SOON,
    clock: Callable[[], float] = time.monotonic,
) -> Running:
    [cursor] = spool.attach("yard", {sink.name: ""})
    log = log or RememberingLog()
    delivery = Delivery(cursor, sink, log, sync_seconds=sync_seconds, backoff=backoff, clock=clock)
    return Running(cursor, delivery, asyncio.create_task(delivery.run()))


async def append(spool: Spool, count: int, stream: str = "yard") -> None:
    """So many at once, as far as the spool lets them wait."""
    for begin in range(0, count, TOGETHER):
        await asyncio.gather(*(spool.append(record(stream)) for _ in range(begin, min(begin + TOGETHER, count))))


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Spool]:
    """A spool with a thread of its own, closed at the end."""
    disk = Disk()
    spool = Spool(path, disk, RememberingLog())
    try:
        yield spool
    finally:
        await spool.close(PATIENCE)
        assert await disk.close(PATIENCE)
