"""What is counted by day: added up over restarts and troubles of the disk, under the right day, and seldom written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import pytest

from overshootd.contracts import Count
from overshootd.errors import SpoolError
from overshootd.sinks import tally
from overshootd.sinks.database import Connection
from overshootd.sinks.disk import Disk
from overshootd.sinks.spool import Spool
from overshootd.sinks.tally import KEPT_DAYS, DayTally, Within
from tests.remembering import RememberingLog

T = TypeVar("T")
ONE = Count(seconds=15.0, cents=0.3, bytes_up=7000, bytes_down=640, received=7, due=7.5)


@dataclass
class Bench:
    """The clock, which the test moves, and a spool whose disk it can fill."""

    folder: Path
    at: datetime = field(default_factory=lambda: datetime(2026, 11, 24, 12, 0, tzinfo=UTC))
    synced: bool = True
    full: bool = False
    writes: int = 0
    log: RememberingLog = field(default_factory=RememberingLog)

    @asynccontextmanager
    async def process(self) -> AsyncIterator[DayTally]:
        """From its start to its end in order, a second time over the same spool."""
        async with self._spool() as spool:
            one = DayTally(self._unless_full(spool), ZoneInfo("Europe/Berlin"), self._is_synced, self.log, self._wall)
            await one.load()
            yield one
            await one.flush()

    @asynccontextmanager
    async def _spool(self) -> AsyncIterator[Spool]:
        disk = Disk()
        spool = Spool(self.folder, disk, self.log)
        try:
            yield spool
        finally:
            await spool.close(5.0)
            await disk.close(5.0)

    def _is_synced(self) -> bool:
        return self.synced

    def _wall(self) -> float:
        return self.at.timestamp()

    def _unless_full(self, spool: Spool) -> Within:
        bench = self

        class Guarded:
            def __call__(self, function: Callable[[Connection], T], /) -> Awaitable[T]:
                bench.writes += 1
                return bench.guarded(spool, function)

        return Guarded()

    async def guarded(self, spool: Spool, function: Callable[[Connection], T]) -> T:
        if self.full:
            raise SpoolError("no space left on the disk")
        return await spool.within(function)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_day_is_added_up_over_restarts(bench: Bench) -> None:
    for _ in range(3):
        async with bench.process() as one:
            one.add("gate", ONE)
            one.add("yard", Count(received=1))
    async with bench.process() as one:
        assert one.today() == {"gate": ONE + ONE + ONE, "yard": Count(received=3)}


async def test_what_was_not_written_yet_counts_for_who_asks(bench: Bench) -> None:
    async with bench.process() as one:
        one.add("gate", ONE)
        await one.flush()
        one.add("gate", ONE)
        assert one.today() == {"gate": ONE + ONE}


async def test_a_day_begins_at_midnight_in_the_devices_time_zone(bench: Bench) -> None:
    async with bench.process() as one:
        bench.at = datetime(2026, 11, 24, 22, 59, tzinfo=UTC)
        one.add("gate", ONE)
        bench.at = datetime(2026, 11, 24, 23, 1, tzinfo=UTC)
        assert one.today() == {}
        one.add("gate", ONE)
        assert one.today() == {"gate": ONE}
        assert list(await one.days()) == [("2026-11-24", "gate"), ("2026-11-25", "gate")]


async def test_what_comes_before_the_clock_is_set_goes_to_the_day_on_which_it_is(bench: Bench) -> None:
    bench.synced, bench.at = False, datetime(1970, 1, 1, tzinfo=UTC)
    async with bench.process() as one:  # and a restart in between
        one.add("gate", ONE)
        assert one.today() == {"gate": ONE}
    async with bench.process() as one:
        assert one.today() == {"gate": ONE}
        one.add("gate", ONE)
        bench.synced, bench.at = True, datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
        one.add("gate", ONE)
        await one.flush()
        assert await one.days() == {("2026-11-24", "gate"): ONE + ONE + ONE}
        assert one.today() == {"gate": ONE + ONE + ONE}


async def test_where_the_clock_is_never_synced_a_day_ends_and_no_more_are_kept(bench: Bench) -> None:
    bench.synced = False
    async with bench.process() as one:
        for days in range(KEPT_DAYS + 3):
            bench.at = datetime(2024, 1, 1, 12, tzinfo=UTC) + timedelta(days=days)
            one.add("gate", ONE)
            await one.flush()
            assert one.today() == {"gate": ONE}
        assert len(await one.days()) == KEPT_DAYS + 1


async def test_days_of_a_clock_in_doubt_are_believed_but_the_last_and_those_that_cannot_be(bench: Bench) -> None:
    bench.synced = False
    async with bench.process() as one:
        for year, month in [(1970, 1), (2026, 11), (2026, 12), (2031, 1)]:
            bench.at = datetime(year, month, 5, 12, tzinfo=UTC)
            one.add("gate", ONE)
        bench.synced, bench.at = True, datetime(2026, 12, 24, 12, tzinfo=UTC)
        one.add("gate", ONE)
        await one.flush()
        assert one.today() == {"gate": ONE + ONE + ONE}
        assert [day for day, _ in await one.days()] == ["2026-11-05", "2026-12-05", "2026-12-24"]


async def test_days_of_more_than_a_year_ago_are_deleted(bench: Bench) -> None:
    async with bench.process() as one:
        one.add("gate", ONE)
        await one.flush()
        bench.at = bench.at.replace(year=2027)
        one.add("gate", ONE)
        assert len(await one.days()) == 2
        bench.at = datetime.fromtimestamp(bench.at.timestamp() + (KEPT_DAYS - 364) * 86400, UTC)
        one.add("gate", ONE)
        assert [day for day, _ in await one.days()] == ["2027-11-24", "2027-12-30"]


async def test_nothing_is_written_when_nothing_was_counted(bench: Bench) -> None:
    async with bench.process() as one:
        await one.flush()
        await one.flush()
    assert bench.writes == 1, "the day was read at the start"


async def test_a_disk_that_is_full_loses_no_count_and_is_told_once(bench: Bench) -> None:
    async with bench.process() as one:
        bench.full = True
        for _ in range(3):
            one.add("gate", ONE)
            await one.flush()
        assert one.today() == {"gate": ONE + ONE + ONE}
        bench.full = False
    async with bench.process() as one:
        assert one.today() == {"gate": ONE + ONE + ONE}
    assert len([line for line in bench.log.lines if "no space left" in line]) == 1


async def test_a_write_that_is_cut_off_is_neither_lost_nor_doubled(bench: Bench) -> None:
    async with bench.process() as one:
        one.add("gate", ONE)
        flushing = asyncio.create_task(one.flush())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        flushing.cancel()
        await asyncio.wait([flushing])
        assert one.today() == {"gate": ONE}
    async with bench.process() as one:
        assert one.today() == {"gate": ONE}


async def test_it_is_written_by_itself_where_the_spool_has_nothing_to_sync(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "FLUSH_SECONDS", 0.01)
    async with bench.process() as one:
        running = asyncio.create_task(one.run())
        one.add("gate", ONE)
        async with asyncio.timeout(5):
            while bench.writes < 2 or one.today() != {"gate": ONE}:  # noqa: ASYNC110 - another task writes
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
