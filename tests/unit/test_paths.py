"""Which changes of the ways to our peers matter, and how often they may start something."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from overshootd.paths import LONGEST_SECONDS, QUIET_SECONDS, Budget, Change, Peer, Way, Ways, compare, looked_at

ETH = Way(2, "eth0", "192.0.2.2", "192.0.2.1")
WLAN = Way(3, "wlan1", "198.51.100.2", "198.51.100.1")
SIX = Way(2, "eth0", "2001:db8::2", "fe80::1")
API, API6, ROOM = Peer("api", "203.0.113.1"), Peer("api", "2001:db8::1"), Peer("room", "203.0.113.2")

WAYS = st.none() | st.sampled_from([ETH, WLAN, SIX])
TABLES = st.dictionaries(st.sampled_from([API, API6, ROOM]), WAYS)


# -- what matters


def test_another_interface_is_told_with_the_old_one() -> None:
    expected = Change("the route to api is now over wlan1, source 198.51.100.2 (was eth0)", start=True)
    assert compare({API: ETH}, {API: WLAN}) == expected


def test_an_interface_that_is_only_called_otherwise_is_none() -> None:
    assert compare({API: ETH}, {API: Way(2, "lan0", "192.0.2.2", "192.0.2.1")}) is None


def test_an_interface_that_was_plugged_in_anew_is_another() -> None:
    assert compare({API: ETH}, {API: Way(9, "eth0", "192.0.2.2", "192.0.2.1")}) is not None


def test_a_router_that_is_no_more_needed_is_told() -> None:
    change = compare({API: ETH}, {API: Way(2, "eth0", "192.0.2.2")})
    assert change == Change("the route to api is now over eth0, through no router (was 192.0.2.1)", start=True)


def test_a_loss_beside_a_change_starts_what_the_change_does() -> None:
    change = compare({API: ETH, ROOM: ETH}, {API: None, ROOM: WLAN})
    assert change is not None
    assert change.start
    assert change.text.startswith("there is no route to api any more (was over eth0); the route to room is now")


def test_a_host_that_moves_from_one_family_to_the_other_is_told() -> None:
    change = compare({API: None, API6: SIX}, {API: WLAN, API6: None})
    assert change == Change("the route to api is now over wlan1, source 198.51.100.2 (was eth0)", start=True)


def test_hosts_that_change_alike_share_a_sentence() -> None:
    media = Peer("203.0.113.3", "203.0.113.3")
    change = compare(dict.fromkeys([API, ROOM, media], ETH), dict.fromkeys([API, ROOM, media], WLAN))
    assert change is not None
    assert change.text.startswith("the route to api, room and 203.0.113.3 is now over wlan1")


def test_a_second_family_that_arrives_is_none() -> None:
    assert compare({API: ETH, API6: None}, {API: ETH, API6: SIX}) is None


def test_peers_that_come_and_go_are_no_change() -> None:
    assert compare({API: ETH}, {ROOM: WLAN}) is None


@given(TABLES)
def test_what_is_as_it_was_is_no_change(ways: Ways) -> None:
    assert compare(ways, dict(ways)) is None


@given(TABLES, TABLES)
def test_recovery_starts_when_a_host_has_a_way_and_not_all_that_it_had(before: Ways, after: Ways) -> None:
    """The rule in one line, for every table."""
    both = before.keys() & after.keys()
    hosts = [[(before[peer], after[peer]) for peer in both if peer.host == host] for host in ("api", "room")]
    starts = [
        any(now for _, now in host)
        and (any(was and was != now for was, now in host) or not any(was for was, _ in host))
        for host in hosts
    ]
    change = compare(before, after)
    assert (change is not None and change.start) == any(starts)


@given(TABLES, TABLES)
def test_a_change_names_each_host_once_at_most(before: Ways, after: Ways) -> None:
    change = compare(before, after)
    if change is not None:
        assert change.text.count(" api ") + change.text.count(" room ") >= 1
        assert max(change.text.count(" api "), change.text.count(" room ")) == 1


# -- when to look


@given(st.floats(0, 1e9), st.floats(0, 10))
def test_messages_are_waited_for_until_it_is_quiet_but_not_for_ever(first: float, later: float) -> None:
    at = looked_at(first, first + later)
    assert first + min(QUIET_SECONDS, later) <= at <= first + LONGEST_SECONDS


# -- how often

TIMES = st.lists(st.floats(0, 20), min_size=1, max_size=300)


def taken(budget: Budget, pauses: list[float]) -> list[float]:
    now, when = 0.0, []
    for pause in pauses:
        now += pause
        if budget.take(now):
            when.append(now)
    return when


@given(TIMES, st.integers(1, 10), st.floats(0.1, 60))
def test_no_more_are_taken_in_any_time_than_the_budget_allows(pauses: list[float], size: int, refill: float) -> None:
    when = taken(Budget(size, refill), pauses)
    for first, start in enumerate(when):
        for count, end in enumerate(when[first:], start=1):
            assert count <= size + (end - start) / refill + 1e-6


@given(TIMES, st.integers(1, 10), st.floats(0.1, 60))
def test_after_a_long_quiet_all_of_it_is_there(pauses: list[float], size: int, refill: float) -> None:
    budget = Budget(size, refill)
    taken(budget, pauses)
    later = sum(pauses) + size * refill + 1
    assert budget.full(later)
    assert [budget.take(later) for _ in range(size + 1)] == [True] * size + [False]


@given(TIMES, st.integers(1, 10), st.floats(0.1, 60))
def test_one_may_when_its_wait_is_over_and_not_before(pauses: list[float], size: int, refill: float) -> None:
    budget = Budget(size, refill)
    taken(budget, pauses)
    now = sum(pauses)
    wait = budget.wait(now)
    assert 0 <= wait <= refill + 1e-6
    assert not (wait > 0.01 and budget.take(now + wait - 0.01))
    assert budget.take(now + wait + 0.01)


def test_uplinks_that_flap_every_20_s_are_followed_for_ever() -> None:
    assert len(taken(Budget(), [20.0] * 1000)) == 1000


def test_uplinks_that_flap_every_second_are_followed_once_in_15_s() -> None:
    when = taken(Budget(), [1.0] * 1000)
    assert all(b - a >= 14.0 for a, b in pairwise(when[10:]))
