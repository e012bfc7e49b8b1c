"""One broker, for as long as the daemon runs: connected to for ever, whoever publishes there."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from overshootd.backoff import Backoff
from overshootd.condition import Condition
from overshootd.config.brokers import PORTS, BrokerConfig
from overshootd.config.pieces import Reveal
from overshootd.contracts import Log, Message, Paths
from overshootd.errors import Away, ConfigError, Refused, Rejected, Transient, Unreachable
from overshootd.mqtt.blame import Blame
from overshootd.mqtt.client import Connection, connected, matches
from overshootd.mqtt.dialect import Dialect
from overshootd.mqtt.identity import Identity
from overshootd.mqtt.kept import Kept
from overshootd.mqtt.lane import Lane
from overshootd.mqtt.link import Link
from overshootd.mqtt.listening import Handler
from overshootd.mqtt.reasons import Closed, TakenOver, TooLarge, backoff
from overshootd.mqtt.tls import context
from overshootd.mqtt.topics import Topics
from overshootd.status import BrokerState

ONLINE, OFFLINE = b"online", b"offline"

ACK_SECONDS = 20.0
"""A connection on which nothing is acknowledged for so long leads nowhere; the library needs twice the keepalive to
notice."""

LOOK_SECONDS = 2.0

HELD_SECONDS = 15.0
"""A connection that held for so long proves the way: the next failure starts the backoff anew."""


class Broker:
    """Satisfies contracts.Broker and mqtt.listening.Listening. `reveal` reads a secret, and raises ConfigError;
    `paths`, where there is somebody who knows, tells when another attempt may meet another network."""

    def __init__(
        self,
        name: str,
        config: BrokerConfig,
        device: str,
        reveal: Reveal,
        log: Log,
        *,
        paths: Paths | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._config = config
        self._reveal = reveal
        self._log = log.bind(broker=name)
        self._paths = paths
        self._clock = clock
        self._topics = Topics(config.base_topic, device)
        self._identity = Identity(config.client_id or f"overshootd-{device}")
        self._dialect = Dialect(config.version)
        self._works = Condition(self._log, f"broker {name}", clock)
        self._hears = Condition(self._log, f"what is heard at broker {name}", clock)
        self._kept = Kept(config.in_flight, Condition(self._log, f"what is retained at broker {name}", clock), clock)
        self._kept.keep(self._topics.state, ONLINE)
        self._handlers: dict[str, Handler] = {self._topics.state: self._state_heard}
        self._blame = Blame()
        self._connection: Connection | None = None
        self._tried = asyncio.Event()  # the first attempt has ended: before, there is nothing to tell
        self._closing = False
        self._live = Lane(config.in_flight)
        self._backlog = Lane(config.in_flight, paced=True)
        self.state = BrokerState()

    @property
    def name(self) -> str:
        return self._name

    # -- what others publish and hear

    async def publish(self, messages: Sequence[Message], *, backlog: bool = False) -> None:
        await self._tried.wait()
        if (connection := self._connection) is None:
            raise Away(f"no connection to broker {self._name}: {self.state.why or 'it was just lost'}")
        try:
            await (self._backlog if backlog else self._live).publish(connection, messages)
        except Transient as error:
            if (why := connection.ended_by) is None:
                raise
            if isinstance(why, Closed | TooLarge) and len(messages) == 1:
                payload = messages[0].payload
                if self._blame.at_end(connection, payload):
                    raise Rejected(f"{why} at a message of {len(payload)} bytes, again") from error
            raise Away(f"no connection to broker {self._name}: {why}") from error

    def _state_heard(self, _topic: str, payload: bytes, _retained: bool) -> None:
        """The will of a connection that we lost may come after we are back."""
        if payload != (OFFLINE if self._closing else ONLINE):
            self._kept.again(self._topics.state)

    def keep(self, topic: str, payload: bytes) -> None:
        self._kept.keep(topic, payload)

    def again(self, topic: str) -> None:
        """Send what is kept there once more, for somebody who has begun anew."""
        self._kept.again(topic)

    def subscribe(self, topic_filter: str, handler: Handler, /) -> None:
        self._handlers[topic_filter] = handler

    # -- the connection

    async def run(self) -> NoReturn:
        """Return never; be connected as long as that can be had."""
        failures: Counter[Backoff] = Counter()  # each kind has its own: an outage makes no bad password slower
        while True:
            began, changes = self._clock(), self._changes
            error = await self._try()
            if self.state.connected:
                changes = self._changes  # those before the loss made no attempt fail
                if self._clock() - began > HELD_SECONDS:
                    failures.clear()
            self._lost(error)
            kind = backoff(error)
            if await self._pause(kind.delay(failures[kind], random.uniform, error.retry_after), error, changes):
                failures.clear()
            else:
                failures[kind] += 1

    @property
    def _changes(self) -> int:
        return self._paths.changes if self._paths else 0

    async def _pause(self, seconds: float, error: Transient, changes: int) -> bool:
        """Wait so long, or until the path has changed since, where that may be what ailed; whether it did."""
        if self._paths is None or not isinstance(error, Unreachable):
            await asyncio.sleep(seconds)
            return False
        try:
            async with asyncio.timeout(seconds):
                await self._paths.changed(changes)
        except TimeoutError:
            return False
        return True

    async def close(self, within: float) -> None:
        """Say farewell: `offline`, and what else is retained. `run` is ended by its owner afterwards."""
        self._closing = True
        self._kept.keep(self._topics.state, OFFLINE)
        if self._connection is None:
            return
        try:
            async with asyncio.timeout(within):
                await self._kept.brought()
        except TimeoutError:
            self._log.warning(f"broker {self._name}: no time to say farewell; the will does")

    async def _try(self) -> Transient:
        try:
            async with connected(self._link()) as connection:
                await self._serve(connection)
        except Transient as error:
            return error
        except ConfigError as error:
            return Refused(str(error))
        raise AssertionError("a connection ends by an error")

    async def _serve(self, connection: Connection) -> None:
        """Raises what ends the connection. No task group: one that fails raises its own errors in place of the
        cancellation that comes meanwhile, and then nothing would ever end `run`."""
        parts = {"hear": self._listen, "keep": self._greet, "look after": self._look_after}
        tasks = [asyncio.create_task(part(connection), name=name) for name, part in parts.items()]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._connection = None
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        raise _first([error for task in tasks if not task.cancelled() and (error := task.exception()) is not None])

    async def _greet(self, connection: Connection) -> NoReturn:
        """First hear, then be there for others, then bring what is retained."""
        await self._subscribe(connection)
        self._found(connection)
        await self._kept.run(connection)

    async def _subscribe(self, connection: Connection) -> None:
        refused = 0
        for topic_filter in self._handlers:
            try:
                await connection.subscribe(topic_filter)
            except Refused as error:
                refused += 1
                self._hears.bad(str(error))  # what is published goes on all the same
        if not refused:
            self._hears.good()

    def _found(self, connection: Connection) -> None:
        self._connection = connection
        self._tried.set()
        self.state.connected, self.state.why, self.state.since = True, "", self._clock()
        self.state.connections += 1
        self._works.good()
        if self.state.connections == 1:
            self._log.info(f"broker {self._name}: connected as {self._identity.now}, MQTT {self._dialect.now}")
        self._backlog.begin()

    def _lost(self, error: Transient) -> None:
        was_connected, self.state.connected = self.state.connected, False
        if not was_connected and not self._dialect.failed(error):
            return
        if was_connected or self.state.since is None:
            self.state.since = self._clock()
        self.state.why = str(error)
        self._tried.set()
        self._works.bad(str(error))
        if not was_connected:
            return
        taken, silently = isinstance(error, TakenOver), isinstance(error, Closed)
        if told := self._identity.lost(taken=taken, silently=silently, now=self._clock()):
            self._log.warning(f"broker {self._name}: {told}")
        self._dialect.lost()

    def _link(self) -> Link:
        """Raises ConfigError when a secret cannot be read."""
        url, tls = urlsplit(self._config.url), self._config.tls
        secured = url.scheme in ("mqtts", "wss")
        return Link(
            key=f"brokers.{self._name}",
            url=self._config.url,
            host=url.hostname or "",
            port=url.port or PORTS[url.scheme],
            version=self._dialect.now,
            client_id=self._identity.begin(self._clock(), secrets.token_hex(3)),
            will=(self._topics.state, OFFLINE),
            keepalive=self._config.keepalive_seconds,
            username=self._config.username,
            password=self._reveal(self._config.password) if self._config.password else None,
            tls=(lambda: context(tls)) if secured else None,
            path=_websocket_path(url) if url.scheme in ("ws", "wss") else None,
        )

    # -- in a connection

    async def _listen(self, connection: Connection) -> NoReturn:
        async for topic, payload, retained in connection.heard():
            for topic_filter, handler in self._handlers.items():
                if matches(topic_filter, topic):
                    handler(topic, payload, retained)
        raise AssertionError("what is heard ends by an error")

    async def _look_after(self, connection: Connection) -> NoReturn:
        seen = self._changes
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if connection.is_dead(ACK_SECONDS):
                raise Unreachable(f"no acknowledgement for {ACK_SECONDS:g} s")
            changed, seen = self._changes > seen, self._changes
            if changed and connection.is_astray():
                raise Unreachable("the path to it has changed")


def _websocket_path(url: SplitResult) -> str:
    return (url.path or "/mqtt") + (f"?{url.query}" if url.query else "")


def _first(errors: Sequence[BaseException]) -> BaseException:
    """The one that says most: a fault of ours, or what ended the connection, before what then failed."""
    return max(
        errors, key=lambda error: (not isinstance(error, Transient), isinstance(error, TakenOver | TooLarge | Closed))
    )
