"""The disk's thread keeps order, and a wedged disk keeps nobody."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from overshootd.errors import SpoolError
from overshootd.sinks import disk as module
from overshootd.sinks.disk import Disk


async def test_jobs_run_in_order_in_one_thread_that_is_not_ours() -> None:
    disk = Disk()
    seen: list[int] = []

    def job(number: int) -> int:
        seen.append(number)
        return threading.get_ident()

    threads = await asyncio.gather(*(disk.run(job, number) for number in range(50)))
    assert seen == list(range(50))
    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads
    assert await disk.close(5)


async def test_an_error_reaches_the_caller_and_the_next_job_runs() -> None:
    disk = Disk()
    with pytest.raises(ZeroDivisionError):
        await disk.run(lambda: 1 // 0)
    assert await disk.run(lambda: 2) == 2
    assert await disk.close(5)


async def test_closing_lets_waiting_jobs_finish() -> None:
    disk = Disk()
    started = threading.Event()
    slow = asyncio.create_task(disk.run(started.wait, 5))
    last = asyncio.create_task(disk.run(lambda: "last"))
    await asyncio.sleep(0)  # both are asked for
    started.set()
    assert await disk.close(5)
    assert await slow
    assert await last == "last"
    with pytest.raises(SpoolError):
        await disk.run(lambda: None)


async def test_a_wedged_disk_delays_the_end_by_no_more_than_was_granted() -> None:
    disk, wedge = Disk(), threading.Event()
    stuck = asyncio.create_task(disk.run(wedge.wait, 60))
    await asyncio.sleep(0)
    begin = time.monotonic()
    assert not await disk.close(0.05)
    assert time.monotonic() - begin < 5
    wedge.set()
    await stuck
    assert await disk.close(5)


async def test_a_job_whose_caller_gave_up_before_its_turn_is_not_done() -> None:
    disk, wedge, done = Disk(), threading.Event(), threading.Event()
    stuck = asyncio.create_task(disk.run(wedge.wait, 60))
    waiting = asyncio.create_task(disk.run(done.set))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    wedge.set()
    await stuck
    assert await disk.close(5)
    assert not done.is_set()


async def test_callers_are_refused_when_too_many_jobs_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 3)
    disk, wedge = Disk(), threading.Event()
    tasks = [asyncio.create_task(disk.run(wedge.wait, 60)) for _ in range(10)]
    await asyncio.sleep(0)
    refused = [task for task in tasks if task.done()]
    assert refused
    assert all(isinstance(task.exception(), SpoolError) for task in refused)
    wedge.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await disk.close(5)
