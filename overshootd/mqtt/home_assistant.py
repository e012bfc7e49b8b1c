"""Keeps Home Assistant informed of this device, at one broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from overshootd.config.brokers import Command as Verb
from overshootd.config.brokers import HomeAssistant as Config
from overshootd.contracts import Log
from overshootd.mqtt.discovery import (
    AnnouncedStream,
    Board,
    Components,
    announced,
    components,
    config_topic,
    gone,
    payload,
    stream_of,
)
from overshootd.mqtt.listening import Listening
from overshootd.mqtt.topics import Topics

DEFAULT_PREFIX = Config().prefix

GONE_SECONDS = 3600.0
"""How long it stays in the message that a component is gone: for a broker or a Home Assistant that is away just now."""

HERD_SECONDS = 5.0
"""Home Assistant's start is answered within this at random: all devices of a house hear it at the same time."""

MOST = 1000
"""Components of an earlier run that are remembered."""


class HomeAssistant:
    """To be made before the broker runs, for it subscribes then. `wake` asks for `keep` to be called soon.

    `config` is None where Home Assistant shall not know of us: then what it was told before is taken back. `spared`
    are streams whose configuration is broken just now: what is known of them is left as it is.
    """

    def __init__(
        self,
        broker: Listening,
        topics: Topics,
        config: Config | None,
        streams: Collection[AnnouncedStream],
        spared: Collection[str],
        verbs: Collection[Verb],
        version: str,
        wake: Callable[[], None],
        uniform: Callable[[float, float], float],
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._streams = streams
        self._spared = spared
        self._verbs = verbs
        self._version = version
        self._wake = wake
        self._uniform = uniform
        self._log = log.bind(broker=broker.name)
        self._clock = clock
        self._topic: str | None = None
        self._again_at: float | None = None  # when it has to be sent once more, though nothing changed
        self._before: Components = {}  # what an earlier run said, until it need not be taken back any more
        self._before_until: float | None = None
        self._left: Components = {}  # what an earlier run said of the spared streams
        if config is not None:
            self._topic = config_topic(config.prefix, topics.device)
            broker.subscribe(self._topic, self._was_told)
            broker.subscribe(f"{config.prefix}/status", self._birth)
        if (former := config_topic(DEFAULT_PREFIX, topics.device)) != self._topic:
            broker.subscribe(former, self._take_back)

    @property
    def next_at(self) -> float | None:
        """When `keep` has something to do though nothing changed (monotonic seconds), None when never."""
        return min((at for at in (self._again_at, self._before_until) if at is not None), default=None)

    def keep(self, board: Board) -> None:
        """Have the broker retain what Home Assistant has to know now."""
        if self._topic is None:
            return
        now = self._clock()
        if self._before_until is not None and now >= self._before_until:
            self._before, self._before_until = {}, None
        self._broker.keep(self._topic, self._payload(board))
        if self._again_at is not None and now >= self._again_at:
            self._broker.again(self._topic)
            self._again_at = None

    def _payload(self, board: Board) -> bytes:
        ours = components(self._topics, self._streams, self._verbs, board)
        entities: Mapping[str, Mapping[str, Any]] = {**self._left, **ours, **gone(self._before, ours)}
        return payload(self._topics, self._version, entities)

    def _was_told(self, _topic: str, said: bytes, retained: bool) -> None:
        """What an earlier run left at our own topic; what we say ourselves comes back too, but not retained."""
        if not retained:
            return
        for key, entity in announced(said).items():
            if stream_of(key) in self._spared:
                self._left = _within(self._left, key, entity)
            elif len(entity) > 1:
                self._before = _within(self._before, key, entity)
        self._before_until = self._clock() + GONE_SECONDS
        self._wake()

    def _birth(self, _topic: str, said: bytes, retained: bool) -> None:
        """Home Assistant has started. One that is retained is no news, and a connection sends everything anyway."""
        if said == b"online" and not retained:
            self._again_at = self._clock() + self._uniform(0, HERD_SECONDS)
            self._wake()

    def _take_back(self, topic: str, said: bytes, retained: bool) -> None:
        if retained and announced(said):
            self._broker.keep(topic, b"")
            self._log.info("what Home Assistant was told here is taken back: home_assistant is off, or elsewhere")


def _within(known: Components, key: str, entity: dict[str, Any]) -> Components:
    return known | {key: entity} if len(known) < MOST or key in known else known
