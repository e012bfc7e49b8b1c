"""The kernel tells us first: over netlink, without NetworkManager, and also where nobody else would say it.

pyroute2 asks for routes. What is said is not read with it: to parse the 900 messages a second of a busy bridge took
23 % of a core, and was too slow. That something was said is all that has to be known; then the kernel is asked, which
with three hosts takes 1.1 % of a core under 1000 messages a second, and 0.05 % where it is quiet.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import NoReturn, Protocol, Self

from pyroute2 import AsyncIPRoute, NetlinkDecodeError, NetlinkError  # type: ignore[import-untyped]  # it has no annotations
from pyroute2.netlink import rtnl  # type: ignore[import-untyped]  # as above

from overshootd.backoff import Backoff
from overshootd.condition import Condition
from overshootd.contracts import Log
from overshootd.groups import TaskGroup
from overshootd.paths import HINT_SECONDS, Budget, Change, Peer, Way, Ways, compare, looked_at
from overshootd.peers import Names, Resolve, peers, resolve

GROUPS = (
    rtnl.RTMGRP_LINK
    | rtnl.RTMGRP_IPV4_IFADDR
    | rtnl.RTMGRP_IPV4_ROUTE
    | rtnl.RTMGRP_IPV4_RULE
    | rtnl.RTMGRP_IPV6_IFADDR
    | rtnl.RTMGRP_IPV6_ROUTE
    | rtnl.RTMGRP_IPV6_RULE
)
"""Links too: when one goes down, the kernel drops its IPv4 routes without a word about them."""

HEARD_BYTES, DRAINED = 4096, 1000
"""Of the socket's buffer: a few messages. More need not fit, for what does not is told (ENOBUFS), and costs nothing.
And so many messages are dropped in one go, many times what fits."""

STEP_SECONDS = 0.025
"""While messages come, one looks for more so often; to be woken by each of 1000 a second took 5 to 7 % of a core."""

TICK_SECONDS = 5.0
"""Peers come and go, and the kernel itself may turn to another router without a word: so it is asked so often."""

ANSWER_SECONDS = 5.0
"""For all of the kernel's answers. It needs none of them."""

REOPEN = Backoff(base=1.0, cap=60.0)

NO_WAY = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL}  # no route; unreachable, prohibited, black hole
    | {errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EADDRNOTAVAIL, errno.ENODEV}  # no such family here; going away
)

REFUSED_TYPES = frozenset({6, 7, 8})
"""RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT (linux/rtnetlink.h)."""

LINK_LOCAL = "fe80:"

SIOCGIFFLAGS, IFF_RUNNING = 0x8913, 0x40
"""linux/sockios.h, linux/if.h. By ioctl, for RTM_GETLINK waits for whoever changes interfaces at the moment."""

_IFREQ = struct.Struct("16sH22x")


class Kernel(Protocol):
    """Who knows the ways. All of it raises OSError."""

    async def way(self, address: str) -> Way | None:
        """How packets to this address leave."""

    async def happened(self) -> None:
        """Return when something has changed: a link, an address, a route, a rule."""

    def drain(self) -> bool:
        """Whether more has happened meanwhile."""


class Netlink:
    """Satisfies Kernel."""

    def __init__(self) -> None:
        """Raises OSError where there is no netlink."""
        self._heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        try:
            self._heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HEARD_BYTES)
            self._heard.bind((0, GROUPS))
        except OSError:
            self._heard.close()
            raise
        self._asked = AsyncIPRoute()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._asked.close()
        self._heard.close()

    async def way(self, address: str) -> Way | None:
        try:
            [answer] = await self._asked.route("get", dst=address)
        except NetlinkError as error:
            if error.code in NO_WAY:
                return None
            raise OSError(error.code, os.strerror(error.code)) from error
        except NetlinkDecodeError as error:
            raise OSError(errno.EBADMSG, f"its answer is not understood: {error.exception}") from error
        index, source = answer.get_attr("RTA_OIF"), answer.get_attr("RTA_PREFSRC")
        if answer["type"] in REFUSED_TYPES or not index or not _serves(source, address):
            return None
        interface = self._running(index)
        return Way(index, interface, source, answer.get_attr("RTA_GATEWAY")) if interface else None

    def _running(self, index: int) -> str | None:
        """The interface's name, None when it is not there or carries nothing at the moment: no cable, no station."""
        try:
            name = socket.if_indextoname(index)
            answer = fcntl.ioctl(self._heard, SIOCGIFFLAGS, _IFREQ.pack(name.encode(), 0))
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENODEV):
                return None
            raise
        _, flags = _IFREQ.unpack(answer)
        return name if flags & IFF_RUNNING else None

    async def happened(self) -> None:
        try:
            # One byte of it: the rest is dropped.
            await asyncio.get_running_loop().sock_recv(self._heard, 1)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise

    def drain(self) -> bool:
        for number in range(DRAINED):
            try:
                self._heard.recv(1)
            except BlockingIOError:
                return number > 0
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
        return True


