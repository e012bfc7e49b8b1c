"""A socket as paho uses it, for fewer system calls: each gives up the interpreter's lock and has to wait for it again.

paho reads an acknowledgement in three pieces and sends each publication by itself.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

READ_BYTES = 16 * 1024
"""At a time: thousands of acknowledgements."""


class ReadAhead(socket.socket):
    """Takes over `sock`, a connected one. What was read and not yet taken is `pending`, as with TLS: aiomqtt asks for
    it before it waits for more."""

    def __init__(self, sock: socket.socket) -> None:
        seconds = sock.gettimeout()
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.settimeout(seconds)
        self._read = b""
        self._taken = 0

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        if not self.pending():
            self._read, self._taken = super().recv(max(bufsize, READ_BYTES), flags), 0
        data = self._read[self._taken : self._taken + bufsize]
        self._taken += len(data)
        return data

    def pending(self) -> int:
        """Bytes."""
        return len(self._read) - self._taken


@contextmanager
def together(sock: Any) -> Iterator[None]:
    """What is sent meanwhile fills packets; at the end the last goes too. Raises OSError."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    try:
        yield
    finally:
        if sock.fileno() >= 0:  # else it was closed meanwhile
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
