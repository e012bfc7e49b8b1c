"""A network namespace for one test, in the test's own thread, with two uplinks; and a watcher of it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import groupby

from overshootd.backoff import Backoff
from overshootd.network import Netlink, Network
from overshootd.paths import Budget, Change
from tests.integration.feed_bench import Journal

BOUND = 10.0
PATIENCE = 60.0
"""Seconds. Whoever waits for the watcher to look by itself waits for a test's end."""

CLONE_NEWNET = 0x40000000  # linux/sched.h

UPLINKS = """
    link set lo up
    link add eth0 type veth peer name cable0
    link add wlan1 type veth peer name cable1
    link set cable0 addrgenmode none up
    link set cable1 addrgenmode none up
    link set eth0 addrgenmode none up
    link set wlan1 addrgenmode none up
    addr add 192.0.2.2/24 dev eth0
    addr add 198.51.100.2/24 dev wlan1
    addr add 2001:db8:a::2/64 dev eth0 nodad
    addr add 2001:db8:b::2/64 dev wlan1 nodad
    route add default via 192.0.2.1 dev eth0
    -6 route add default via 2001:db8:a::1 dev eth0
"""
"""The cables' other ends are in the same namespace: a cable is pulled by setting its end down.
Without addresses that the kernel makes by itself, which it would talk of for two seconds."""


def ip(commands: str) -> None:
    """As one: nothing in this thread sees what is in between."""
    lines = [line.strip() for line in commands.strip().splitlines()]
    # -batch takes the family only for all of its lines
    for six, batch in groupby(lines, key=lambda line: line.startswith("-6 ")):
        text = "\n".join(line.removeprefix("-6 ") for line in batch)
        subprocess.run(["ip", *(["-6"] if six else []), "-batch", "-"], input=text, check=True, text=True, timeout=10)


@contextmanager
def namespace() -> Iterator[None]:
    """Sockets that this thread opens meanwhile, and programs that it starts, are in there. It ends with them."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _call("unshare", CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", home, CLONE_NEWNET)
    finally:
        os.close(home)


def _call(function: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # os.unshare and os.setns are there from Python 3.12 on
    if getattr(libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


class Ear(Netlink):
    """Says when it begins to listen: then all is looked at that had been said before."""

    def __init__(self, listens: Callable[[bool], None]) -> None:
        super().__init__()
        self._listens = listens

    async def happened(self) -> None:
        self._listens(True)
        await super().happened()
        self._listens(False)


@dataclass
class Watch:
    """A Network at work, and all that it said. `hosts` and `known` may be changed meanwhile."""

    hosts: list[str]
    known: dict[str, list[str]] = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal)
    said: list[Change] = field(default_factory=list)
    refused: int = 0
    """How often opening is still refused."""
    looks: int = 0
    _listening: bool = False
    _happened: asyncio.Event = field(default_factory=asyncio.Event)

    async def resolve(self, host: str) -> Collection[str]:
        if host not in self.known:
            raise OSError("Temporary failure in name resolution")
        return self.known[host]

    def kernel(self) -> Ear:
        if self.refused:
            self.refused -= 1
            raise PermissionError(1, "Operation not permitted")
        return Ear(self._listens)

    def heard(self, change: Change) -> None:
        self.said.append(change)
        self._happened.set()

    def _listens(self, now: bool) -> None:
        self.looks += now
        self._listening = now
        self._happened.set()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND):
            while not true():
                self._happened.clear()
                await self._happened.wait()

    async def looked(self) -> None:
        """All that the kernel said up to now has been looked at."""
        await self.until(lambda: self._listening)
        looks = self.looks
        ip(f"link set lo alias {looks}")  # one more word, so that the next look is surely after the others
        await self.until(lambda: self.looks > looks)

    async def next(self) -> Change:
        """The change that comes next, alone; all before must have been taken."""
        await self.until(lambda: bool(self.said))
        await self.looked()
        [change] = self.said
        self.said.clear()
        return change


@asynccontextmanager
async def watching(watch: Watch, budget: Budget | None = None, tick: float = PATIENCE) -> AsyncIterator[Network]:
    network = Network(
        lambda: watch.hosts,
        watch.journal,
        watch.heard,
        resolve=watch.resolve,
        kernel=watch.kernel,
        budget=budget,
        tick=tick,
        reopen=Backoff(base=0.01, cap=0.05),
    )
    running = asyncio.create_task(network.run())
    try:
        await watch.looked()
        yield network
    finally:
        running.cancel()
        await asyncio.wait([running])
        if not running.cancelled():
            running.result()
