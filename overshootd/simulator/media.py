"""What the gateway needs of media: rooms that one publisher fills, and eyes that see what arrived.

Two adapters satisfy `MediaAdapter` (design.md, "The simulator"): `embedded` speaks LiveKit's signalling itself,
`rooms` joins the rooms of a real livekit-server. The gateway knows neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ArrivedFrame:
    """One decoded frame as it left the decoder.

    `luma` gives the picture's Y plane, shape (height, width), and is only called for frames that are sampled.
    `arrived` is `time.time()` at arrival, in seconds.
    """

    width: int
    height: int
    arrived: float
    luma: Callable[[], Luma]


class Eye(Protocol):
    """Receives what one stream publishes. Called from the event loop; must not block."""

    def frame(self, frame: ArrivedFrame) -> None: ...

    def violation(self, what: str) -> None:
        """The publisher did something the API does not ask for (simulcast, a second track, auto-subscribe, …)."""

    def publisher_left(self, why: str) -> None: ...


@dataclass(frozen=True, slots=True)
class RoomAccess:
    """Where and with what a client joins: a ws:// or wss:// URL and a LiveKit access token (a JWT)."""

    url: str
    token: str


class MediaAdapter(Protocol):
    """Rooms for native streams, one per stream."""

    async def start(self) -> None:
        """Make ready. Raises OSError or RuntimeError with one clear sentence when it cannot."""

    async def open_room(self, stream_id: str, eye: Eye) -> None:
        """Create the room `stream_id` and begin to watch it."""

    def publish_access(self, stream_id: str, ttl: float) -> RoomAccess:
        """A fresh publish-only access, valid for `ttl` seconds."""

    def spectate_access(self, stream_id: str, ttl: float) -> RoomAccess:
        """A fresh subscribe-only access, valid for `ttl` seconds."""

    async def close_room(self, stream_id: str) -> None:
        """End the room; its publisher is disconnected. Idempotent."""

    async def close(self) -> None: ...
