"""The control socket: a running daemon answers the commands of its own command line (docs/control.md).

One request a connection, and everything about it has a bound: a client that hangs costs a place for some seconds.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from overshootd.backoff import NETWORK
from overshootd.condition import Condition
from overshootd.contracts import Log
from overshootd.control.claim import Taken, claimed
from overshootd.control.hangup import unless_gone
from overshootd.control.wire import (
    REQUEST_BYTES,
    Handler,
    Json,
    NotMeant,
    NotUnderstood,
    Refusal,
    done_line,
    read_request,
    refusal_line,
    unknown,
)
from overshootd.errors import OvershootdError
from overshootd.groups import TaskGroup

CLIENTS = 16
"""At a time; the next one is told so and goes."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds for each part of a client's time: to ask, for a handler to answer, and to take the answer."""

    request: float = 5.0
    answer: float = 60.0  # most answer at once; one that takes a picture waits for a camera
    send: float = 5.0


class Control:
    """Listens between `async with`. `handlers` says what can be asked for; `redact` masks secrets in all answers;
    `state_dir` tells this daemon from others.

    A path that cannot be had is told once and tried for ever: no stream needs it.
    """

    def __init__(
        self,
        path: Path,
        state_dir: Path,
        handlers: Mapping[str, Handler],
        log: Log,
        redact: Callable[[str], str],
        *,
        bounds: Bounds = Bounds(),
    ) -> None:
        self._path = path
        self._state_dir = os.path.realpath(state_dir)
        self._handlers = handlers
        self._log = log
        self._redact = redact
        self._bounds = bounds
        self._clients = 0
        self._running: asyncio.Task[NoReturn] | None = None

    async def __aenter__(self) -> Control:
        self._running = asyncio.create_task(self.run(), name="control")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait([self._running])
        if not self._running.cancelled():
            self._running.result()

    async def run(self) -> NoReturn:
        """Answer whoever asks."""
        opening = Condition(self._log, "control socket", time.monotonic)
        attempt = 0
        while True:
            try:
                with claimed(self._path) as listening:
                    opening.good()
                    await self._serve(listening)
            except Taken as error:
                opening.bad(f"{error}; until then nobody can ask this daemon")
            await asyncio.sleep(NETWORK.delay(attempt, random.uniform))
            attempt += 1

    async def _serve(self, listening: socket.socket) -> NoReturn:
        async with TaskGroup() as clients:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                if server.is_serving():
                    clients.create_task(self._client(reader, writer), name="control client")
                else:  # accepted in the moment of the end
                    writer.transport.abort()

            server = await asyncio.start_unix_server(accept, sock=listening, limit=REQUEST_BYTES, start_serving=False)
            try:
                await server.start_serving()
                await asyncio.get_running_loop().create_future()
            finally:
                server.close()
        raise AssertionError("unreachable: nobody completes the future")

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)  # so that `drain` returns once all is sent
        self._clients += 1
        try:
            answer = await unless_gone(self._answered(reader), writer)
            async with asyncio.timeout(self._bounds.send):
                writer.write(answer)
                await writer.drain()
        except (OSError, TimeoutError) as error:
            self._log.debug(f"who asked at the control socket did not take the answer: {error!r}")
        finally:
            self._clients -= 1
            writer.transport.abort()

    async def _answered(self, reader: asyncio.StreamReader) -> bytes:
        """Raises OSError when whoever asks is gone."""
        try:
            if self._clients > CLIENTS:
                raise Refusal(f"{CLIENTS} others are being answered: ask again")
            command, request = read_request(await self._line(reader))
            self._check_meant(request)
        except NotMeant as error:
            return refusal_line(str(error), self._redact, meant=False)
        except OvershootdError as error:
            return refusal_line(str(error), self._redact)
        if command not in self._handlers:
            return refusal_line(unknown(command, self._handlers), self._redact, commands=sorted(self._handlers))
        return await self._done(self._handlers[command], request)

    def _check_meant(self, request: Json) -> None:
        """Raises NotMeant."""
        if request.get("state_dir", self._state_dir) != self._state_dir:
            raise NotMeant(f"the daemon that answers has another configuration: its state_dir is {self._state_dir}")

    async def _done(self, handler: Handler, request: Json) -> bytes:
        try:
            async with asyncio.timeout(self._bounds.answer):
                return done_line(await handler(request), self._redact)
        except OvershootdError as error:
            return refusal_line(str(error), self._redact)
        except TimeoutError:
            return refusal_line(f"no answer within {self._bounds.answer:g} s", self._redact)
        except Exception as error:  # noqa: BLE001 - logged in full; a mistake of ours must not end the daemon
            self._log.error("an error in overshootd itself: the control socket", exc_info=error)
            return refusal_line("an error in overshootd itself; its log tells more", self._redact)

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        """Raises NotUnderstood."""
        try:
            async with asyncio.timeout(self._bounds.request):
                return await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            raise NotUnderstood(f"a request is one line of at most {REQUEST_BYTES} bytes") from error
        except asyncio.IncompleteReadError as error:
            raise NotUnderstood("a request ends with a newline") from error
        except TimeoutError as error:
            raise NotUnderstood(f"no request came within {self._bounds.request:g} s") from error
