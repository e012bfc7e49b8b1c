"""Rooms on a real livekit-server: each is watched by a hidden subscriber of ours."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

import aiohttp
from livekit import api

from overshootd.simulator import tokens
from overshootd.simulator.media import Eye, RoomAccess
from overshootd.simulator.watcher import Watcher

_LOG = logging.getLogger(__name__)
_SERVER_TIMEOUT = aiohttp.ClientTimeout(total=5)
_OWN_TTL = 600.0  # seconds; a fresh token is made for each attempt to join
_PATIENCE = 30.0  # seconds; the contract names none
_UNREACHABLE = (aiohttp.ClientError, api.TwirpError, OSError)


class LiveKitRooms:
    """A MediaAdapter. `url` is the server's ws:// or wss:// URL, for us and for clients; `key` and `secret` are its."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        self._url, self._key, self._secret = url, key, secret
        self._watchers: dict[str, Watcher] = {}
        self._server: api.LiveKitAPI | None = None

    async def start(self) -> None:
        """Raises RuntimeError when the server does not answer or does not take our key."""
        self._server = api.LiveKitAPI(self._url, self._key, self._secret, timeout=_SERVER_TIMEOUT, failover=False)
        try:
            await self._server.room.list_rooms(api.ListRoomsRequest())
        except _UNREACHABLE as error:
            await self.close()
            raise RuntimeError(f"livekit-server at {self._url} cannot be used: {error}") from error

    async def open_room(self, stream_id: str, eye: Eye) -> None:
        """Does not wait for the server: whoever comes first creates the room there, and we join as soon as we can."""

        def token() -> str:
            return tokens.subscribe_token(self._key, self._secret, stream_id, "gateway", _OWN_TTL, hidden=True)

        watcher = self._watchers[stream_id] = Watcher(self._url, token, eye, tokens.publisher_identity(stream_id))
        watcher.start()

    def publish_access(self, stream_id: str, ttl: float) -> RoomAccess:
        return RoomAccess(self._url, tokens.publish_token(self._key, self._secret, stream_id, ttl))

    def spectate_access(self, stream_id: str, ttl: float) -> RoomAccess:
        identity = f"spectator-{secrets.token_hex(4)}"
        return RoomAccess(self._url, tokens.subscribe_token(self._key, self._secret, stream_id, identity, ttl))

    async def close_room(self, stream_id: str) -> None:
        """A server that does not answer keeps the room until its clients leave; that is logged."""
        if (watcher := self._watchers.pop(stream_id, None)) is None or self._server is None:
            return
        await watcher.close()
        try:
            await self._server.room.delete_room(api.DeleteRoomRequest(room=stream_id))
        except _UNREACHABLE as error:
            if not (isinstance(error, api.TwirpError) and error.code == api.TwirpErrorCode.NOT_FOUND):
                _LOG.warning("room %s is not deleted: %s", stream_id, error)

    async def close(self) -> None:
        for stream_id in list(self._watchers):
            await self.close_room(stream_id)
        if self._server is not None:
            await self._server.aclose()
            self._server = None


async def watch_foreign(
    url: str, token: str, eye: Eye, lost: Callable[[str], None], patience: float = _PATIENCE
) -> Watcher:
    """Watch a room that somebody else runs, with the subscribe token they gave; `close()` the Watcher to leave.

    Raises RuntimeError when it cannot be joined. If the connection is lost later it rejoins with the same token; when
    that has failed for `patience` seconds, because the token ran out or the server is gone, it calls `lost`.
    """
    watcher = Watcher(url, lambda: token, eye, patience=patience, lost=lost)
    await watcher.join()
    return watcher
