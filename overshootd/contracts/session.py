"""Streams that exist at the API, and the ways to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from overshootd.contracts.publishing import Target


@dataclass(frozen=True, slots=True)
class Inference:
    """One result as it arrived: `received_at` in seconds since the epoch, the API's object verbatim in `api`, and how
    many bytes it had."""

    received_at: float
    api: Mapping[str, Any]
    size: int = 0


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """What a stream asks of the API, in the API's own words (v0.2.yaml, StreamCreateRequest)."""

    source: Mapping[str, Any]
    mode: str
    processing: Mapping[str, Any]
    inference: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spent:
    """What a stream cost since this process has it: seconds that were billed, US cents, and the cents that are left to
    its key (None: not known)."""

    seconds: float = 0.0
    cents: float = 0.0
    left: float | None = None


@dataclass(frozen=True, slots=True)
class LeaseNow:
    """Monotonic times in seconds: when the last keepalive that succeeded was sent, until when the stream surely lives
    (None: not known), and when the newest token came (None: the API gives none). `state` is what the API said of the
    video then: pending, active, idle, or empty."""

    sent: float
    until: float | None
    token: float | None = None
    state: str = ""
    spent: Spent = Spent()


class Session(Protocol):
    """A stream that exists at the API. Both dialects give the same (design decision 7).

    v0.2 pushes results on a WebSocket; v1beta asks for each inference. The caller cannot tell.
    """

    @property
    def stream_id(self) -> str: ...

    @property
    def target(self) -> Target | None:
        """Where to publish, with the newest token; None for a room of the user's own."""

    @property
    def lease(self) -> LeaseNow:
        """What is known of the lease."""

    async def keep_lease(self) -> None:
        """Return never; renew the lease in time. Raises StreamGone, Refused or Permanent."""

    async def verify(self) -> None:
        """Ask now whether the stream still lives, as long as its lease may. Raises as `keep_lease` does."""

    def path_changed(self) -> None:
        """The kernel says that the way to the API is another: give up what hangs on the old one, ask for the lease and
        open the results socket anew, now."""

    def doubt_path(self) -> None:
        """The same, on a guess: this session takes fresh connections, and nobody else's request is given up."""

    def results(self) -> AsyncGenerator[Inference, None]:
        """Every result, reconnecting to the same stream as often as it takes. Raises as `keep_lease` does."""

    async def set_prompt(self, prompt: str) -> None: ...

    async def info(self) -> Mapping[str, Any]: ...

    async def close(self) -> bool:
        """DELETE: ends billing. Bounded by a few seconds; whether that is settled. A failure is logged."""


class Api(Protocol):
    """One dialect of the API."""

    async def create(self, spec: StreamSpec) -> Session:
        """A new stream. Raises Transient, Refused or Permanent as the failure table says."""

    async def resume(self, stream_id: str, url: str) -> Session:
        """A stream that an earlier process created, with its room's URL: alive, its lease renewed, its token fresh.

        Raises StreamGone when it lives no more, and as `create` does.
        """

    async def delete(self, stream_id: str) -> bool:
        """End a stray of ours; whether that is settled (deleted, gone, or not ours to delete). Never raises."""


class Leftovers(Protocol):
    """The streams of ours that exist at the API, over restarts of this process too."""

    def kept(self, stream: str, prompt: str) -> tuple[str, str] | None:
        """The id and the room's URL of the one that an earlier process left for this stream, and that is asked the
        same."""

    async def cleared(self) -> None:
        """Wait, but not for ever, until strays are deleted: a key has five streams, ghosts included."""

    async def created(self, stream: str, session: Session, transport: str, prompt: str) -> None:
        """It exists, and is asked that (now): remembered, in case this process dies."""

    async def ended(self, stream: str, stream_id: str, *, settled: bool) -> None:
        """It is over. Unless that is `settled` at the API, it is a stray from now on."""


class Paths(Protocol):
    """What the kernel says of the ways to our peers."""

    @property
    def changes(self) -> int:
        """How often the route or the source address towards a peer has changed so far."""

    async def changed(self, since: int) -> int:
        """Wait until there were more changes than `since`; how many there are then."""
