"""What the daemon lets itself and the API's gateway do in a room of the user's own."""

from collections.abc import Callable

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.api import TokenVerifier

from overshootd.access import read
from overshootd.config.secret import Secret
from overshootd.publish.tokens import PUBLISH_SECONDS, WATCH_SECONDS, publish_token, watch_token

KEY, SECRET = Secret("key"), Secret("a-secret-of-the-server-with-32-letters")
NAMES = st.text(min_size=1, max_size=20)
TIMES = st.floats(0, 4e9)


@given(NAMES, NAMES, TIMES)
def test_a_publish_token_lets_this_device_show_a_camera_and_nothing_else(room: str, identity: str, now: float) -> None:
    access = read(publish_token(KEY, SECRET, room, identity, now).reveal())
    assert (access.room, access.identity, access.join) == (room, identity, True)
    assert (access.publish, access.subscribe) == (True, False)
    assert access.expires == int(now + PUBLISH_SECONDS)


@given(NAMES, NAMES, TIMES)
def test_a_watch_token_lets_the_gateway_watch_and_nothing_else(room: str, identity: str, now: float) -> None:
    access = read(watch_token(KEY, SECRET, room, identity, now).reveal())
    assert (access.room, access.identity, access.join) == (room, identity, True)
    assert (access.publish, access.subscribe) == (False, True)
    assert access.expires == int(now + WATCH_SECONDS)


@pytest.mark.parametrize("make", [publish_token, watch_token])
def test_the_server_s_library_takes_them(make: Callable[[Secret, Secret, str, str, float], Secret]) -> None:
    token = make(KEY, SECRET, "yard", "pi", 4e9).reveal()
    claims = TokenVerifier(KEY.reveal(), SECRET.reveal()).verify(token)
    assert claims.video is not None
    assert (claims.video.room, claims.video.can_publish_data) == ("yard", False)


@pytest.mark.parametrize("make", [publish_token, watch_token])
def test_a_clock_that_is_ahead_makes_no_token_that_has_to_wait(
    make: Callable[[Secret, Secret, str, str, float], Secret],
) -> None:
    claims = jwt.decode(make(KEY, SECRET, "yard", "pi", 4e9).reveal(), options={"verify_signature": False})
    assert claims.keys() == {"iss", "sub", "exp", "video"}
