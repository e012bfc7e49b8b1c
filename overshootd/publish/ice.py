"""Which STUN and TURN servers the next peer connection is told of. Pure.

aiortc takes one of either kind a connection: so URLs take turns, and the next has its turn when one was of no use.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from overshootd.contracts import IceServer

DEFAULTS = (IceServer("stun:turn.overshoot.ai:3478"),)
"""Where nothing is configured: the API's public server (api/README.md, v0.2 point 1). It tells everybody what their
address is; what it asks of those who want a relay comes with the first answer."""

_STUN = re.compile(r"stun:[^?:@\[\]\s]+(:\d{1,5})?", re.ASCII)
_TURN = re.compile(r"turn:[^?:@\[\]\s]+(:\d{1,5})?(\?transport=(udp|tcp))?", re.ASCII)
_TURNS = re.compile(r"turns:[^?:@\[\]\s]+(:\d{1,5})?(\?transport=tcp)?", re.ASCII)


def usable(server: IceServer) -> bool:
    """Whether aiortc can make something of it: STUN over UDP, TURN over UDP, TCP and TLS (RFC 7064, RFC 7065), by a
    name or an IPv4 address. It knows no STUN over TLS, no TURN over DTLS, and no IPv6 address in a URL; and a relay
    that asks for no password is nobody's."""
    if _STUN.fullmatch(server.url):
        return True
    return bool((_TURN.fullmatch(server.url) or _TURNS.fullmatch(server.url)) and server.username and server.credential)


class IceServers:
    """Those of one stream, which its peer connections share: what the last answer named, then the configured ones."""

    def __init__(self, configured: Sequence[IceServer] = DEFAULTS) -> None:
        self._configured = tuple(filter(usable, configured))
        self._left_out = _useless(configured)
        self._said: frozenset[str] = frozenset()
        self._pool = self._configured
        self._useless: set[str] = set()
        """URLs that failed since any other worked; some of the pool's."""
        self._now: tuple[IceServer, ...] = ()

    def next(self) -> list[IceServer]:
        """For the next connection: one STUN and one TURN server at most."""
        self._now = (*self._of("stun:"), *self._of("turn"))
        return list(self._now)

    def learned(self, servers: Sequence[IceServer]) -> None:
        """What an answer named, for the next time; it stands in for what the answer before it did."""
        self._left_out = _useless(servers)
        if named := tuple(filter(usable, servers)):
            known = {server.url for server in named}
            self._pool = (*named, *(server for server in self._configured if server.url not in known))
            self._useless &= {server.url for server in self._pool}

    def left_out(self) -> list[str]:
        """The URLs last named that are of no use here, unless that was told before."""
        news, self._said = self._left_out - self._said, self._left_out
        return sorted(news)

    def failed(self) -> None:
        """The last ones were of no use: others of their kind have their turn."""
        self._useless |= {server.url for server in self._now}

    def _of(self, scheme: str) -> Sequence[IceServer]:
        """The first that has not failed; when all have, all may try again."""
        kind = [server for server in self._pool if server.url.startswith(scheme)]
        fresh = [server for server in kind if server.url not in self._useless]
        if not fresh:
            self._useless -= {server.url for server in kind}
        return (fresh or kind)[:1]


def _useless(servers: Sequence[IceServer]) -> frozenset[str]:
    """Without what somebody wrote before an @, where such URLs have no place for it: it may be a password."""
    return frozenset(re.sub(r":.*@", ":…@", server.url) for server in servers if not usable(server))
