"""Changes of the ways to our peers are told, once, and nothing else is: by a real kernel's routes and links."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from overshootd.network import Netlink
from overshootd.paths import Budget, Change
from tests.integration.network_bed import BOUND, UPLINKS, Watch, ip, namespace, watching

PEER, PEER6 = "203.0.113.9", "2001:db8:ff::9"
TO_WLAN1 = "route replace default via 198.51.100.1 dev wlan1"
TO_ETH0 = "route replace default via 192.0.2.1 dev eth0"
BACKUP = "route add default via 198.51.100.1 dev wlan1 metric 600"


@pytest.fixture(autouse=True)
def net(media_net: str) -> Iterator[None]:
    """`media_net` has shown that namespaces may be made here."""
    with namespace():
        ip(UPLINKS)
        yield


@pytest.fixture
def watch() -> Watch:
    return Watch([PEER])


# -- what is a change


async def test_a_route_that_is_replaced_is_one_change(watch: Watch) -> None:
    async with watching(watch):
        ip(TO_WLAN1)
        moved = f"the route to {PEER} is now over wlan1, source 198.51.100.2 (was eth0)"
        assert await watch.next() == Change(moved, start=True)
    assert watch.journal.infos == [f"{moved} {{}}"]


async def test_a_link_that_goes_down_is_one_change_when_there_is_another(watch: Watch) -> None:
    ip(BACKUP)
    async with watching(watch):
        ip("link set eth0 down")
        assert (await watch.next()).text == f"the route to {PEER} is now over wlan1, source 198.51.100.2 (was eth0)"


async def test_a_cable_that_is_pulled_is_told_and_starts_nothing_before_it_is_back(watch: Watch) -> None:
    async with watching(watch):
        ip("link set cable0 down")
        assert await watch.next() == Change(f"there is no route to {PEER} any more (was over eth0)", start=False)
        ip("link set cable0 up")
        assert await watch.next() == Change(f"there is a route to {PEER} again, over eth0, source 192.0.2.2", True)


async def test_a_route_that_is_lost_is_told_and_starts_nothing_before_there_is_one(watch: Watch) -> None:
    async with watching(watch) as network:
        ip("route del default")
        assert not (await watch.next()).start
        assert network.changes == 0
        ip("route add default via 198.51.100.1 dev wlan1")
        assert await watch.next() == Change(f"there is a route to {PEER} again, over wlan1, source 198.51.100.2", True)
        assert network.changes == 1


async def test_another_router_is_a_change(watch: Watch) -> None:
    async with watching(watch):
        ip("route replace default via 192.0.2.254 dev eth0")
        text = f"the route to {PEER} is now over eth0, through 192.0.2.254 (was 192.0.2.1)"
        assert (await watch.next()).text == text


async def test_another_source_address_is_a_change(watch: Watch) -> None:
    async with watching(watch):
        ip("""addr add 192.0.2.7/24 dev eth0
              route replace default via 192.0.2.1 dev eth0 src 192.0.2.7""")
        assert (await watch.next()).text == f"the route to {PEER} is now over eth0, source 192.0.2.7 (was 192.0.2.2)"


async def test_a_route_to_the_peer_alone_is_a_change(watch: Watch) -> None:
    async with watching(watch):
        ip(f"route add {PEER} via 198.51.100.1 dev wlan1")
        assert (await watch.next()).start


async def test_a_rule_is_a_change_when_it_leads_elsewhere(watch: Watch) -> None:
    ip("route add default via 198.51.100.1 dev wlan1 table 77")
    async with watching(watch):
        ip(f"rule add to {PEER} table 77")
        assert (await watch.next()).start


async def test_a_route_that_refuses_is_none(watch: Watch) -> None:
    async with watching(watch):
        ip(f"route add unreachable {PEER}")
        assert not (await watch.next()).start
        ip(f"route replace blackhole {PEER}")
        await watch.looked()
        assert not watch.said


async def test_ipv6_is_watched_too(watch: Watch) -> None:
    watch.hosts = [PEER6]
    async with watching(watch):
        ip("-6 route replace default via 2001:db8:b::1 dev wlan1")
        assert (await watch.next()).text == f"the route to {PEER6} is now over wlan1, source 2001:db8:b::2 (was eth0)"
        ip(f"-6 route add unreachable {PEER6}")
        assert not (await watch.next()).start


async def test_an_ipv6_address_that_gives_way_to_another_is_a_change(watch: Watch) -> None:
    """As privacy addresses do every day."""
    watch.hosts = [PEER6]
    async with watching(watch):
        ip("addr add 2001:db8:a::7/64 dev eth0 nodad preferred_lft 0 valid_lft 1000")
        await watch.looked()
        assert not watch.said  # the kernel does not choose it
        ip("""addr change 2001:db8:a::7/64 dev eth0 preferred_lft 1000 valid_lft 1000
              addr change 2001:db8:a::2/64 dev eth0 preferred_lft 0 valid_lft 1000""")
        text = f"the route to {PEER6} is now over eth0, source 2001:db8:a::7 (was 2001:db8:a::2)"
        assert (await watch.next()).text == text


# -- what is none


async def test_a_bridge_and_its_containers_are_none(watch: Watch) -> None:
    async with watching(watch):
        ip("""link add docker0 type bridge
              addr add 172.17.0.1/16 dev docker0
              link set docker0 up""")
        for number in range(5):
            ip(f"""link add veth{number} type veth peer name inner{number}
                   link set veth{number} master docker0 up
                   link set inner{number} up
                   link del veth{number}""")
            await asyncio.sleep(0)
        ip("link del docker0")
        await watch.looked()
    assert not watch.said
    assert not watch.journal.infos + watch.journal.warnings


async def test_a_tunnel_to_elsewhere_is_none(watch: Watch) -> None:
    async with watching(watch):
        ip("""link add wg0 type veth peer name elsewhere
              link set wg0 up
              link set elsewhere up
              addr add 10.8.0.2/24 dev wg0
              route add 10.0.0.0/8 via 10.8.0.1 dev wg0
              link del wg0""")
        await watch.looked()
    assert not watch.said


async def test_a_lease_that_is_renewed_is_none(watch: Watch) -> None:
    async with watching(watch):
        ip("addr change 192.0.2.2/24 dev eth0 valid_lft 3600 preferred_lft 3600")
        await watch.looked()
        ip(f"""addr del 192.0.2.2/24 dev eth0
               addr add 192.0.2.2/24 dev eth0 valid_lft 3600 preferred_lft 3600
               {TO_ETH0}""")
        await watch.looked()
    assert not watch.said


async def test_a_second_uplink_that_is_not_used_is_none(watch: Watch) -> None:
    async with watching(watch):
        ip(BACKUP)
        await watch.looked()
        ip("link set wlan1 down")
        await watch.looked()
    assert not watch.said


async def test_ipv6_that_arrives_for_a_host_is_none_and_its_loss_is_one(watch: Watch) -> None:
    """Who is there over IPv4 loses nothing by staying; who is there over IPv6 must move when that goes."""
    watch.hosts, watch.known = ["api.test"], {"api.test": [PEER, PEER6]}
    ip("-6 route del default")
    async with watching(watch):
        ip("-6 route add default via 2001:db8:a::1 dev eth0")
        await watch.looked()
        assert not watch.said
        ip("-6 route del default")
        text = "the route to api.test is now over eth0, source 192.0.2.2 (was 2001:db8:a::2)"
        assert await watch.next() == Change(text, start=True)


async def test_ipv6_of_a_link_alone_is_no_way_to_elsewhere(watch: Watch) -> None:
    """As in the first seconds after it came up."""
    watch.hosts = [PEER6]
    async with watching(watch):
        ip("""addr del 2001:db8:b::2/64 dev wlan1
              addr add fe80::7/64 dev eth0 nodad
              addr del 2001:db8:a::2/64 dev eth0""")
        assert not (await watch.next()).start


# -- peers


async def test_hosts_that_move_together_are_one_change(watch: Watch) -> None:
    watch.hosts, watch.known = ["api.test", "room.test"], {"api.test": [PEER], "room.test": ["203.0.113.10"]}
    async with watching(watch):
        ip(TO_WLAN1)
        assert (await watch.next()).text.startswith("the route to api.test and room.test is now over wlan1")


async def test_a_host_that_was_never_resolved_goes_the_default_way(watch: Watch) -> None:
    watch.hosts = ["api.test"]
    ip("route del default")
    ip("-6 route del default")
    async with watching(watch):
        ip("route add default via 192.0.2.1 dev eth0")
        text = "there is a route to api.test again, over eth0, source 192.0.2.2"
        assert await watch.next() == Change(text, start=True)


async def test_a_hosts_last_addresses_are_kept_when_it_cannot_be_resolved(watch: Watch) -> None:
    watch.hosts, watch.known = ["api.test"], {"api.test": [PEER]}
    async with watching(watch):
        watch.known.clear()
        ip(f"route add {PEER} via 198.51.100.1 dev wlan1")
        assert (await watch.next()).start
        ip(f"route del {PEER}")
        assert (await watch.next()).start


async def test_a_host_that_is_new_is_watched_soon_though_the_kernel_says_nothing(watch: Watch) -> None:
    async with watching(watch, tick=0.05):
        watch.hosts.append("203.0.113.77")
        looks = watch.looks
        await watch.until(lambda: watch.looks >= looks + 2)  # one may have been under way
        assert not watch.said
        ip("route add 203.0.113.77 via 198.51.100.1 dev wlan1")
        assert "203.0.113.77" in (await watch.next()).text


# -- who waits


async def test_who_waits_for_a_change_goes_on_with_the_one_that_starts_something(watch: Watch) -> None:
    async with watching(watch) as network, asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(network.changed(0))
        ip("route del default")
        await watch.next()
        assert not waiting.done()
        ip(TO_ETH0)
        async with asyncio.timeout(BOUND):
            assert await waiting == 1
    assert await network.changed(0) == 1


# -- trouble


async def test_more_than_fits_into_the_socket_is_looked_at_all_the_same(watch: Watch) -> None:
    async with watching(watch):
        ip("\n".join(f"link set cable1 alias a{number}" for number in range(300)) + f"\n{TO_WLAN1}")
        assert (await watch.next()).start
    assert not watch.journal.warnings


async def test_a_kernel_that_does_not_tell_is_said_once_and_tried_again(watch: Watch) -> None:
    watch.refused = 5
    async with watching(watch):
        ip(TO_WLAN1)
        assert (await watch.next()).start
    [warning] = watch.journal.warnings
    assert "does not tell of changes (Operation not permitted)" in warning
    assert "works again" in watch.journal.infos[0]


async def test_opening_again_and_again_leaves_nothing_behind() -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(50):
        async with Netlink() as kernel:
            assert await kernel.way(PEER)
    assert os.listdir("/proc/self/fd") == before


class Purse(Budget):
    """Open or shut, and asks for patience of 10 ms."""

    allows = False

    def wait(self, now: float) -> float:
        return 0.01

    def take(self, now: float) -> bool:
        return self.allows


async def test_uplinks_that_flap_start_only_what_the_budget_allows(watch: Watch) -> None:
    async with watching(watch, Budget(2, 3600.0)) as network:
        started = []
        for number in range(4):
            ip(TO_ETH0 if number % 2 else TO_WLAN1)
            started.append((await watch.next()).start)
        assert started == [True, True, False, False]
        assert network.changes == 2
    [warning] = watch.journal.warnings
    assert "routes change so often" in warning


async def test_the_last_change_of_those_that_flapped_is_followed_when_the_budget_allows(watch: Watch) -> None:
    purse = Purse()
    async with watching(watch, purse) as network:
        ip(TO_WLAN1)
        withheld = await watch.next()
        assert network.changes == 0
        purse.allows = True
        assert await watch.next() == Change(withheld.text, start=True)
        assert network.changes == 1


async def test_what_the_budget_owes_waits_at_rest_while_there_is_no_route(watch: Watch) -> None:
    purse = Purse()
    async with watching(watch, purse):
        ip(TO_WLAN1)
        assert not (await watch.next()).start
        ip("link set cable1 down")
        assert not (await watch.next()).start
        purse.allows = True
        looks = watch.looks
        await asyncio.sleep(0.1)  # ten times the patience that the purse asks for
        assert watch.looks == looks
        ip("link set cable1 up")
        assert (await watch.next()).start
