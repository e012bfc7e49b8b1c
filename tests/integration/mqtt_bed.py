"""A broker of ours at a real mosquitto, and servers that do what no mosquitto does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from overshootd.config.brokers import BrokerConfig
from overshootd.config.secret import Secret
from overshootd.contracts import Paths
from overshootd.mqtt.broker import Broker
from tests.integration.mosquitto import BOUND, Mosquitto
from tests.remembering import RememberingLog

ROOT = "overshootd/gate-pi"
VERSIONS = ("3.1.1", "5")


def made(
    url: str, log: RememberingLog, *, device: str = "gate-pi", paths: Paths | None = None, **config: Any
) -> Broker:
    settings = BrokerConfig.model_validate({"url": url, "keepalive_seconds": 5, **config})
    return Broker("home", settings, device, lambda _: Secret(""), log, paths=paths)


@asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[Broker]:
    """It connects, or tries to; ended without a farewell of its own."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(broker.run(), name="broker")
        try:
            yield broker
        finally:
            task.cancel()


@asynccontextmanager
async def connected(url: str, log: RememberingLog, **config: Any) -> AsyncIterator[Broker]:
    async with running(made(url, log, **config)) as broker:
        await until(lambda: broker.state.connected, f"a connection: {log.lines}")
        yield broker


def url(server: Mosquitto, scheme: str = "mqtt") -> str:
    return f"{scheme}://{server.host}:{server.port}"


async def until(holds: Callable[[], bool], what: str, seconds: float = BOUND) -> None:
    """Poll until it holds. Raises AssertionError."""
    try:
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 (what it asks tells nobody)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"in vain: {what}") from None


@dataclass
class Scripted:
    """Answers each CONNECT with `connack` (None: closes in its place), and PUBLISH when it is told to."""

    connack: Callable[[int], bytes | None]
    port: int = 0
    versions: list[int] = field(default_factory=list)
    """Of each CONNECT: 4 is 3.1.1, 5 is 5."""
    waiting: list[bytes] = field(default_factory=list)
    """Packet identifiers of what is not acknowledged."""
    most: int = 0
    farewell: bytes = b""
    """What it says in place of an acknowledgement."""
    closes_at: int = 0
    """So many publications without an acknowledgement; 0: never."""
    writer: asyncio.StreamWriter | None = None

    def acknowledge(self) -> None:
        """All that waits."""
        assert self.writer is not None
        while self.waiting:
            self.writer.write(b"\x40\x02" + self.waiting.pop(0))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        try:
            while await self._handle(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        finally:
            writer.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        kind, body = await _packet(reader)
        if kind == 1:
            self.versions.append(body[6])
            answer = self.connack(body[6])
            writer.write(answer or b"")
            return answer is not None
        if kind == 3:
            length = int.from_bytes(body[:2], "big")
            self.waiting.append(body[2 + length : 4 + length])
            self.most = max(self.most, len(self.waiting))
            writer.write(self.farewell)
            if len(self.waiting) == self.closes_at:
                self.waiting.clear()
                return False
        if kind == 8:
            five = self.versions[-1] == 5
            writer.write(bytes([0x90, 4 if five else 3, *body[:2], *([0] if five else []), 1]))
        if kind == 12:
            writer.write(b"\xd0\x00")
        return kind != 14


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Type and body (MQTT 5, section 2.1)."""
    first = (await reader.readexactly(1))[0]
    size = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return first >> 4, await reader.readexactly(size)


@asynccontextmanager
async def scripted(connack: Callable[[int], bytes | None]) -> AsyncIterator[Scripted]:
    script = Scripted(connack)
    handling: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.create_task(script.serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)


async def bounded(what: Awaitable[Any]) -> Any:
    async with asyncio.timeout(BOUND):
        return await what
