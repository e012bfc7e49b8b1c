"""What is to be retained at a broker, brought there: the newest of each topic, all of it after each connection.

Some brokers close the connection at what they do not take. So what was under way when one ended goes by itself on the
next, behind all the rest, and what ends one after another is left out for a while.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import NoReturn

from overshootd.condition import Condition
from overshootd.errors import Transient, Unreachable
from overshootd.mqtt.client import Connection
from overshootd.mqtt.lane import Lane, given_up_at_last

LOSSES = 3
"""Connections that ended while a topic was under way; from the second on it was so by itself."""

SHUNNED_SECONDS = 3600.0

REST_SECONDS = 0.1
"""Between two rounds: of what changes with each result the newest counts, and at hundreds a second the broker need not
retain each of them."""


class Kept:
    """`most` are under way at a time. `clock` gives monotonic seconds."""

    def __init__(self, most: int, takes: Condition, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lane = Lane(most)
        self._most = most
        self._takes = takes
        self._values: dict[str, bytes] = {}
        self._dirty: dict[str, None] = {}
        self._refused: set[str] = set()
        self._under_way: set[str] = set()
        self._losses: Counter[str] = Counter()
        self._shunned: dict[str, float] = {}  # until when
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
        self._blame()
        for topic in self._values:
            self._mark(topic)
        while True:
            await self._round(connection)
            if not self._dirty:
                self._clean.set()
                self._changed.clear()
            await asyncio.sleep(REST_SECONDS)
            await self._changed.wait()

    async def _round(self, connection: Connection) -> None:
        """Bring what is to be brought now; what changes meanwhile is for the next."""
        left = len(self._dirty)
        while left > 0 and self._dirty:
            topics = self._next()
            left -= len(topics)
            await self._bring(connection, topics)

    def _blame(self) -> None:
        """Whatever was under way may be why the last connection ended."""
        for topic in self._under_way:
            self._losses[topic] += 1
            if self._losses[topic] >= LOSSES:
                self._shunned[topic] = self._clock() + SHUNNED_SECONDS
                self._refused.add(topic)
                self._takes.bad(f"connections end when {topic} is sent: it may be too large, or not be allowed")
        self._under_way.clear()

    def _next(self) -> list[str]:
        """What goes together. Of what may end the connection one at a time, and only when nothing else is left."""
        now = self._clock()
        for topic in [topic for topic in self._dirty if self._shunned.get(topic, now) > now]:
            del self._dirty[topic]
        trusted = [topic for topic in self._dirty if topic not in self._losses]
        return trusted[: self._most] or list(self._dirty)[:1]

    async def _bring(self, connection: Connection, topics: list[str]) -> None:
        sent: dict[str, bytes] = {}
        with given_up_at_last() as acknowledged:
            for topic in topics:
                self._dirty.pop(topic, None)
                if (payload := self._values.get(topic)) is None:  # removed and forgotten since it was marked
                    continue
                try:
                    acknowledged.append(await self._lane.send(connection, topic, payload, retain=True))
                except Unreachable:
                    raise
                except Transient as error:
                    self._not_taken(topic, error)
                else:
                    sent[topic] = payload
                    self._under_way.add(topic)
            for (topic, payload), future in zip(sent.items(), acknowledged, strict=True):
                await self._settle(topic, payload, future)
        if not self._refused:
            self._takes.good()

    async def _settle(self, topic: str, payload: bytes, acknowledged: asyncio.Future[None]) -> None:
        try:
            await acknowledged
        except Unreachable:
            raise
        except Transient as error:
            self._under_way.discard(topic)
            self._not_taken(topic, error)
            return
        self._under_way.discard(topic)
        self._refused.discard(topic)
        self._losses.pop(topic, None)
        self._shunned.pop(topic, None)
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
