"""The HTTP proxy that the environment names. The three libraries find it there by themselves; here it is read so that
it is told once, that its password never is, and that one which only some of them understand is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from overshootd.config.secret import Secret
from overshootd.contracts import Log
from overshootd.errors import ConfigError

NAMES = ("https_proxy", "http_proxy", "all_proxy")
"""Small letters or capitals."""

URL = re.compile(r"http://(?:[^/?#@]*@)?(?P<host>\[[^\]/]+\]|[^/?#@:\[\]]+):(?P<port>\d+)/?")
"""All that httpx, websockets and the LiveKit library have in common: of those, the last knows neither SOCKS nor a proxy
without http:// (1.2.1)."""


class Named(NamedTuple):
    """The variable, and its value."""

    name: str
    url: str


def named(environ: Mapping[str, str]) -> Iterator[Named]:
    """The proxies of the environment; an empty variable is none."""
    for name in NAMES:
        for spelled in (name, name.upper()):
            if value := environ.get(spelled, "").strip():
                yield Named(spelled, value)


def hosts(environ: Mapping[str, str]) -> set[str]:
    """Where those proxies are: with one on the way, it is the way to it that counts."""
    return {match["host"].strip("[]") for _, url in named(environ) if (match := URL.fullmatch(url))}


def passwords(environ: Mapping[str, str]) -> list[Secret]:
    """What must be masked, as it is written and as it is meant, also where the rest is no sound URL."""
    found = [re.match(r"(?:.*?//)?[^:@]*:(.*)@", url) for _, url in named(environ)]
    return [Secret(form) for match in found if match for form in {match[1], unquote(match[1])}]


def tell(environ: Mapping[str, str], log: Log) -> None:
    """Say where the way leads. Raises ConfigError for a proxy that cannot be used."""
    for name, url in named(environ):
        match = URL.fullmatch(url)
        if match is None:
            raise ConfigError(
                f"{name} in the environment: a proxy must be http://HOST:PORT or http://USER:PASSWORD@HOST:PORT"
            )
        log.info(f"{name}: connections go through the proxy {match['host']}:{match['port']}, but for media by UDP")
