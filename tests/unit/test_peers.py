"""Of each host, the addresses are watched that say where packets to it go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from overshootd.paths import Peer
from overshootd.peers import STAND_INS, chosen, literal, peers

ADDRESSES = st.lists(st.ip_addresses().map(str))


def test_an_address_needs_no_resolver() -> None:
    assert peers(["192.0.2.7", "2001:db8::7"], {}) == [
        Peer("192.0.2.7", "192.0.2.7"),
        Peer("2001:db8::7", "2001:db8::7"),
    ]


def test_an_address_goes_without_its_scope() -> None:
    assert literal("fe80::7%eth0") == ("fe80::7",)


def test_a_name_is_no_address() -> None:
    assert literal("api.test") == ()


def test_a_name_that_was_never_resolved_stands_for_the_default_routes() -> None:
    assert peers(["api.test"], {}) == [Peer("api.test", address) for address in STAND_INS]


def test_a_link_local_answer_is_not_asked_for() -> None:
    assert chosen(["fe80::7%eth0", "192.0.2.7"]) == ("192.0.2.7",)


@given(ADDRESSES, st.randoms())
def test_name_servers_that_answer_in_turns_change_nothing(answers: list[str], random: object) -> None:
    shuffled = sorted(answers, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert chosen(shuffled) == chosen(answers)


@given(ADDRESSES)
def test_one_address_of_each_family_there_is_is_chosen(answers: list[str]) -> None:
    assert {":" in address for address in chosen(answers)} == {":" in address for address in answers}
    assert len(chosen(answers)) <= 2
    assert set(chosen(answers)) <= set(answers)
