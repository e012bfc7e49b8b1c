"""Access tokens for rooms, with no more than each party needs (api/README.md, v0.2 point 1)."""

from __future__ import annotations

from datetime import timedelta

from livekit.api import AccessToken, VideoGrants


def publisher_identity(room: str) -> str:
    return f"publisher-{room}"


def publish_token(key: str, secret: str, room: str, ttl: float) -> str:
    """A LiveKit access token to publish a camera into `room` and do nothing else, valid for `ttl` seconds."""
    grants = VideoGrants(
        room_join=True,
        room=room,
        can_publish=True,
        can_publish_sources=["camera"],
        can_publish_data=False,
        can_subscribe=False,
    )
    return _sign(key, secret, publisher_identity(room), grants, ttl)


def subscribe_token(key: str, secret: str, room: str, identity: str, ttl: float, *, hidden: bool = False) -> str:
    """A LiveKit access token that lets `identity` watch `room` for `ttl` seconds."""
    grants = VideoGrants(
        room_join=True, room=room, can_publish=False, can_publish_data=False, can_subscribe=True, hidden=hidden
    )
    return _sign(key, secret, identity, grants, ttl)


def _sign(key: str, secret: str, identity: str, grants: VideoGrants, ttl: float) -> str:
    token = AccessToken(key, secret).with_identity(identity).with_grants(grants)
    return token.with_ttl(timedelta(seconds=ttl)).to_jwt()
