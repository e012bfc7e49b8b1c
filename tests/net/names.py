"""A name server for the lab: answers A and AAAA for the names that it has, and NXDOMAIN for others (RFC 1035).

glibc and LiveKit's resolver ask for nothing else. `answer` is pure.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

from tests.net.namespaces import Namespace

Table = Mapping[str, Sequence[str]]
"""Addresses by name."""

_TYPES = {4: 1, 6: 28}
_IN = 1
_TTL = 1  # seconds
_HEADER = struct.Struct("!6H")
_RESPONSE, _NO_SUCH_NAME = 0x8580, 0x8583


def answer(query: bytes, table: Table) -> bytes:
    """The response to one query with one question. Raises ValueError for anything else."""
    if len(query) <= _HEADER.size:
        raise ValueError("no DNS query")
    number, _flags, questions, *_ = _HEADER.unpack_from(query)
    labels, at = [], _HEADER.size
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    kind, klass = struct.unpack_from("!2H", query, at + 1)
    if questions != 1 or klass != _IN:
        raise ValueError("not one question of the Internet")
    known = table.get(".".join(labels))
    found = [ipaddress.ip_address(one) for one in known or ()]
    records = [one.packed for one in found if _TYPES[one.version] == kind]
    flags = _NO_SUCH_NAME if known is None else _RESPONSE
    head = _HEADER.pack(number, flags, 1, len(records), 0, 0) + query[_HEADER.size : at + 5]
    return head + b"".join(struct.pack("!3HIH", 0xC00C, kind, _IN, _TTL, len(one)) + one for one in records)


@asynccontextmanager
async def names(where: Namespace, table: Table) -> AsyncIterator[None]:
    """Serve on port 53 of every address of the namespace."""
    with where.socket(socket.AF_INET6, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setblocking(False)
        listener.bind(("::", 53))
        serving = asyncio.create_task(_serve(listener, table), name="DNS")
        try:
            yield
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving


async def _serve(listener: socket.socket, table: Table) -> NoReturn:
    loop = asyncio.get_running_loop()
    while True:
        query, client = await loop.sock_recvfrom(listener, 4096)
        await loop.sock_sendto(listener, answer(query, table), client)
