"""Publishing to a room of the user's own: the API's gateway joins it with one token, this device with another."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from overshootd.access import doubts
from overshootd.config.secret import Redactor, Secret
from overshootd.config.transports import LiveKitTransport, RoomLogin
from overshootd.contracts import Media, Publisher, PublishStats, PublishTarget, Target, Wish
from overshootd.errors import CameraLost, Refused, Transient

NOT_LET_IN = re.compile(r"client error: 401 Unauthorized - (?:invalid token: \S+, error: )?(.*)")
"""The library's words for a join that livekit-server refuses (SDK 1.2.1, server 1.13.5), and why it does: "token is
expired", "invalid API key: …", "permissions denied". There is nothing but a text."""


class OwnRoom:
    """The room of one stream, and how both get in: with the user's tokens, or with such as are made here.

    `login` is read again for each token that is needed, so that whoever puts a new one where the old is kept need not
    restart us. `redactor` masks both, and what is made here. `clock`: seconds since the epoch.
    """

    def __init__(
        self,
        transport: LiveKitTransport,
        login: RoomLogin,
        again: Callable[[], RoomLogin | None],
        redactor: Redactor,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`again` gives the login as it is kept now, None when it cannot be read."""
        self._transport, self._login, self._again = transport, login, again
        self._redactor, self._clock = redactor, clock

    def source(self) -> Mapping[str, Any]:
        """For the API: where it finds the room, and the token that it joins with."""
        return {"type": "livekit", "url": self._transport.url, "token": self._watch_token().reveal()}

    def target(self) -> PublishTarget:
        """For this device, with a token of its own."""
        return PublishTarget(self._transport.url, self._publish_token().reveal())

    def notes(self, now: float) -> list[str]:
        """What somebody should see to: tokens of the user's that have expired, will before long, or do not suffice.

        `now` in seconds since the epoch. Tokens that are made here need nobody.
        """
        return [f"{doubt.key} {doubt.words}" for doubt in doubts(self._login.tokens, now)]

    def refusal(self, why: str) -> str:
        """What a person can do about a join that the server refused for this reason."""
        return f"the room server does not let us in ({why}): {'; '.join(self.notes(self._clock())) or self._remedy()}"

    def _remedy(self) -> str:
        server = f"the server at {self._transport.url}"
        if self._login.tokens:
            return f"publish_token must be made with a key that {server} knows"
        return f"api_key and api_secret must be those of {server}, and this machine's clock be right"

    def _watch_token(self) -> Secret:
        # A name of its own for each stream: two gateways of one name would throw each other out.
        return self._read_again().token or self._made("watch", f"overshoot-{secrets.token_hex(4)}")

    def _publish_token(self) -> Secret:
        return self._read_again().publish_token or self._made("publish", self._transport.identity)

    def _made(self, what: Literal["watch", "publish"], identity: str | None) -> Secret:
        from overshootd.publish import tokens  # 24 MB and 0.36 s, for those alone who have them made

        key, secret, room = self._login.api_key, self._login.api_secret, self._transport.room
        if key is None or secret is None or room is None or identity is None:
            raise AssertionError("the loader breaks a stream that has no way into its room")
        make = tokens.watch_token if what == "watch" else tokens.publish_token
        token = make(key, secret, room, identity, self._clock())
        self._redactor.remember(token)
        return token

    def _read_again(self) -> RoomLogin:
        """The login as it is kept now. Another kind of it goes with another transport, and waits for the restart."""
        login = self._again()
        if login is not None and login.given == self._login.given and login != self._login:
            for secret in filter(None, (login.token, login.publish_token, login.api_secret)):
                self._redactor.add(secret)
            self._login = login
        return self._login


class ManagedPublisher:
    """A publisher to a room that the API names, led to one that the user runs. Satisfies contracts.Publisher."""

    def __init__(self, inner: Publisher, room: OwnRoom) -> None:
        self._inner, self._room = inner, room

    async def source(self) -> Mapping[str, Any]:
        return self._room.source()

    async def connect(self, target: Target | None, first: Callable[[], Awaitable[Media]]) -> None:
        """`target` is not asked for: the API names no room. Raises Refused where the server does not let us in."""
        try:
            await self._inner.connect(self._room.target(), first)
        except CameraLost:
            raise
        except Transient as error:
            if refused := NOT_LET_IN.search(str(error)):
                # A person has to act, and a stream is billed while we knock: none is kept for that.
                raise Refused(self._room.refusal(refused[1])) from error
            raise

    @property
    def connected(self) -> bool:
        return self._inner.connected

    async def rejoin(self) -> None:
        await self._inner.rejoin()

    def push(self, media: Media) -> Wish:
        return self._inner.push(media)

    async def watch(self) -> None:
        await self._inner.watch()

    async def stats(self) -> PublishStats:
        return await self._inner.stats()

    async def close(self) -> None:
        await self._inner.close()
