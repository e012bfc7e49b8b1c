"""A broker, as those see it who also hear what is said there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from overshootd.contracts import Broker

Handler = Callable[[str, bytes, bool], None]
"""Called with topic, payload, and whether that was retained there before we asked. Never blocks."""


class Listening(Broker, Protocol):
    """`mqtt.broker.Broker`, as far as announcements and commands need it."""

    def again(self, topic: str) -> None:
        """Send what is kept there once more, for somebody who has begun anew. Never waits."""

    def subscribe(self, topic_filter: str, handler: Handler, /) -> None:
        """Hear what comes there, from each connection on; before the broker runs."""
