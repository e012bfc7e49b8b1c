"""The thread around an encoder: what it gives in time is delivered, and what it gives too late is not."""

from __future__ import annotations

import asyncio
import threading

from overshootd.contracts import AccessUnit, Picture, PixelFormat
from overshootd.errors import Permanent
from overshootd.publish.worker import Worker

PICTURE = Picture(bytes(6), 2, 2, PixelFormat.I420, 0)
UNIT = AccessUnit(b"\0\0\0\1\x65x", 2, 2, True, 0)
BOUND = 30.0


class Driver:
    """One that takes until it is let go for each picture, and fails when it is told to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()
        self._failure = failure
        self.closed = False

    def encode(self, picture: Picture, *, keyframe: bool = False) -> list[AccessUnit]:
        self.begun.set()
        self.let_go.wait(BOUND)
        if self._failure is not None:
            raise self._failure
        return [UNIT]

    def set_kbps(self, kbps: int) -> None:
        """Any rate is as good as another."""

    def close(self) -> None:
        self.closed = True


def nothing(_: object) -> None:
    raise AssertionError("unreachable")


async def test_what_it_gives_is_delivered() -> None:
    delivered: asyncio.Queue[AccessUnit] = asyncio.Queue(1)
    driver = Driver()
    driver.let_go.set()
    worker = Worker(driver, delivered.put_nowait, nothing)
    worker.start()
    worker.put(PICTURE)
    async with asyncio.timeout(BOUND):
        assert await delivered.get() == UNIT
    assert await worker.stop(BOUND)
    assert driver.closed


async def test_what_it_gives_after_the_end_goes_nowhere() -> None:
    driver, delivered = Driver(), list[AccessUnit]()
    worker = Worker(driver, delivered.append, nothing)
    worker.start()
    worker.put(PICTURE)
    assert await asyncio.to_thread(driver.begun.wait, BOUND)
    assert not await worker.stop(0.0)
    driver.let_go.set()
    assert await worker.stop(BOUND), "it ends once the driver returns, and all that it told was heard before"
    assert driver.closed
    assert delivered == []


async def test_a_failure_is_told_and_ends_the_thread() -> None:
    told: asyncio.Queue[str] = asyncio.Queue(1)
    driver = Driver(Permanent("out of order"))
    driver.let_go.set()
    worker = Worker(driver, nothing, told.put_nowait)
    worker.start()
    worker.put(PICTURE)
    async with asyncio.timeout(BOUND):
        assert await told.get() == "out of order"
    assert await worker.stop(BOUND)
