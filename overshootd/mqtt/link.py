"""What a connection to a broker is made with."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from overshootd.config.secret import Secret


@dataclass(frozen=True, slots=True)
class Link:
    """`key` is the broker's in the configuration ("brokers.home"), `path` that of a WebSocket, None without; `will` its
    topic and payload."""

    key: str
    url: str
    host: str
    port: int
    version: str
    client_id: str
    will: tuple[str, bytes]
    keepalive: int
    username: str | None = None
    password: Secret | None = None
    tls: Callable[[], ssl.SSLContext] | None = None
    path: str | None = None

    @property
    def at(self) -> str:
        """Host and port, for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
