"""What the command line of `overshootd simulate` says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class LiveKitServer:
    """A livekit-server that runs already: its ws:// or wss:// URL, API key and secret."""

    url: str
    key: str
    secret: str


@dataclass(frozen=True, slots=True)
class TurnServer:
    """A relay that clients of legacy streams are told of: its turn: or turns: URL, and what it asks for."""

    urls: str
    username: str
    credential: str


@dataclass(frozen=True, slots=True)
class Options:
    """Times in seconds; `lease_ttl` None is a lease without end. Port 0 takes a free one.

    `advertise`: host or address that ICE offers, None for every address but loopback. `control`: port of the control
    endpoint on 127.0.0.1, None for no such endpoint.
    """

    host: str = "127.0.0.1"
    port: int = 8900
    keys: tuple[str, ...] = ("ovs_test",)
    media: Literal["embedded", "livekit-server"] = "embedded"
    livekit: LiveKitServer | None = None
    faults: Path | None = None
    advertise: str | None = None
    turn: tuple[TurnServer, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    lease_ttl: float | None = 45.0
    token_ttl: float = 300.0
    control: int | None = None
