"""Lookups that hang hold nobody up once the path has changed, and never take more than so many threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from overshootd.resolver import PATHS, THREADS, Resolver

BOUND = 10.0


@pytest.fixture
def dead() -> Iterator[threading.Event]:
    """A resolver that does not answer: waiting for it, as getaddrinfo would, ends with the test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
async def resolver() -> Resolver:
    return Resolver(asyncio.get_running_loop())


def hang(dead: threading.Event, lookups: int = THREADS) -> list[asyncio.Future[bool]]:
    return [asyncio.get_running_loop().run_in_executor(None, dead.wait) for _ in range(lookups)]


async def look_up() -> None:
    await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 443)


def dns_threads() -> int:
    return sum(thread.name.startswith("dns") for thread in threading.enumerate())


async def test_a_lookup_after_the_change_does_not_queue_behind_those_that_hang(
    resolver: Resolver, dead: threading.Event
) -> None:
    hung = hang(dead)
    queued = asyncio.create_task(look_up())
    await asyncio.sleep(0)  # it is in the queue
    resolver.renew()
    async with asyncio.timeout(BOUND):
        await look_up()
    assert not queued.done()
    dead.set()
    await asyncio.gather(queued, *hung)


async def test_a_lookup_that_was_queued_is_done_when_the_resolver_answers(
    resolver: Resolver, dead: threading.Event
) -> None:
    hung = hang(dead)
    queued = asyncio.create_task(look_up())
    await asyncio.sleep(0)  # it is in the queue
    resolver.renew()
    dead.set()
    async with asyncio.timeout(BOUND):
        await asyncio.gather(queued, *hung)


async def test_paths_that_change_again_and_again_take_no_more_than_so_many_threads(
    resolver: Resolver, dead: threading.Event
) -> None:
    hung = []
    for _ in range(3 * PATHS):
        hung += hang(dead)
        resolver.renew()
    assert dns_threads() == PATHS * THREADS
    dead.set()
    await asyncio.gather(*hung)


async def test_threads_that_hung_end(resolver: Resolver, dead: threading.Event) -> None:
    hung = hang(dead)
    ending = [thread for thread in threading.enumerate() if thread.name.startswith("dns")]
    resolver.renew()
    dead.set()
    await asyncio.gather(*hung)
    for thread in ending:
        thread.join(BOUND)
        assert not thread.is_alive()


async def test_the_end_of_the_loop_waits_for_no_lookup_that_hangs(resolver: Resolver, dead: threading.Event) -> None:
    hung = hang(dead)
    resolver.close()
    async with asyncio.timeout(BOUND):
        await asyncio.get_running_loop().shutdown_default_executor()
    dead.set()
    await asyncio.gather(*hung)
