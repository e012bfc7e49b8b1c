"""The watch over this process's memory, on the real figure and on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from overshootd import memory
from overshootd.memory import YOUNGEST_SECONDS, resident_mb
from tests.remembering import RememberingLog

STEP = 60.0


class Machine:
    """A process's memory, minute by minute; it stays at the last."""

    def __init__(self, *used: float) -> None:
        self.minute = 0
        self._used = used

    def clock(self) -> float:
        return 1e6 + self.minute * STEP

    def used_mb(self) -> float:
        self.minute += 1
        return self._used[min(self.minute, len(self._used)) - 1]


@pytest.fixture(autouse=True)
def looks_follow_each_other_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LOOK_SECONDS", 0.0)


@pytest.fixture
def occupied() -> Iterator[float]:
    """64 MB that are used, so that the kernel cannot but count them."""
    before = resident_mb()
    ballast = bytearray(b"x") * (64 << 20)
    yield before
    del ballast


async def watched(machine: Machine, limit: float, minutes: int) -> tuple[int | None, list[str]]:
    """The minute in which a restart was asked for, if one was within `minutes`, and what was told."""
    log, asked = RememberingLog(), asyncio.Event()
    watching = asyncio.create_task(memory.run(limit, asked.set, log, used_mb=machine.used_mb, clock=machine.clock))
    while not watching.done() and machine.minute < minutes:  # noqa: ASYNC110  # time is what the machine says
        await asyncio.sleep(0)
    watching.cancel()
    await asyncio.wait([watching])
    return (machine.minute if asked.is_set() else None), log.lines


def test_the_figure_is_what_the_kernel_counts(occupied: float) -> None:
    assert 60 < resident_mb() - occupied < 80


async def test_growth_past_the_limit_asks_once_and_says_why() -> None:
    grows = [100.0] * 90 + [100.0 + 5 * n for n in range(100)]
    minute, told = await watched(Machine(*grows), 400, 500)
    assert minute == 90 + 62
    (line,) = told
    assert "405 MB" in line and "restarting, streams are kept" in line


async def test_what_is_too_much_from_the_start_is_told_and_lived_with() -> None:
    minute, told = await watched(Machine(300), 100, 5000)
    assert minute is None
    assert ["minutes old" in told[0], "raise it above 375" in told[1], len(told)] == [True, True, 2]


async def test_too_much_within_the_first_hour_waits_for_its_end() -> None:
    minute, told = await watched(Machine(*[100.0] * 15, 900.0), 400, 500)
    assert minute == YOUNGEST_SECONDS / STEP
    assert len(told) == 2


async def test_one_that_comes_and_goes_around_the_limit_is_told_once() -> None:
    minute, told = await watched(Machine(*[390.0, 410.0] * 500), 400, 900)
    assert minute is None
    assert len(told) == 2
