"""What stands between a device and its servers in private networks: an HTTP proxy, and a server that ends TLS."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

MARK = 7
"""Of the packets that the proxy sends on, so that a firewall can tell them from those of whoever goes past it."""


@dataclass
class Proxy:
    """An HTTP proxy that tunnels (RFC 9110, CONNECT); `carried` has the target of each tunnel, in order.

    Who does not give `credentials` (user:password) is answered 407, and its target is in `refused`.
    """

    credentials: str | None
    port: int = 0
    carried: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def url(self, credentials: str | None = None) -> str:
        """For HTTPS_PROXY, with these credentials."""
        return f"http://{credentials + '@' if credentials else ''}127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            target = head.split()[1]
            if self._may(head):
                self.carried.append(target)
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _tunnel(reader, writer, await _marked(target))
            else:
                self.refused.append(target)
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
        writer.close()

    def _may(self, head: str) -> bool:
        wanted = base64.b64encode((self.credentials or "").encode()).decode()
        return self.credentials is None or f"proxy-authorization: basic {wanted}".lower() in head.lower()


@asynccontextmanager
async def proxy(credentials: str | None = None) -> AsyncIterator[Proxy]:
    running = Proxy(credentials)
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()


@asynccontextmanager
async def tls_in_front(address: str, port: int, certificate: tuple[Path, Path]) -> AsyncIterator[int]:
    """A port on `address` that speaks TLS with this certificate and key, and hands on to `port` what is inside."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await _tunnel(reader, writer, await asyncio.open_connection(address, port))
        writer.close()

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    server = await asyncio.start_server(serve, address, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _marked(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = target.rpartition(":")
    upstream = socket.socket()
    upstream.setblocking(False)
    upstream.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
    await asyncio.get_running_loop().sock_connect(upstream, (host, int(port)))
    return await asyncio.open_connection(sock=upstream)


async def _tunnel(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Both ways, until one side ends."""
    copying = {
        asyncio.create_task(_copy(reader, upstream[1])),
        asyncio.create_task(_copy(upstream[0], writer)),
    }
    try:
        await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in copying:
            task.cancel()
        await asyncio.wait(copying)
        upstream[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
