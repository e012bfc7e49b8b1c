"""What a LiveKit access token says of itself, read without its signature: only the room server can judge that. Pure.

No library: it is base64 and JSON. PyJWT would load `cryptography` each time a configuration is read: 67 ms instead of
none.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

SOON_SECONDS = 30 * 86400
"""An expiry nearer than that is told: somebody has to make a new token, and comes by once a month."""

LAST_SECOND = 253_402_300_799
"""The end of the year 9999."""


class NoToken(ValueError):
    """This is no access token. The text says why and repeats none of it."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who (`identity`) may do what in which room; `expires` in seconds since the epoch, None when it never does.

    `publish` is about a camera. What a token does not mention LiveKit grants (livekit/protocol, auth/grants.go).
    """

    room: str
    identity: str
    join: bool
    publish: bool
    subscribe: bool
    expires: float | None


def read(token: str) -> Access:
    """Raises NoToken."""
    claims = _claims(token)
    video = claims.get("video")
    grants: Mapping[str, Any] = video if isinstance(video, dict) else {}
    sources = grants.get("canPublishSources")
    return Access(
        room=_text(grants.get("room")),
        identity=_text(claims.get("sub")) or _text(claims.get("jti")),
        join=grants.get("roomJoin") is True,
        publish=grants.get("canPublish") is not False and (not sources or _holds_camera(sources)),
        subscribe=grants.get("canSubscribe") is not False,
        expires=_seconds(claims.get("exp")),
    )


def _claims(token: str) -> Mapping[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        raise NoToken("is no LiveKit access token: those are three words with a dot between each")
    try:
        claims = json.loads(base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars="-_", validate=True))
    except (ValueError, RecursionError) as error:
        raise NoToken("is no LiveKit access token: what stands between its dots is no base64 of JSON") from error
    if not isinstance(claims, dict):
        raise NoToken("is no LiveKit access token: what stands between its dots is no list of claims")
    return claims


def _holds_camera(sources: object) -> bool:
    return isinstance(sources, list) and "camera" in sources


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _seconds(value: object) -> float | None:
    """Seconds since the epoch, up to what a calendar shows: what lies beyond is never."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= LAST_SECOND else None


# -- what to say of it -------------------------------------------------------------------------------------------------


def expired(access: Access, now: float) -> bool:
    """`now` in seconds since the epoch."""
    return access.expires is not None and access.expires <= now


def expiry(access: Access, now: float) -> str:
    """When it expired, or will before long, in words; empty when that is far off. `now` as for `expired`."""
    if access.expires is None or access.expires > now + SOON_SECONDS:
        return ""
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(access.expires))
    if expired(access, now):
        return f"expired at {when}"
    days = (access.expires - now) / 86400
    left = f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} hours"
    return f"expires in {left}, at {when}"


class Doubt(NamedTuple):
    """What is wrong with a token, in words that follow its name; whether it has `expired`."""

    key: str
    words: str
    expired: bool = False


def doubts(tokens: Mapping[str, str], now: float | None) -> Iterator[Doubt]:
    """About the gateway's `token` and this device's `publish_token`, as far as they are given.

    Nothing about expiry without `now`, which is in seconds since the epoch.
    """
    found: dict[str, Access] = {}
    for key, token in tokens.items():
        try:
            access = found[key] = read(token)
        except NoToken as error:
            yield Doubt(key, str(error))
            continue
        if now is not None and (words := expiry(access, now)):
            yield Doubt(key, words, expired(access, now))
    watcher, publisher = found.get("token"), found.get("publish_token")
    if publisher:
        yield from (Doubt("publish_token", words) for words in _publisher_doubts(publisher))
    if watcher:
        yield from (Doubt("token", words) for words in _watcher_doubts(watcher, publisher))


def _publisher_doubts(access: Access) -> Iterator[str]:
    yield from _join_doubts(access)
    if not access.publish:
        yield "may not publish a camera: its grants need canPublish, and camera where they have canPublishSources"


def _watcher_doubts(access: Access, publisher: Access | None) -> Iterator[str]:
    yield from _join_doubts(access)
    if not access.subscribe:
        yield "may not subscribe, so the API would see nothing: its grants need canSubscribe"
    if publisher is None:
        return
    if access.room != publisher.room and access.room and publisher.room:
        yield f"is for the room {access.room}, and publish_token for {publisher.room}: they must name the same"
    if access.identity == publisher.identity != "":
        yield f"is for {access.identity}, as publish_token is: two of one identity throw each other out of the room"


def _join_doubts(access: Access) -> Iterator[str]:
    if not access.join or not access.room:
        yield "lets nobody join a room: its grants need roomJoin and a room"
    if not access.identity:
        yield "names nobody: it needs an identity (sub)"
