"""A room of the user's own: what the API and this device get to join it, and what is said when they cannot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from overshootd.access import read
from overshootd.config.pieces import SecretRef
from overshootd.config.secret import Redactor, Secret
from overshootd.config.transports import LiveKitTransport, RoomLogin
from overshootd.contracts import Media, Picture, PixelFormat, Publisher, PublishStats, PublishTarget, Target, Wish
from overshootd.errors import CameraLost, Refused, Transient
from overshootd.publish.managed import ManagedPublisher, OwnRoom
from overshootd.simulator.contract import Contract
from tests.unit.test_access import signed

NOW = 1_800_000_000.0
PAIR = RoomLogin(api_key=Secret("key"), api_secret=Secret("a-secret-of-the-server-with-32-letters"))
TRANSPORT = LiveKitTransport(
    url="wss://rooms", api_key="key", api_secret=SecretRef(env="S"), room="yard", identity="pi"
)
BY_TOKENS = LiveKitTransport(url="wss://rooms", token=SecretRef(env="T"), publish_token=SecretRef(env="P"))


def static(expires: float = NOW + 1e8, word: str = "") -> RoomLogin:
    video = {"room": "yard", "roomJoin": True}
    watch = signed({"sub": "gateway", "exp": expires, "video": video, "x": word})
    publish = signed({"sub": "pi", "exp": expires, "video": video, "x": word})
    return RoomLogin(token=Secret(watch), publish_token=Secret(publish))


class Kept:
    """Where a login is kept; what came out as secret."""

    def __init__(self, login: RoomLogin | None) -> None:
        self.login = login
        self.redactor = Redactor()

    def masks(self, text: str) -> bool:
        return text not in self.redactor.redact(text)

    def room(self, transport: LiveKitTransport, login: RoomLogin, now: float = NOW) -> OwnRoom:
        return OwnRoom(transport, login, lambda: self.login, self.redactor, lambda: now)


def minted(kept: Kept | None = None) -> OwnRoom:
    return (kept or Kept(PAIR)).room(TRANSPORT, PAIR)


def test_the_api_is_told_of_the_room_in_its_own_words() -> None:
    source = minted().source()
    request = {"source": source, "processing": {"interval_seconds": 1}, "inference": {"prompt": "x", "model": "m"}}
    assert list(Contract.load("v0.2").request_problems("createStream", request)) == []
    assert (source["type"], source["url"], read(source["token"]).subscribe) == ("livekit", "wss://rooms", True)


def test_each_stream_s_gateway_has_a_name_of_its_own_and_this_device_always_the_same() -> None:
    room = minted()
    watchers = {read(room.source()["token"]).identity for _ in range(5)}
    publishers = {read(room.target().token).identity for _ in range(5)}
    assert (len(watchers), publishers, watchers & publishers) == (5, {"pi"}, set())


def test_both_meet_in_the_room_that_is_configured() -> None:
    room = minted()
    assert {read(room.source()["token"]).room, read(room.target().token).room} == {"yard"}


def test_every_token_that_is_made_is_masked() -> None:
    kept = Kept(PAIR)
    room = minted(kept)
    tokens = [room.source()["token"], room.target().token]
    assert all(map(kept.masks, tokens))
    assert tokens[1] not in repr(room.target())


def test_the_user_s_own_tokens_are_given_as_they_are() -> None:
    login = static()
    room = Kept(login).room(BY_TOKENS, login)
    assert [Secret(room.source()["token"]), Secret(room.target().token)] == [login.token, login.publish_token]


def test_a_token_that_was_replaced_where_it_is_kept_is_taken_and_masked() -> None:
    kept, newer = Kept(None), static(word="newer")
    room = kept.room(BY_TOKENS, static())
    kept.login = newer
    assert Secret(room.target().token) == newer.publish_token
    assert all(kept.masks(secret.reveal()) for secret in (newer.token, newer.publish_token) if secret)


@pytest.mark.parametrize("kept", [None, PAIR, RoomLogin()])
def test_what_cannot_be_read_again_or_is_of_another_kind_leaves_it_as_it_was(kept: RoomLogin | None) -> None:
    login = static()
    assert Secret(Kept(kept).room(BY_TOKENS, login).target().token) == login.publish_token


def test_notes_tell_of_tokens_that_need_somebody() -> None:
    login = static(NOW + 86400 * 3)
    notes = Kept(login).room(BY_TOKENS, login).notes(NOW)
    assert notes == [f"{key} expires in 3 days, at 2027-01-18 08:00 UTC" for key in ("token", "publish_token")]


def test_tokens_that_are_made_need_nobody() -> None:
    assert minted().notes(NOW + 1e8) == []


# -- the publisher -----------------------------------------------------------------------------------------------------


class Inner:
    """A publisher that remembers what was asked of it. Satisfies contracts.Publisher."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[object] = []

    async def source(self) -> Mapping[str, Any]:
        return {"type": "native"}

    async def connect(self, target: Target | None, first: Callable[[], Awaitable[Media]]) -> None:
        self.asked += [target, await first()]
        if self.error is not None:
            raise self.error

    @property
    def connected(self) -> bool:
        return True

    async def rejoin(self) -> None:
        self.asked.append("rejoin")

    def push(self, media: Media) -> Wish:
        self.asked.append(media)
        return Wish(keyframe=True)

    async def watch(self) -> None:
        raise Transient("lost")

    async def stats(self) -> PublishStats:
        return PublishStats(7)

    async def close(self) -> None:
        self.asked.append("close")


