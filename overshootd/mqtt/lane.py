"""A share of a connection: so many publications that wait for their acknowledgement, no more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial

from overshootd.contracts import Message
from overshootd.mqtt.client import Connection
from overshootd.mqtt.window import Window


class Lane:
    """At most `most` at a time; `paced`, as many as `window` finds that the link takes."""

    def __init__(self, most: int, *, paced: bool = False) -> None:
        self._most = most
        self._paced = paced
        self._window = Window(most)
        self._under_way = 0
        self._room = asyncio.Event()

    def begin(self) -> None:
        """On a new connection, whose link may be another."""
        self._window = Window(self._most)

    async def publish(self, connection: Connection, messages: Sequence[Message]) -> None:
        """Return when all are acknowledged. Raises what `Connection.send` and its futures do."""
        sent: list[asyncio.Future[None]] = []
        try:
            for message in messages:
                while not self._takes(connection):
                    self._room.clear()
                    await self._room.wait()
                future = connection.send(message.topic, message.payload)
                self._under_way += 1
                future.add_done_callback(partial(self._done, time.monotonic()))
                sent.append(future)
            await asyncio.gather(*sent)
        finally:
            for future in sent:
                future.cancel()  # those that are done stay what they are

    def _takes(self, connection: Connection) -> bool:
        most = min(self._most, connection.in_flight)
        return self._under_way < most and (not self._paced or self._window.takes(self._under_way))

    def _done(self, sent: float, future: asyncio.Future[None]) -> None:
        self._under_way -= 1
        self._room.set()
        if not future.cancelled() and future.exception() is None:
            self._window = self._window.acknowledged(time.monotonic() - sent)
