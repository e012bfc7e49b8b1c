"""What is to be retained at a broker, brought there: the newest of each topic, all of it after each connection."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from overshootd.condition import Condition
from overshootd.errors import Transient, Unreachable
from overshootd.mqtt.client import Connection
from overshootd.mqtt.lane import Lane

Sent = dict[str, tuple[bytes, asyncio.Future[None]]]


class Kept:
    """`most` are under way at a time."""

    def __init__(self, most: int, takes: Condition) -> None:
        self._lane = Lane(most)
        self._most = most
        self._takes = takes
        self._values: dict[str, bytes] = {}
        self._dirty: dict[str, None] = {}
        self._refused: set[str] = set()
        self._changed = asyncio.Event()
        self._clean = asyncio.Event()

    def keep(self, topic: str, payload: bytes) -> None:
        """From now on; nothing when it is kept already. An empty one removes what is there, and is then forgotten."""
        if self._values.get(topic) != payload:
            self._values[topic] = payload
            self._mark(topic)

    def again(self, topic: str) -> None:
        """Send what is kept there once more."""
        if topic in self._values:
            self._mark(topic)

    async def brought(self) -> None:
        """Return when there is nothing left to bring."""
        await self._clean.wait()

    async def run(self, connection: Connection) -> NoReturn:
        """Bring all there, and then what changes. Raises what ends the connection."""
        for topic in self._values:
            self._mark(topic)
        while True:
            while self._dirty:
                await self._bring(connection, list(self._dirty)[: self._most])
            self._clean.set()
            self._changed.clear()
            await self._changed.wait()

    async def _bring(self, connection: Connection, topics: list[str]) -> None:
        sent: Sent = {}
        for topic in topics:
            self._dirty.pop(topic, None)
            if (payload := self._values.get(topic)) is None:  # removed and forgotten since it was marked
                continue
            try:
                sent[topic] = (payload, await self._lane.send(connection, topic, payload, retain=True))
            except Unreachable:
                raise
            except Transient as error:
                self._not_taken(topic, error)
        for topic, (payload, acknowledged) in sent.items():
            await self._settle(topic, payload, acknowledged)
        if not self._refused:
            self._takes.good()

    async def _settle(self, topic: str, payload: bytes, acknowledged: asyncio.Future[None]) -> None:
        try:
            await acknowledged
        except Unreachable:
            raise
        except Transient as error:
            self._not_taken(topic, error)
            return
        self._refused.discard(topic)
        if not payload and self._values.get(topic) == payload:
            del self._values[topic]

    def _not_taken(self, topic: str, error: Transient) -> None:
        """Not again before it changes, or at the next connection."""
        self._refused.add(topic)
        self._takes.bad(str(error))

    def _mark(self, topic: str) -> None:
        self._dirty[topic] = None
        self._clean.clear()
        self._changed.set()
