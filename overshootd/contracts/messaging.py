"""A message broker, as those see it who have something to publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One publication, QoS 1, not retained."""

    topic: str
    payload: bytes


class Broker(Protocol):
    """One broker of the configuration, connected to for as long as the daemon runs, whoever publishes."""

    @property
    def name(self) -> str:
        """As under `brokers`."""

    async def publish(self, messages: Sequence[Message], *, backlog: bool = False) -> None:
        """Return when the broker has acknowledged all of them.

        A `backlog` gets no more of the link than leaves a live message its place within a second. Until the first
        attempt to connect has ended, it waits. Raises Unreachable while there is no connection or when it is lost
        meanwhile: any of them may have arrived. Raises Transient when the broker takes them not.
        """

    def keep(self, topic: str, payload: bytes) -> None:
        """What is retained at `topic` from now on, over restarts of the broker too; empty removes it. Never waits.

        Of values that follow each other faster than the link takes them only the newest is sent.
        """
