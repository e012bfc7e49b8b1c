"""Rooms without a LiveKit server: LiveKit's signalling on our own HTTP server, the media by aiortc.

One publisher a room, no resume (a client that tries is sent into a full reconnect), no subscribers.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import jwt
from aiohttp import web
from livekit.api import TokenVerifier
from livekit.api.access_token import Claims
from livekit.protocol import models

from overshootd.simulator import tokens
from overshootd.simulator.media import Eye, RoomAccess
from overshootd.simulator.peer import host_address
from overshootd.simulator.publisher import Publisher
from overshootd.simulator.signalling import parse_join

_KEY = "simulator"
_CLOSE_TIMEOUT = 2.0  # seconds for a client's closing handshake; one behind a dead path never answers
_LOG = logging.getLogger(__name__)


@dataclass
class _Room:
    eye: Eye
    publisher: Publisher | None = None


class EmbeddedRooms:
    """A MediaAdapter. Whoever owns the HTTP server adds `routes()` to it.

    `advertise`: the host or address that ICE offers, None for every address but loopback.
    `url`: gives the ws:// or wss:// URL under which `routes()` are reached, without `/rtc`; asked when a token is made.
    """

    def __init__(self, advertise: str | None, url: Callable[[], str]) -> None:
        self._advertise, self._url = advertise, url
        self._secret = secrets.token_hex(32)
        # livekit-server allows a minute of leeway; we allow none, so that a token TTL means what it says
        self._verifier = TokenVerifier(_KEY, self._secret, leeway=timedelta(0))
        self._rooms: dict[str, _Room] = {}

    def routes(self) -> list[web.RouteDef]:
        """LiveKit's signalling endpoints. A join request with its SDP offer makes a URL of up to 8 kB."""
        return [
            web.get("/rtc", self._join),
            web.get("/rtc/v1", self._join),
            web.get("/rtc/validate", self._validate),
            web.get("/rtc/v1/validate", self._validate),
        ]

    async def start(self) -> None:
        self._advertise = await host_address(self._advertise)

    async def open_room(self, stream_id: str, eye: Eye) -> None:
        self._rooms[stream_id] = _Room(eye)

    def publish_access(self, stream_id: str, ttl: float) -> RoomAccess:
        return RoomAccess(self._url(), tokens.publish_token(_KEY, self._secret, stream_id, ttl))

    def spectate_access(self, stream_id: str, ttl: float) -> RoomAccess:
        """A token that names the room truly; joining with it is refused with 403 and the reason."""
        identity = f"spectator-{secrets.token_hex(4)}"
        return RoomAccess(self._url(), tokens.subscribe_token(_KEY, self._secret, stream_id, identity, ttl))

    async def close_room(self, stream_id: str) -> None:
        room = self._rooms.pop(stream_id, None)
        if room is not None and room.publisher is not None:
            await room.publisher.send_away(models.ROOM_DELETED)
            await room.publisher.wait_closed()

    async def close(self) -> None:
        for stream_id in list(self._rooms):
            await self.close_room(stream_id)

    async def _validate(self, request: web.Request) -> web.Response:
        self._admit(request)
        return web.Response(text="success")

    async def _join(self, request: web.Request) -> web.StreamResponse:
        stream_id, identity, room = self._admit(request)
        try:
            options = parse_join(request.query)
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        socket = web.WebSocketResponse(timeout=_CLOSE_TIMEOUT)
        await socket.prepare(request)
        publisher = Publisher(socket, room.eye, self._advertise)
        if options.reconnect:
            await publisher.refuse_resume()
            return socket
        former, room.publisher = room.publisher, publisher
        if former is not None:
            await former.send_away(models.DUPLICATE_IDENTITY)
        await publisher.run(stream_id, identity, options)
        if room.publisher is publisher:
            room.publisher = None
        return socket

    def _admit(self, request: web.Request) -> tuple[str, str, _Room]:
        """Stream id, identity and room of the request's token. Raises 401, 403 or 404, as livekit-server does."""
        claims = self._claims(request)
        stream_id = claims.video.room if claims.video else ""
        if claims.video is None or not claims.video.room_join:
            raise web.HTTPUnauthorized(text="permissions denied")
        if not claims.video.can_publish:
            raise web.HTTPForbidden(
                text="this room has no subscribers: run the simulator with --media livekit-server to spectate"
            )
        if (room := self._rooms.get(stream_id)) is None:
            raise web.HTTPNotFound(text="requested room does not exist")
        return stream_id, claims.identity, room

    def _claims(self, request: web.Request) -> Claims:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.query.get(
            "access_token", ""
        )
        try:
            return self._verifier.verify(token)
        except jwt.InvalidTokenError as error:
            raise web.HTTPUnauthorized(text=f"invalid token: {error}") from error