def _serves(source: str | None, address: str) -> bool:
    """Whether packets from there get to the address and back. In its first seconds a link has no other IPv6 address
    than its own local one, and the kernel takes that for everything."""
    return source is not None and (not source.startswith(LINK_LOCAL) or address.startswith(LINK_LOCAL))


class Network:
    """Watches the ways to our peers. Satisfies contracts.Paths.

    `hosts` gives the names or addresses that are of interest now. `on_change` is called in the event loop with each
    change, before whoever waits in `changed` goes on.
    """

    def __init__(
        self,
        hosts: Callable[[], Collection[str]],
        log: Log,
        on_change: Callable[[Change], None],
        *,
        resolve: Resolve = resolve,
        kernel: Callable[[], AbstractAsyncContextManager[Kernel]] = Netlink,
        budget: Budget | None = None,
        tick: float = TICK_SECONDS,
        reopen: Backoff = REOPEN,
    ) -> None:
        self._hosts, self._log, self._on_change = hosts, log, on_change
        self._names = Names(hosts, resolve, log)
        self._kernel, self._tick, self._reopen = kernel, tick, reopen
        self._budget = budget or Budget()
        self._works = Condition(log, "watching the network", time.monotonic)
        self._ways: Ways = {}
        self._owed: Change | None = None
        """The last change that the budget let start nothing."""
        self._flapping = False
        """That the budget is used up has been said, and it is not full again yet."""
        self._changes = 0
        self._changed = asyncio.Event()

    @property
    def changes(self) -> int:
        return self._changes

    async def changed(self, since: int) -> int:
        while self._changes <= since:
            await self._changed.wait()
        return self._changes

    async def run(self) -> NoReturn:
        async with TaskGroup() as tasks:
            tasks.create_task(self._names.run(), name="names")
            tasks.create_task(self._watch(), name="routes")
        raise AssertionError("unreachable: the tasks never return")

    async def _watch(self) -> NoReturn:
        attempt = 0
        while True:
            try:
                async with self._kernel() as kernel:
                    while True:
                        await self._look(kernel)
                        self._works.good()
                        attempt = 0
                        await self._listen(kernel)
            except Exception as error:  # noqa: BLE001 - whatever it is, streams go on without being told
                why = (error.strerror if isinstance(error, OSError) else repr(error)) or "no answer"
                self._works.bad(f"the kernel does not tell of changes ({why}); they are found by what fails")
            await asyncio.sleep(self._reopen.delay(attempt, random.uniform))
            attempt += 1

    async def _listen(self, kernel: Kernel) -> None:
        """Return when there is a reason to look."""
        patience = min(self._tick, self._budget.wait(time.monotonic())) if self._due() else self._tick
        try:
            async with asyncio.timeout(patience):
                await kernel.happened()
        except TimeoutError:
            return
        first = last = now = time.monotonic()
        while now < looked_at(first, last):
            await asyncio.sleep(STEP_SECONDS)
            now = time.monotonic()
            if kernel.drain():
                last = now

    async def _look(self, kernel: Kernel) -> None:
        hosts = self._hosts()
        self._names.again_for(hosts)
        wanted = peers(sorted(hosts), self._names.addresses)
        async with asyncio.timeout(ANSWER_SECONDS):
            now = await _ways(kernel, {*wanted, *self._ways})
        change = compare(self._ways, now)
        self._ways = {peer: now[peer] for peer in wanted}
        if change:
            self._names.again()
            self._tell(change)
        elif (owed := self._due()) and self._budget.take(time.monotonic()):
            self._start(owed)

    def _due(self) -> Change | None:
        """The change that is owed, if anything can be done about it."""
        return self._owed if any(self._ways.values()) else None

    def _tell(self, change: Change) -> None:
        """Log it, and let it start what the budget allows."""
        now = time.monotonic()
        self._flapping = self._flapping and not self._budget.full(now)
        if change.start and self._budget.take(now):
            self._start(change)
            return
        if change.start:
            self._owed = change
        if self._flapping:
            self._log.debug(change.text)
        elif change.start:
            self._flapping = True
            self._log.warning(f"{change.text}; routes change so often that only one in {HINT_SECONDS:g} s is followed")
        else:
            self._log.warning(change.text)
        self._on_change(replace(change, start=False))

    def _start(self, change: Change) -> None:
        self._log.info(change.text)
        self._owed = None
        self._changes += 1
        self._on_change(change)
        self._changed.set()
        self._changed = asyncio.Event()


async def _ways(kernel: Kernel, asked: Iterable[Peer]) -> dict[Peer, Way | None]:
    asked = list(asked)
    ways = {address: await kernel.way(address) for address in {peer.address for peer in asked}}
    return {peer: ways[peer.address] for peer in asked}
