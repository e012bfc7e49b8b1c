"""One broker, for as long as the daemon runs: connected to for ever, whoever publishes there."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Sequence
from typing import NoReturn
from urllib.parse import urlsplit

from overshootd.backoff import NETWORK, REFUSED
from overshootd.condition import Condition
from overshootd.config.brokers import BrokerConfig
from overshootd.config.pieces import SecretRef
from overshootd.config.secret import Secret
from overshootd.contracts import Log, Message
from overshootd.errors import ConfigError, Refused, Transient, Unreachable
from overshootd.mqtt.client import Connection, Link, NoAnswer, TakenOver, TooLarge, Unsupported, connected, matches
from overshootd.mqtt.identity import Identity
from overshootd.mqtt.lane import Lane
from overshootd.mqtt.listening import Handler
from overshootd.mqtt.tls import context
from overshootd.mqtt.topics import Topics
from overshootd.status import BrokerState

ONLINE, OFFLINE = b"online", b"offline"

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}

ACK_SECONDS = 20.0
"""A publication that is not acknowledged for so long has gone into a dead path; the kernel and the library need twice
the keepalive to notice."""

LOOK_SECONDS = 2.0

HELD_SECONDS = 15.0
"""A connection that held for so long proves the way: the next failure starts the backoff anew."""


class Broker:
    """Satisfies contracts.Broker and mqtt.listening.Listening. `reveal` reads a secret, and raises ConfigError."""

    def __init__(
        self,
        name: str,
        config: BrokerConfig,
        device: str,
        reveal: Callable[[SecretRef], Secret],
        log: Log,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._config = config
        self._reveal = reveal
        self._log = log.bind(broker=name)
        self._clock = clock
        self._topics = Topics(config.base_topic, device)
        self._identity = Identity(config.client_id or f"overshootd-{device}")
        self._version = "5" if config.version == "auto" else config.version
        self._works = Condition(self._log, f"broker {name}", clock)
        self._takes = Condition(self._log, f"what is retained at broker {name}", clock)
        self._handlers: dict[str, Handler] = {}
        self._kept: dict[str, bytes] = {self._topics.state: ONLINE}
        self._dirty: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._clean = asyncio.Event()
        self._connection: Connection | None = None
        self._live = Lane(config.in_flight)
        self._backlog = Lane(config.in_flight, paced=True)
        self.state = BrokerState()

    @property
    def name(self) -> str:
        return self._name

    # -- what others publish and hear

    async def publish(self, messages: Sequence[Message], *, backlog: bool = False) -> None:
        if (connection := self._connection) is None:
            raise Unreachable(f"no connection to broker {self._name}" + (f": {why}" if (why := self.state.why) else ""))
        await (self._backlog if backlog else self._live).publish(connection, messages)

    def keep(self, topic: str, payload: bytes) -> None:
        if self._kept.get(topic) == payload:
            return
        self._kept[topic] = payload
        self._mark(topic)

    def again(self, topic: str) -> None:
        """Send what is kept there once more, for somebody who has begun anew."""
        if topic in self._kept:
            self._mark(topic)

    def subscribe(self, topic_filter: str, handler: Handler, /) -> None:
        self._handlers[topic_filter] = handler

    # -- the connection

    async def run(self) -> NoReturn:
        """Return never; be connected as long as that can be had."""
        failures = 0
        while True:
            began = self._clock()
            error = await self._try()
            if self.state.connected and self._clock() - began > HELD_SECONDS:
                failures = 0
            self._lost(error)
            backoff = REFUSED if isinstance(error, Refused) and not isinstance(error, Unsupported) else NETWORK
            await asyncio.sleep(backoff.delay(failures, random.uniform))
            failures += 1

    async def close(self, within: float) -> None:
        """Say farewell: `offline`, and what else is retained. `run` is ended by its owner afterwards."""
        self.keep(self._topics.state, OFFLINE)
        if self._connection is None:
            return
        try:
            async with asyncio.timeout(within):
                await self._clean.wait()
        except TimeoutError:
            self._log.warning(f"broker {self._name}: no time to say farewell; the will does")

    async def _try(self) -> Transient:
        try:
            async with connected(self._link()) as connection:
                await self._serve(connection)
        except BaseExceptionGroup as group:
            if (ours := group.subgroup(Transient)) is None or group.split(Transient)[1] is not None:
                raise
            return _first(ours)
        except Transient as error:
            return error
        except ConfigError as error:
            return Refused(str(error))
        raise AssertionError("a connection ends by an error")

    async def _serve(self, connection: Connection) -> None:
        connection.in_flight = min(connection.in_flight, self._config.in_flight)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(connection), name="hear")
                for topic_filter in self._handlers:
                    await self._subscribe(connection, topic_filter)
                self._found(connection)
                tasks.create_task(self._keep_up(connection), name="keep")
                tasks.create_task(self._look_after(connection), name="look after")
        finally:
            self._connection = None
            connection.fail(Unreachable("the connection is lost"))

    async def _subscribe(self, connection: Connection, topic_filter: str) -> None:
        try:
            await connection.subscribe(topic_filter)
        except Refused as error:
            self._takes.bad(str(error))  # what is published goes on all the same

    def _found(self, connection: Connection) -> None:
        self._connection = connection
        self.state.connected, self.state.why, self.state.since = True, "", self._clock()
        self.state.connections += 1
        self._works.good()
        if self.state.connections == 1:
            self._log.info(f"broker {self._name}: connected as {self._identity.now}, MQTT {self._version}")
        self._backlog.begin()
        for topic in self._kept:
            self._mark(topic)

    def _lost(self, error: Transient) -> None:
        was_connected, self.state.connected = self.state.connected, False
        if was_connected or self.state.since is None:
            self.state.since = self._clock()
        self.state.why = str(error)
        self._works.bad(str(error))
        if self._config.version == "auto" and isinstance(error, Unsupported | NoAnswer):
            self._version = "3.1.1" if self._version == "5" else "5"
        if not was_connected:
            return
        if told := self._identity.lost(taken=isinstance(error, TakenOver), now=self._clock()):
            self._log.warning(f"broker {self._name}: {told}")

    def _link(self) -> Link:
        """Raises ConfigError when a secret cannot be read."""
        url, tls = urlsplit(self._config.url), self._config.tls
        secured = url.scheme in ("mqtts", "wss")
        return Link(
            host=url.hostname or "",
            port=url.port or PORTS[url.scheme],
            version=self._version,
            client_id=self._identity.begin(self._clock(), secrets.token_hex(3)),
            will=(self._topics.state, OFFLINE),
            keepalive=self._config.keepalive_seconds,
            username=self._config.username,
            password=self._reveal(self._config.password) if self._config.password else None,
            tls=(lambda: context(tls)) if secured else None,
            path=(url.path or "/mqtt") if url.scheme in ("ws", "wss") else None,
        )

    # -- in a connection

    async def _listen(self, connection: Connection) -> NoReturn:
        async for topic, payload, retained in connection.heard():
            for topic_filter, handler in self._handlers.items():
                if matches(topic_filter, topic):
                    handler(topic, payload, retained)
        raise AssertionError("what is heard ends by an error")

    async def _look_after(self, connection: Connection) -> NoReturn:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if (since := connection.waiting_since) is not None and time.monotonic() - since > ACK_SECONDS:
                raise Unreachable(f"no acknowledgement for {ACK_SECONDS:g} s")

    def _mark(self, topic: str) -> None:
        self._dirty[topic] = None
        self._clean.clear()
        self._changed.set()

    async def _keep_up(self, connection: Connection) -> NoReturn:
        """Bring there what is to be retained, the newest of each topic."""
        while True:
            while self._dirty:
                topics = list(self._dirty)[: connection.in_flight]
                for topic in topics:
                    del self._dirty[topic]
                await self._retain(connection, {topic: self._kept[topic] for topic in topics if topic in self._kept})
            self._clean.set()
            self._changed.clear()
            await self._changed.wait()

    async def _retain(self, connection: Connection, values: dict[str, bytes]) -> None:
        try:
            sent = [connection.send(topic, payload, retain=True) for topic, payload in values.items()]
            await asyncio.gather(*sent)
        except (Refused, TooLarge) as error:
            self._takes.bad(str(error))  # not again before it changes, or at the next connection
            return
        for topic, payload in values.items():
            if not payload and self._kept.get(topic) == payload:
                del self._kept[topic]
        self._takes.good()


def _first(group: BaseExceptionGroup[Transient]) -> Transient:
    """The one that says most: what took our place, before what then failed."""
    errors = list(_leaves(group))
    return next((error for error in errors if isinstance(error, TakenOver | TooLarge)), errors[0])


def _leaves(group: BaseExceptionGroup[Transient]) -> list[Transient]:
    found: list[Transient] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
