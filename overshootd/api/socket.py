"""The results WebSocket of v0.2 with `websockets`: text messages until it closes (api/README.md, v0.2 point 2)."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from overshootd.api.failures import HttpAnswer, NoAnswer, Seen, SocketClosed
from overshootd.config.secret import Secret

PING_SECONDS = 10.0
"""A dead path is noticed within twice this, with two small packets per ping on a mobile uplink."""

QUEUE = 16
"""Messages read ahead; beyond it TCP holds the server back, so nothing that arrived is dropped."""


class SocketEnded(Exception):
    """The socket could not be opened or is closed. `seen` says how, for `failures.decide`."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(str(seen))
        self.seen = seen


class ResultsSocket:
    """An open, authenticated socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes:
        """The next message. Raises SocketEnded."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise SocketEnded(_how(closed)) from closed


@asynccontextmanager
async def open_results(url: str, key: Secret, tls: ssl.SSLContext, timeout: float) -> AsyncIterator[ResultsSocket]:
    """Connect and authenticate; `timeout` in seconds for connecting and for closing. Raises SocketEnded."""
    try:
        connection = await connect(
            url,
            ssl=tls if url.startswith("wss:") else None,
            open_timeout=timeout,
            close_timeout=1.0,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            max_queue=QUEUE,
        )
    except InvalidStatus as refused:
        raise SocketEnded(HttpAnswer(refused.response.status_code, error=None)) from refused
    except (OSError, TimeoutError, WebSocketException) as error:
        raise SocketEnded(NoAnswer(f"{type(error).__name__}: {error}")) from error
    try:
        try:
            await connection.send(json.dumps({"api_key": key.reveal()}))
        except ConnectionClosed as closed:
            raise SocketEnded(_how(closed)) from closed
        yield ResultsSocket(connection)
    finally:
        await connection.close()


def _how(closed: ConnectionClosed) -> SocketClosed:
    if closed.rcvd is None:
        return SocketClosed(None)
    return SocketClosed(closed.rcvd.code, closed.rcvd.reason)
