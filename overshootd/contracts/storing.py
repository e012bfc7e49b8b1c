"""Where records wait, and where they go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the record contract (design.md, "The record") without what the spool adds (`seq`, `uid`)."""

    type: str
    stream: str
    body: Mapping[str, Any]


class Spool(Protocol):
    """Where records wait for their sinks (design decision 5)."""

    async def append(self, record: Record) -> int:
        """Store it; when this returns, the record is with the kernel. Returns its `seq`. Raises SpoolError."""


class Sink(Protocol):
    """Where one stream's records go. Delivery is at least once; `uid` is for de-duplication."""

    @property
    def name(self) -> str:
        """What tells this sink from the stream's others, over restarts too: its cursor in the spool is kept under
        it."""

    @property
    def live_first(self) -> bool:
        """Whether what arrives now may pass a backlog: then `deliver` is called for both at the same time."""

    async def open(self) -> None:
        """Find out early whether it can work; `deliver` tries again all the same.

        Raises ConfigError when a person must act; what may pass by itself, `deliver` will meet.
        """

    async def deliver(self, lines: list[bytes], *, backlog: bool = False) -> None:
        """Write these records (one JSON object each, no newline), in order, and return when they are the sink's.

        A `backlog` leaves room on the link for what is live. Raises Transient: the same lines come again after a
        backoff.
        """

    async def sync(self) -> None:
        """Return when what was delivered survives a power cut; only then does the spool forget it.

        Raises Transient: all that was delivered since the last `sync` comes again.
        """

    async def close(self) -> None: ...
