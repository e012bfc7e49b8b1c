"""A captive portal: sends plain HTTP to its login page, and spoils TLS with a certificate that nobody trusts.

Which of both a connection is, its first byte tells. Weather(portal=True) brings all connections here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.net.namespaces import Namespace
from tests.net.weather import PORTAL_PORT

LOGIN = "http://portal.lab/login"
_TLS_HANDSHAKE = 0x16
_ALERT = bytes([21, 3, 3, 0, 2, 2, 40])  # fatal handshake_failure (RFC 5246, section 7.2)
_PATIENCE = 5.0
_PAGE = f"HTTP/1.1 302 Found\r\nLocation: {LOGIN}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


@asynccontextmanager
async def portal(router: Namespace) -> AsyncIterator[None]:
    """Serve on the router."""
    listener = router.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", PORTAL_PORT))
    async with await asyncio.start_server(_serve, sock=listener):
        yield


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            first = await reader.read(4096)
            writer.write(_ALERT if first[:1] == bytes([_TLS_HANDSHAKE]) else _PAGE)
            await writer.drain()
    except (TimeoutError, ConnectionError):
        pass  # whoever called has left, or said nothing
    finally:
        writer.close()
