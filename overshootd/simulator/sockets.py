"""The results WebSocket, server side: handshake, a bounded queue a socket, the ways it ends (api/README.md, v0.2)."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

HANDSHAKE_SECONDS = 10.0
QUEUED = 256
"""Messages a slow socket may lag behind; then the oldest is dropped, for Overshoot replays nothing either."""

_CLOSE_SECONDS = 2.0
_PING_SECONDS = 20.0
_MAX_MESSAGE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Close:
    """End a socket; without a code by cutting the connection, no close frame sent."""

    code: int | None
    reason: str = ""


Outgoing = str | bytes | Close


class Subscriber:
    """One open results socket, as its stream sees it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Outgoing] = asyncio.Queue(QUEUED)

    def send(self, message: Outgoing) -> None:
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(message)

    async def next(self) -> Outgoing:
        return await self._queue.get()


def new_socket() -> web.WebSocketResponse:
    return web.WebSocketResponse(timeout=_CLOSE_SECONDS, heartbeat=_PING_SECONDS, max_msg_size=_MAX_MESSAGE)


async def read_key(socket: web.WebSocketResponse) -> str | None:
    """The key of the first message, `{"api_key": "…"}`; None when it is anything else, or late."""
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            first = await socket.receive()
        message: Any = json.loads(first.data) if first.type is WSMsgType.TEXT else None
    except (TimeoutError, ValueError, RecursionError):
        return None
    key = message.get("api_key") if isinstance(message, dict) else None
    return key if isinstance(key, str) else None


async def pump(socket: web.WebSocketResponse, request: web.Request, subscriber: Subscriber) -> None:
    """Send what the stream gives until it closes the socket or the client leaves; what the client says is ignored."""
    async with asyncio.TaskGroup() as group:
        receiving = group.create_task(_until_client_leaves(socket))
        sending = group.create_task(_send_all(socket, request, subscriber))
        await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
        receiving.cancel()
        sending.cancel()


async def close(socket: web.WebSocketResponse, request: web.Request, how: Close) -> None:
    if how.code is not None:
        await socket.close(code=how.code, message=how.reason.encode())
    elif request.transport is not None:
        request.transport.abort()


async def _until_client_leaves(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        pass


async def _send_all(socket: web.WebSocketResponse, request: web.Request, subscriber: Subscriber) -> None:
    with suppress(ConnectionError):  # the client left: there is nobody to send to
        while True:
            match await subscriber.next():
                case str() as text:
                    await socket.send_str(text)
                case bytes() as data:
                    await socket.send_bytes(data)
                case Close() as how:
                    await close(socket, request, how)
                    return
