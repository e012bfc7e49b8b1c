"""Real messages of the kernel wake whoever waits for a camera; where there are none, that is said once."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from overshootd.capture.hotplug import SETTLE_SECONDS, Hotplug, listen
from tests.integration.feed_bench import BOUND, Journal

NULL = Path("/sys/class/mem/null/uevent")
"""Whoever writes an action here makes the kernel say it again of /dev/null; nothing else happens."""

VIDEO = b"add@/devices/x/video0\0ACTION=add\0DEVPATH=/devices/x/video0\0SUBSYSTEM=video4linux\0"
NETWORK = b"add@/devices/x/eth0\0ACTION=add\0DEVPATH=/devices/x/eth0\0SUBSYSTEM=net\0"


class Woken:
    """Counts, and can be waited for."""

    def __init__(self) -> None:
        self.times = 0
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self.times += 1
        self._event.set()

    async def wait(self, bound: float = BOUND) -> None:
        async with asyncio.timeout(bound):
            await self._event.wait()
        self._event.clear()


@asynccontextmanager
async def watching(hotplug: Hotplug) -> AsyncIterator[asyncio.Task[None]]:
    running = asyncio.create_task(hotplug.run())
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.wait([running])


@pytest.fixture
def say() -> Callable[[str], object]:
    """Makes the kernel speak."""
    if not os.access(NULL, os.W_OK):
        decide = pytest.fail if os.environ.get("CI") else pytest.skip
        decide("only root can make the kernel speak of a device")
    return NULL.write_text


async def test_the_kernels_own_word_wakes(say: Callable[[str], object]) -> None:
    woken = Woken()
    heard = listen()  # opened here, so that nothing is said before somebody listens
    async with watching(Hotplug(woken, Journal(), subsystems={"mem"}, open_socket=lambda: heard)):
        for action in ("add", "remove"):
            say(action)
            await woken.wait()


@pytest.fixture
def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    return ours, theirs


async def test_a_burst_wakes_once(pair: tuple[socket.socket, socket.socket]) -> None:
    heard, kernel = pair
    woken = Woken()
    with kernel:
        async with watching(Hotplug(woken, Journal(), open_socket=lambda: heard)):
            for _ in range(20):
                kernel.send(VIDEO)
            await woken.wait()
            assert woken.times == 1
            kernel.send(VIDEO)
            await woken.wait()


async def test_other_devices_and_rubbish_wake_nobody(pair: tuple[socket.socket, socket.socket]) -> None:
    heard, kernel = pair
    woken = Woken()
    with kernel:
        async with watching(Hotplug(woken, Journal(), open_socket=lambda: heard)):
            for message in (NETWORK, b"libudev\0", b"x", VIDEO.replace(b"=add", b"=unbind")):
                kernel.send(message)
            with pytest.raises(TimeoutError):
                await woken.wait(SETTLE_SECONDS * 3)
            kernel.send(VIDEO)
            await woken.wait()


async def test_a_machine_that_tells_nothing_is_said_once() -> None:
    def refuse() -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    journal = Journal()
    async with watching(Hotplug(Woken(), journal, open_socket=refuse)) as running:
        async with asyncio.timeout(BOUND):
            await running
    assert len(journal.infos) == 1 and "not supported by protocol" in journal.infos[0]
