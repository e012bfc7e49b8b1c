"""A wire between the daemon and its broker that notes what the broker acknowledges, and can be cut.

What a broker has acknowledged is ours no more. Only here is it seen: a publication that the broker took and that was
not acknowledged comes again, and what it lost afterwards was its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.ledger.judge import Acknowledged

CONNECT, PUBLISH, PUBACK = 1, 3, 4
FAILURE = 0x80
"""Reason codes from here on (MQTT 5, section 2.4)."""

CHUNK = 65536


class Packets:
    """Bytes to MQTT control packets: type, flags, and what follows the fixed header."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        self._bytes += data
        while (found := _whole(self._bytes)) is not None:
            start, end = found
            first, body = self._bytes[0], bytes(self._bytes[start:end])
            del self._bytes[:end]
            yield first >> 4, first & 0x0F, body


def _whole(data: bytearray) -> tuple[int, int] | None:
    """Where the first packet's rest begins and ends; None while it is not all there (MQTT 5, section 1.5.5)."""
    length, position = 0, 1
    while position < len(data):
        byte = data[position]
        length |= (byte & 0x7F) << 7 * (position - 1)
        position += 1
        if byte < FAILURE:
            return (position, position + length) if len(data) >= position + length else None
    return None


@dataclass
class Conversation:
    """One connection's publications that wait for their acknowledgement."""

    topics: Callable[[str], bool]
    five: bool = False
    waiting: dict[bytes, bytes] = field(default_factory=dict)

    def said(self, kind: int, flags: int, body: bytes) -> None:
        """By the client."""
        if kind == CONNECT:
            self.five = body[6] == 5
        elif kind == PUBLISH and flags & 0b110:
            end = 2 + int.from_bytes(body[:2], "big")
            if self.topics(body[2:end].decode()):
                self.waiting[body[end : end + 2]] = body[end + 2 + self._properties(body, end + 2) :]

    def answered(self, kind: int, body: bytes) -> bytes | None:
        """By the broker; the payload that it acknowledges."""
        refused = len(body) > 2 and body[2] >= FAILURE
        return None if kind != PUBACK or refused else self.waiting.pop(body[:2], None)

    def _properties(self, body: bytes, at: int) -> int:
        """Their length, that of the length included. One byte says it, for less than 128 bytes of them."""
        return 1 + body[at] if self.five else 0


@dataclass
class Tap:
    """Listens on `port`; the broker is at `beyond`. Only publications to `topics` are noted."""

    port: int
    beyond: int
    topics: Callable[[str], bool]
    acknowledged: list[Acknowledged] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Every connection, now."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError):
                await self._connect(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.beyond)
        conversation = Conversation(self.topics)
        try:
            async with asyncio.TaskGroup() as tasks:
                ways = {
                    tasks.create_task(self._there(reader, back, conversation)),
                    tasks.create_task(self._back(there, writer, conversation)),
                }
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        finally:
            back.transport.abort()

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, talk: Conversation) -> None:
        packets = Packets()
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                for kind, flags, body in packets.feed(data):
                    talk.said(kind, flags, body)
                writer.write(data)
                await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, talk: Conversation) -> None:
        packets = Packets()
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                for kind, _, body in packets.feed(data):
                    if (line := talk.answered(kind, body)) is not None:
                        self.acknowledged.append(Acknowledged(line, time.monotonic()))
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def tapped(port: int, beyond: int, topics: Callable[[str], bool]) -> AsyncIterator[Tap]:
    """It serves; every connection is cut at the end."""
    tap = Tap(port, beyond, topics)
    server = await asyncio.start_server(tap._serve, "127.0.0.1", port)
    try:
        yield tap
    finally:
        server.close()
        tap.cut()
        await server.wait_closed()
