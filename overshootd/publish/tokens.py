"""Access tokens for a room of the user's own, made with `livekit-api`, with no more than each who joins needs. Pure.

They say when they end and not when they begin, which `AccessToken.to_jwt` would add: a clock that is ahead would make
tokens that nobody takes before its time comes. So PyJWT, which `livekit-api` brings, signs what that composed.
"""

from __future__ import annotations

import jwt
from livekit.api import AccessToken, VideoGrants

from overshootd.config.secret import Secret

PUBLISH_SECONDS = 6 * 3600
"""The server takes a token at a join and from then on hands out its own, so minutes would do. It never leaves this
device but to that server, and of a clock that is behind by less than this (it stood still while the power was off) the
tokens are good. It is LiveKit's own default too."""

WATCH_SECONDS = 7 * 86400
"""v0.2 takes the gateway's token once, when a stream is created. The server renews it for as long as the gateway stays;
after a deploy the gateway has to join with what it was given. A stream that is older than this then ends, and the next
has a new token: seconds are lost, once a week at most. A token for years would let whoever finds it watch for years."""


def publish_token(key: Secret, secret: Secret, room: str, identity: str, now: float) -> Secret:
    """Lets `identity` publish a camera, and do nothing else. `now` in seconds since the epoch."""
    grants = VideoGrants(
        room_join=True,
        room=room,
        can_publish=True,
        can_publish_sources=["camera"],
        can_publish_data=False,
        can_subscribe=False,
    )
    return _signed(key, secret, identity, grants, now + PUBLISH_SECONDS)


def watch_token(key: Secret, secret: Secret, room: str, identity: str, now: float) -> Secret:
    """Lets `identity` watch, and do nothing else. `now` in seconds since the epoch."""
    grants = VideoGrants(room_join=True, room=room, can_publish=False, can_publish_data=False, can_subscribe=True)
    return _signed(key, secret, identity, grants, now + WATCH_SECONDS)


def _signed(key: Secret, secret: Secret, identity: str, grants: VideoGrants, expires: float) -> Secret:
    claims = AccessToken(key.reveal(), secret.reveal()).with_grants(grants).claims.asdict()
    claims |= {"iss": key.reveal(), "sub": identity, "exp": int(expires)}
    return Secret(jwt.encode(claims, secret.reveal(), algorithm="HS256"))
