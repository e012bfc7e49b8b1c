"""Whose ways are watched: the hosts that we talk to, and their addresses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from ipaddress import ip_address
from typing import NoReturn

from overshootd.contracts import Log
from overshootd.paths import Peer

LOOKUP_SECONDS, LOOKUP_AGAIN_SECONDS = 30.0, 20.0
"""For resolving one name, and until those that could never be resolved are tried again."""

STAND_INS = ("203.0.113.1", "2001:db8::1")
"""For a host that could never be resolved: addresses of documentation (RFC 5737, RFC 3849), which nobody has, so that
their way is the default route's."""


def peers(hosts: Collection[str], addresses: Mapping[str, tuple[str, ...]]) -> list[Peer]:
    """Who is to be watched: the `addresses` of the hosts, or what stands for those that have none."""
    return [Peer(host, address) for host in hosts for address in literal(host) or addresses.get(host) or STAND_INS]


def literal(host: str) -> tuple[str, ...]:
    """The host itself where it is an address, without its scope; nothing where it is a name."""
    try:
        return (str(ip_address(host)).partition("%")[0],)
    except ValueError:
        return ()


def chosen(answers: Collection[str]) -> tuple[str, ...]:
    """Of what a name was resolved to, one address of each family.

    Nearly always all go the same way, and the kernel is asked for each at every change. The smallest, for name servers
    answer in turns. Link-local ones (with a %) have no route to ask for.
    """
    ordered = sorted(answer for answer in answers if "%" not in answer)
    four, six = [a for a in ordered if ":" not in a], [a for a in ordered if ":" in a]
    return (*four[:1], *six[:1])


Resolve = Callable[[str], Awaitable[Collection[str]]]


async def resolve(host: str) -> Collection[str]:
    """The addresses of a name, by a thread of the event loop's. Raises OSError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host!r} is no name of a host") from error
    return [str(address[0]) for *_, address in found]


class Names:
    """The addresses of hosts. The last answers are kept: after a change it is their ways that count, at once, and the
    resolver may answer late or never."""

    def __init__(self, hosts: Callable[[], Collection[str]], resolve: Resolve, log: Log) -> None:
        self.addresses: dict[str, tuple[str, ...]] = {}
        self._hosts, self._resolve, self._log = hosts, resolve, log
        self._asked: frozenset[str] = frozenset()
        self._again = asyncio.Event()

    def again(self) -> None:
        """Resolve all of them anew, soon."""
        self._again.set()

    def again_for(self, hosts: Collection[str]) -> None:
        """Resolve anew where there is one that was not asked for yet."""
        if any(host not in self._asked and not literal(host) for host in hosts):
            self._again.set()

    async def run(self) -> NoReturn:
        while True:
            self._again.clear()
            self._asked = frozenset(self._hosts())
            for gone in self.addresses.keys() - self._asked:
                del self.addresses[gone]
            # One after the other: they must not take all the threads that there are for it.
            for host in self._asked:
                await self._one(host)
            known = all(literal(host) or host in self.addresses for host in self._asked)
            try:
                async with asyncio.timeout(None if known else LOOKUP_AGAIN_SECONDS):
                    await self._again.wait()
            except TimeoutError:
                continue

    async def _one(self, host: str) -> None:
        if literal(host):
            return
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                found = chosen(await self._resolve(host))
        except OSError as error:  # the requests to it fail for the same reason, and say so
            self._log.debug(f"{host} is not resolved: {error.strerror or 'no answer'}")
            return
        if found:
            self.addresses[host] = found
