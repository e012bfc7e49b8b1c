"""Who logs in to a network camera, and every password that the URLs of a configuration hold.

A password inside a URL is taken out of it, so that no text that shows the URL shows the password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from overshootd.config.secret import Secret

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")

_USERINFO = re.compile(r"://([^/?#\s@]*(?:@[^/?#\s@]*)*)@")
"""What stands before the last @ of a URL's authority (RFC 3986, 3.2), which is where FFmpeg ends it too."""

_NAMED = re.compile(r"(?i)(?:pass(?:word|wd|phrase)?|passw|pwd|pw|token|secret|api_?key)=([^&?;#/\s]+)")
"""A password in the path or query, as many cheap cameras want it: /user=admin_password=…_channel=1."""


@dataclass(frozen=True, slots=True)
class Login:
    """A URL without its login, and the login, decoded."""

    url: str
    username: str | None
    password: Secret | None


def split_login(url: str) -> Login:
    """Take the login out of a URL. Raises ValueError for one that is none, without repeating it."""
    try:
        parts = urlsplit(url)
        port, userinfo = parts.port, parts.netloc.rpartition("@")[0]
    except ValueError:
        raise ValueError("unusable URL") from None  # urllib's own sentence may repeat the password
    if port == 0:
        raise ValueError("unusable URL")
    if not userinfo:  # udp://@239.0.0.1:5000 has an empty one, which means something to FFmpeg
        return Login(url, None, None)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    name, _, password = userinfo.partition(":")
    return Login(bare, unquote(name) or None, Secret(unquote(password)) if password else None)


def secrets_in(text: str) -> Iterator[Secret]:
    """Every password in the URLs of this text, as it is written there and decoded."""
    found = [userinfo.partition(":")[2] for userinfo in _USERINFO.findall(text)]
    for value in _NAMED.findall(text):
        found += [value, value.partition("_")[0]]  # a password may have a _ in it, and may end at one
    yield from (Secret(shape) for value in found for shape in dict.fromkeys((value, unquote(value))) if shape)
