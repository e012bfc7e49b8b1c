"""Which ICE servers a peer connection is told of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.contracts import IceServer
from overshootd.publish.ice import DEFAULTS, IceServers, usable

STUN = IceServer("stun:stun.lan")


def turn(name: str, transport: str = "udp") -> IceServer:
    return IceServer(f"turn:{name}:3478?transport={transport}", "gate", "secret")


def urls(servers: list[IceServer]) -> list[str]:
    return [server.url for server in servers]


def test_the_configured_servers_come_first() -> None:
    assert IceServers([STUN, turn("a")]).next() == [STUN, turn("a")]


def test_without_configuration_the_public_server_is_asked() -> None:
    assert IceServers().next() == list(DEFAULTS)


def test_whoever_wants_none_gets_none() -> None:
    assert IceServers([]).next() == []


def test_what_an_answer_named_comes_next_time() -> None:
    servers = IceServers([STUN, turn("a")])
    servers.next()
    servers.learned([turn("b")])
    assert servers.next() == [STUN, turn("b")]


def test_fresh_credentials_take_the_place_of_stale_ones() -> None:
    servers = IceServers([IceServer("turn:a", "gate", "stale")])
    servers.learned([IceServer("turn:a", "gate", "fresh")])
    servers.failed()
    assert servers.next() == [IceServer("turn:a", "gate", "fresh")]


def test_a_connection_is_told_of_one_server_of_each_kind() -> None:
    servers = IceServers([STUN, IceServer("stun:other"), turn("a"), turn("b")])
    assert servers.next() == [STUN, turn("a")]


def test_after_a_failure_the_next_url_has_its_turn_and_keeps_it_while_it_works() -> None:
    servers = IceServers([turn("a", "udp"), turn("a", "tcp"), turn("b")])
    told = []
    for failed in (True, False, True, True):
        told += servers.next()
        if failed:
            servers.failed()
    assert told == [turn("a", "udp"), turn("a", "tcp"), turn("a", "tcp"), turn("b")]
    assert servers.next() == [turn("a", "udp")]


def test_a_url_that_failed_is_not_first_again_because_the_answer_names_it_again() -> None:
    servers = IceServers([])
    servers.learned([turn("a"), turn("b")])
    servers.next()
    servers.failed()
    servers.learned([turn("a"), turn("b")])
    assert servers.next() == [turn("b")]


def test_where_all_that_were_learned_failed_the_configured_ones_have_their_turn() -> None:
    servers = IceServers([turn("own")])
    servers.learned([turn("a")])
    servers.next()
    servers.failed()
    assert servers.next() == [turn("own")]


def test_an_answer_that_names_none_takes_nothing_away() -> None:
    servers = IceServers([turn("own")])
    servers.learned([turn("a")])
    servers.learned([])
    assert servers.next() == [turn("a")]


@pytest.mark.parametrize(
    "url",
    [
        *("stun:stun.lan", "stun:192.0.2.1:3478"),
        *("turn:relay.lan", "turn:relay.lan:443?transport=tcp", "turn:192.0.2.1?transport=udp"),
        *("turns:relay.lan", "turns:relay.lan:443?transport=tcp"),
    ],
)
def test_what_aiortc_understands_is_usable(url: str) -> None:
    assert usable(IceServer(url, "gate", "secret"))


@pytest.mark.parametrize(
    "url",
    [
        *("", "relay.lan", "http://relay.lan", "stuns:stun.lan", "stun:stun.lan?transport=udp"),
        *("turn:", "turn:relay.lan:port", "turns:relay.lan?transport=udp", "turn:relay.lan?transport=sctp"),
        *("turn:[2001:db8::1]:3478", "turn:relay.lan\n", "turn:gate@relay.lan"),
    ],
)
def test_what_aiortc_does_not_understand_is_told_and_left_out(url: str) -> None:
    servers = IceServers([])
    odd = IceServer(url, "gate", "secret")
    servers.learned([odd, turn("a")])
    assert servers.next() == [turn("a")]
    assert len(servers.left_out()) == 1


def test_a_relay_without_a_password_is_left_out() -> None:
    servers = IceServers([IceServer("turn:relay.lan"), turn("a")])
    assert servers.next() == [turn("a")]
    assert servers.left_out() == ["turn:relay.lan"]


def test_what_is_left_out_is_told_once_as_long_as_it_is_named() -> None:
    servers = IceServers([])
    named: list[list[str]] = [["x:a"], ["x:a", "x:b"], ["x:a", "x:b"], [], ["x:a"]]
    told = []
    for answer in named:
        servers.learned([IceServer(url) for url in answer])
        told.append(servers.left_out())
    assert told == [["x:a"], ["x:b"], [], [], ["x:a"]]


def test_a_password_in_a_url_is_not_told() -> None:
    assert IceServers([IceServer("turn:gate:s3cret@relay.lan:3478")]).left_out() == ["turn:…@relay.lan:3478"]


@given(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1), st.lists(st.booleans(), max_size=30))
def test_every_url_has_its_turn_within_as_many_failures(names: list[str], between: list[bool]) -> None:
    servers = IceServers([turn(name) for name in names])
    for failed in between:
        servers.next()
        if failed:
            servers.failed()
    seen: list[str] = []
    for _ in range(2 * len(names)):
        seen += urls(servers.next())
        servers.failed()
    assert set(seen) == {turn(name).url for name in names}
