"""A share of a connection: so many publications that wait for their acknowledgement, no more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from overshootd.contracts import Message
from overshootd.mqtt.client import Connection
from overshootd.mqtt.window import Window

MOST_BYTES = 256 * 1024
"""Under way in one lane, however few publications that is. It is what 7 Mbit/s take in a round trip of 0.3 s."""

PACED_SHARE = 0.75
"""Of what a broker takes at a time; the rest is always free for what is live."""


class Lane:
    """At most `most` at a time; `paced`, as many as a Window finds that the link takes."""

    def __init__(self, most: int, *, paced: bool = False) -> None:
        self._most = most
        self._paced = paced
        self._window = Window(most)
        self._under_way = self._bytes = 0

    def begin(self) -> None:
        """On a new connection, whose link may be another."""
        self._window = Window(self._most)

    async def publish(self, connection: Connection, messages: Sequence[Message]) -> None:
        """Return when all are acknowledged. Raises what `Connection.send` and its futures do."""
        with given_up_at_last() as sent:
            for message in messages:
                sent.append(await self.send(connection, message.topic, message.payload))
            for future in sent:
                await future

    async def send(
        self, connection: Connection, topic: str, payload: bytes, *, retain: bool = False
    ) -> asyncio.Future[None]:
        """As `Connection.send`, as soon as there is room."""
        while not self._takes(connection, len(payload)):
            connection.freed.clear()
            await connection.freed.wait()
        future = connection.send(topic, payload, retain=retain)
        self._under_way += 1
        self._bytes += len(payload)
        future.add_done_callback(partial(self._done, connection, len(payload), time.monotonic()))
        return future

    def _takes(self, connection: Connection, size: int) -> bool:
        if not self._under_way:
            return connection.takes(1.0)
        if self._under_way >= self._most or self._bytes + size > MOST_BYTES:
            return False
        if self._paced:
            return self._window.takes(self._under_way) and connection.takes(PACED_SHARE)
        return connection.takes(1.0)

    def _done(self, connection: Connection, size: int, sent: float, future: asyncio.Future[None]) -> None:
        self._under_way -= 1
        self._bytes -= size
        connection.freed.set()
        if self._paced and not future.cancelled() and future.exception() is None:
            self._window = self._window.acknowledged(time.monotonic() - sent)


@contextmanager
def given_up_at_last() -> Iterator[list[asyncio.Future[None]]]:
    """Nobody waits any more for what was sent, once one has failed or the caller is cancelled."""
    sent: list[asyncio.Future[None]] = []
    try:
        yield sent
    finally:
        for future in sent:
            future.cancel()  # those that are done stay what they are
