"""Tokens that somebody else made: what they say of themselves, whatever they are."""

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.api import AccessToken, TokenVerifier, VideoGrants

from overshootd.access import Access, NoToken, doubts, expired, expiry, read

NOW = 1_800_000_000.0
DAY = 86400.0
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CLAIMS = st.dictionaries(
    st.sampled_from(["exp", "sub", "jti", "video", "nbf"]),
    JSON
    | st.dictionaries(
        st.sampled_from(["room", "roomJoin", "canPublish", "canSubscribe", "canPublishSources"]), JSON, max_size=5
    ),
)


def signed(claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{body}.c2ln"


@given(st.text(min_size=12))
def test_a_text_that_is_no_token_is_told_without_being_repeated(text: str) -> None:
    (doubt,) = doubts({"token": text}, None)
    assert doubt.words.startswith("is no LiveKit access token: ")
    assert text not in doubt.words


@given(st.binary(max_size=60))
def test_whatever_stands_between_the_dots(body: bytes) -> None:
    for encoded in (base64.urlsafe_b64encode(body).decode(), body.decode("latin-1")):
        try:
            read(f"a.{encoded}.b")
        except NoToken:
            continue


@given(CLAIMS, st.floats(0, 4e9))
def test_any_claims_can_be_judged(claims: dict[str, Any], now: float) -> None:
    token = signed(claims)
    access = read(token)
    assert access.expires is None or 0 <= access.expires < 2.6e11
    assert all(doubt.words.isprintable() or access.room or access.identity for doubt in doubts({"token": token}, now))
    assert expired(access, now) == any(doubt.expired for doubt in doubts({"token": token, "publish_token": token}, now))


def test_json_that_is_nested_for_ever_is_no_token() -> None:
    body = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    with pytest.raises(NoToken, match="no base64 of JSON"):
        read(f"a.{body}.b")


GRANTS = st.builds(
    VideoGrants,
    room_join=st.sampled_from([True, False, None]),
    room=st.sampled_from(["yard", "attic"]),
    can_publish=st.booleans(),
    can_subscribe=st.booleans(),
    can_publish_sources=st.none() | st.lists(st.sampled_from(["camera", "microphone"]), max_size=2),
)


@given(GRANTS, st.integers(1, 4_000_000_000))
def test_it_reads_what_the_library_wrote(grants: VideoGrants, exp: int) -> None:
    secret = "s" * 32
    claims = AccessToken("key", secret).with_grants(grants).claims.asdict()
    token = jwt.encode({**claims, "sub": "pi", "exp": exp}, secret, "HS256")
    access = read(token)
    theirs = TokenVerifier("key", secret).verify(token, verify_signature=False).video
    assert theirs is not None
    sources = theirs.can_publish_sources
    assert access == Access(
        room=theirs.room,
        identity="pi",
        join=bool(theirs.room_join),
        publish=theirs.can_publish and (not sources or "camera" in sources),
        subscribe=theirs.can_subscribe,
        expires=float(exp),
    )


def test_what_a_token_does_not_mention_is_granted() -> None:
    access = read(signed({"video": {"room": "x", "roomJoin": True}}))
    assert (access.publish, access.subscribe, access.expires) == (True, True, None)


def test_an_identity_may_stand_in_the_id_as_the_server_takes_it() -> None:
    assert read(signed({"jti": "pi"})).identity == "pi"


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (31 * DAY, ""),
        (30 * DAY, "expires in 30 days, at 2027-02-14 08:00 UTC"),
        (2 * DAY, "expires in 2 days, at 2027-01-17 08:00 UTC"),
        (1.5 * DAY, "expires in 36 hours, at 2027-01-16 20:00 UTC"),
        (0.0, "expired at 2027-01-15 08:00 UTC"),
        (-DAY, "expired at 2027-01-14 08:00 UTC"),
    ],
)
def test_an_expiry_is_told_in_time(left: float, words: str) -> None:
    access = read(signed({"exp": NOW + left}))
    assert expiry(access, NOW) == words
    assert expired(access, NOW) == words.startswith("expired")


@pytest.mark.parametrize("exp", [None, True, "soon", 10**400, -5, float("nan"), float("inf")])
def test_an_expiry_that_is_no_time_is_none(exp: Any) -> None:
    assert read(signed({"exp": exp})).expires is None


def test_without_the_time_nothing_is_said_about_it() -> None:
    token = signed({"sub": "a", "exp": 1, "video": {"room": "x", "roomJoin": True}})
    assert list(doubts({"publish_token": token}, None)) == []
