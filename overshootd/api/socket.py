"""The results WebSocket of v0.2 with `websockets`: text messages until it closes (api/README.md, v0.2 point 2)."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from overshootd.api.failures import HttpAnswer, NoAnswer, Seen, SocketClosed
from overshootd.api.http import seconds
from overshootd.backoff import UNREACHABLE
from overshootd.config.secret import Secret
from overshootd.remedy import explained

PING_SECONDS = 10.0
"""A dead path is noticed within twice this, with two small packets per ping on a mobile uplink."""

CLOSE_SECONDS = 1.0

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
        """The next message. Cancelling loses none. Raises SocketEnded."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise SocketEnded(_how(closed)) from closed

    async def close(self) -> None:
        """Bounded by CLOSE_SECONDS."""
        await self._connection.close()


async def open_results(url: str, key: Secret, tls: ssl.SSLContext, timeout: float) -> ResultsSocket:
    """Connect and authenticate within `timeout` seconds. Raises SocketEnded."""
    try:
        connection = await connect(
            url,
            ssl=tls if url.startswith("wss:") else None,
            open_timeout=timeout,
            close_timeout=CLOSE_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            max_queue=QUEUE,
        )
    except InvalidStatus as refused:
        later = seconds(refused.response.headers.get("retry-after"))
        raise SocketEnded(HttpAnswer(refused.response.status_code, error=None, retry_after=later)) from refused
    except (OSError, TimeoutError, WebSocketException) as error:
        raise SocketEnded(NoAnswer(explained(f"{type(error).__name__}: {error}", url))) from error
    try:
        await connection.send(json.dumps({"api_key": key.reveal()}))
    except ConnectionClosed as closed:
        raise SocketEnded(_how(closed)) from closed
    except asyncio.CancelledError:
        await connection.close()
        raise
    return ResultsSocket(connection)


class Sockets:
    """The results sockets of one stream: one, and for a moment two, so that a path in doubt costs no result.

    Results come on every open socket, so while there are two the same one may come twice.
    """

    def __init__(self, open_one: Callable[[], Coroutine[Any, Any, ResultsSocket]]) -> None:
        self._open_one = open_one
        self._current: ResultsSocket | None = None
        self._coming: asyncio.Task[ResultsSocket] | None = None
        self._receiving: asyncio.Task[str | bytes] | None = None
        self._tries = 0
        """For the one that is coming: until it is there, the current one may be dead, whatever it still gives."""
        self._renewed = asyncio.Event()
        self._ending: set[asyncio.Task[Any]] = set()

    def renew(self) -> None:
        """Open another one now; the current one goes on until that is there."""
        self._give_up_coming()  # it may hang on the old path
        self._tries = 0
        self._open(0.0)
        self._renewed.set()

    def _open(self, wait: float) -> None:
        async def opened() -> ResultsSocket:
            await asyncio.sleep(wait)
            return await self._open_one()

        self._tries += 1
        self._coming = asyncio.create_task(opened(), name="open results")

    async def receive(self) -> str | bytes:
        """The next message. Raises SocketEnded when the last socket has ended, or none could be opened."""
        while True:
            if self._current is None and self._coming is None:
                self.renew()
            await self._something()
            if self._receiving is not None and self._receiving.done():
                done, self._receiving = self._receiving, None
                try:
                    return done.result()
                except SocketEnded:
                    self._drop()
                    if self._coming is None:
                        raise
            elif self._coming is not None and self._coming.done():
                self._take_over()

    async def close(self) -> None:
        self._give_up_coming()
        self._stop_receiving()
        self._drop()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _something(self) -> None:
        self._renewed.clear()
        if self._current is not None and self._receiving is None:
            self._receiving = asyncio.create_task(self._current.receive(), name="receive results")
        renewed = asyncio.create_task(self._renewed.wait(), name="renewed")
        ways: list[asyncio.Task[Any]] = [task for task in (self._coming, self._receiving) if task is not None]
        try:
            await asyncio.wait([*ways, renewed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            renewed.cancel()

    def _take_over(self) -> None:
        """Raises SocketEnded when it could not be opened and there is no other."""
        assert self._coming is not None
        coming, self._coming = self._coming, None
        try:
            fresh = coming.result()
        except SocketEnded as error:
            if self._current is None:
                raise
            if isinstance(error.seen, NoAnswer):
                self._open(UNREACHABLE.delay(self._tries, random.uniform))
            return
        self._stop_receiving()
        self._drop()
        self._current = fresh

    def _stop_receiving(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._await(self._receiving)
            self._receiving = None

    def _give_up_coming(self) -> None:
        if self._coming is not None:
            self._coming.cancel()
            self._await(asyncio.create_task(self._left(self._coming), name="leave results"))
            self._coming = None

    async def _left(self, coming: asyncio.Task[ResultsSocket]) -> None:
        """Close it if it was open already."""
        await asyncio.wait([coming])
        if not coming.cancelled() and coming.exception() is None:
            await coming.result().close()

    def _drop(self) -> None:
        if self._current is not None:
            self._leave(self._current)
            self._current = None

    def _leave(self, socket: ResultsSocket) -> None:
        self._await(asyncio.create_task(socket.close(), name="close results"))

    def _await(self, task: asyncio.Task[Any]) -> None:
        """`close` waits for it, if it has not ended by then."""
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def _how(closed: ConnectionClosed) -> SocketClosed:
    if closed.rcvd is None:
        return SocketClosed(None)
    return SocketClosed(closed.rcvd.code, closed.rcvd.reason)