PICTURE = Picture(b"", 2, 2, PixelFormat.I420, 0)


async def give() -> Picture:
    return PICTURE


async def test_it_joins_the_user_s_room_whatever_the_api_named() -> None:
    inner = Inner()
    for target in (None, PublishTarget("wss://theirs", "token")):
        await ManagedPublisher(inner, minted()).connect(target, give)
    joined = [asked for asked in inner.asked if isinstance(asked, PublishTarget)]
    assert [(target.url, read(target.token).identity) for target in joined] == [("wss://rooms", "pi")] * 2


async def test_all_else_is_the_publisher_s_inside() -> None:
    inner = Inner()
    publisher: Publisher = ManagedPublisher(inner, minted())
    await publisher.rejoin()
    wish = publisher.push(PICTURE)
    await publisher.close()
    assert inner.asked == ["rejoin", PICTURE, "close"]
    assert (publisher.connected, wish, await publisher.stats()) == (True, Wish(keyframe=True), PublishStats(7))
    with pytest.raises(Transient, match="lost"):
        await publisher.watch()


REFUSED = "joining the room failed: engine: signal failure: client error: 401 Unauthorized - "


@pytest.mark.parametrize(
    ("why", "login", "said"),
    [
        (
            "invalid token: eyJ.eyJ.x, error: token has invalid claims: token is expired",
            static(NOW - 86400),
            "the room server does not let us in (token has invalid claims: token is expired): "
            "token expired at 2027-01-14 08:00 UTC; publish_token expired at 2027-01-14 08:00 UTC",
        ),
        (
            "invalid token: eyJ.eyJ.x, error: token signature is invalid: signature is invalid",
            static(),
            "the room server does not let us in (token signature is invalid: signature is invalid): "
            "publish_token must be made with a key that the server at wss://rooms knows",
        ),
        (
            "invalid API key: key",
            PAIR,
            "the room server does not let us in (invalid API key: key): "
            "api_key and api_secret must be those of the server at wss://rooms, and this machine's clock be right",
        ),
    ],
    ids=["expired", "of another server", "a wrong key"],
)
async def test_who_is_not_let_in_is_told_what_to_do_and_asks_slowly(why: str, login: RoomLogin, said: str) -> None:
    room = Kept(login).room(TRANSPORT if login == PAIR else BY_TOKENS, login)
    with pytest.raises(Refused) as raised:
        await ManagedPublisher(Inner(Transient(REFUSED + why)), room).connect(None, give)
    assert str(raised.value) == said


@pytest.mark.parametrize(
    "error",
    [Transient("joining the room failed: engine: connection timeout after 401 s"), CameraLost(f"{REFUSED}login")],
    ids=["not reached", "the camera's own"],
)
async def test_any_other_failure_stays_what_it_is(error: Transient) -> None:
    with pytest.raises(Transient) as raised:
        await ManagedPublisher(Inner(error), minted()).connect(None, give)
    assert raised.value is error
