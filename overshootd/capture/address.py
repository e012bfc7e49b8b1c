"""Where a network camera streams: what FFmpeg is given, and what anybody may see of it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from overshootd.config.secret import Secret

_HOST = re.compile(r"(\[[^\]@]*\]|[^:@\[\]]*)(:[0-9]*)?")

_AS_THEY_ARE = "!$&'()*+,;="
"""What may stand in a login beside letters and digits (RFC 3986, 3.2.1). Encoded, each takes three bytes."""

LOGIN_LIMIT = 127
"""Bytes of a URL's login, as far as FFmpeg's RTSP reads it (char auth[128] in its rtsp.c)."""


@dataclass(frozen=True, slots=True)
class Address:
    """`url` is the whole, `login` what stands in it before the @.

    `shown` has no login, nothing of the query, and nothing of a path like one: many a camera wants its password there.
    """

    url: Secret
    shown: str
    login: Secret | None


def address(url: str, username: str | None, password: Secret | None) -> Address:
    """With the login given, else with that of the URL. Raises ValueError for what is no URL, without repeating it."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ValueError("not a URL")
    userinfo, at, host, path = _split(rest)
    seen = scheme + separator + ("…" if _is_ambiguous(userinfo + host, path) else host + _seen(path))
    login = _login(userinfo, username, password)
    if login is None:
        return Address(Secret(f"{scheme}://{at}{host}{path}"), seen, None)
    return Address(Secret(f"{scheme}://{login}@{host}{path}"), seen, Secret(login))


def _split(rest: str) -> tuple[str, str, str, str]:
    """Userinfo, @, host with port, and what follows (RFC 3986, 3.2)."""
    end = re.search(r"[/?#]|\Z", rest)
    assert end is not None, "there is always an end"
    userinfo, at, host = rest[: end.start()].rpartition("@")
    path = rest[end.start() :]
    if _HOST.fullmatch(host) or "@" not in path:
        return userinfo, at, host, path
    # A password with a slash in it, however wrong that is: it ends with the last @.
    userinfo, at, rest = rest.rpartition("@")
    return userinfo, at, *_split(rest)[2:]


def _is_ambiguous(authority: str, path: str) -> bool:
    """host:80/a@b may be a path, and may be a user whose password begins like a port, or like a host."""
    before, at, _ = path.rpartition("@")
    return bool(at) and ":" in authority + before


def _login(userinfo: str, username: str | None, password: Secret | None) -> str | None:
    name, colon, word = (unquote(part) for part in userinfo.partition(":"))
    if username is not None or password is not None:
        name, colon, word = username or name, ":", password.reveal() if password else word
    if not name and not colon:
        return None
    return quote(name, safe=_AS_THEY_ARE) + colon + quote(word, safe=_AS_THEY_ARE)


def _seen(path: str) -> str:
    """The path up to the first part with a value in it."""
    plain, query, _ = path.partition("?")
    plain = plain.partition("#")[0]
    if "=" in plain:
        return plain[: plain.rindex("/", 0, plain.index("=")) + 1] + "…"
    return plain + (query and "?…")
