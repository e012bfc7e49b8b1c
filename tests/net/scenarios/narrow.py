"""Ways that are slow, lose much, or let through only a part."""

from __future__ import annotations

from tests.net.bed import Bed
from tests.net.ordeals import Group
from tests.net.weather import BAD_LTE, LTE, Uplink

UNLUCKY = 25.0
"""Seconds. A step of the ladder whose packets were lost is found out by results that stay away for 10 s, and then
joining takes its time; mostly it is less than one."""


async def bad_lte(bed: Bed) -> None:
    """300 ms, 20 % loss: nothing is quick, and the stream stands."""
    async with bed.survives(within=30):
        await bed.net.weather(a=BAD_LTE, b=BAD_LTE)
        await bed.net.for_seconds(20)
    async with bed.survives(within=30):
        await bed.net.weather()


async def lte(bed: Bed) -> None:
    """Begins, goes on and moves over 100 ms, 2 % loss, 500 kbit/s."""
    await _begin(bed, LTE, within=30)
    async with bed.survives(within=5, gap=5):
        await bed.net.for_seconds(10)
    async with bed.survives(within=UNLUCKY):
        await bed.net.route("b")


async def a_small_mtu_and_no_icmp(bed: Bed) -> None:
    """1280 bytes, and nobody tells of larger packets that were lost."""
    await _begin(bed, Uplink(largest=1280), within=30)
    async with bed.survives(within=15, gap=10):
        await bed.net.route("b")


async def no_udp(bed: Bed) -> None:
    """Media goes over TCP (ICE-TCP), also after a change of the route."""
    await _begin(bed, Uplink(udp=False), within=45)
    async with bed.survives(within=30, gap=25):
        await bed.net.route("b")


async def udp_is_blocked_under_way(bed: Bed) -> None:
    async with bed.survives(within=60):
        await bed.net.weather(a=Uplink(udp=False))


async def ipv6_only(bed: Bed) -> None:
    """API, results, signalling and media, and a change of the route, without an IPv4 address."""
    async with bed.survives(within=10, gap=5):
        await bed.net.route("b")


async def _begin(bed: Bed, uplink: Uplink, within: float) -> None:
    """The daemon starts where both uplinks are like this."""
    await bed.device.end()
    await bed.net.weather(a=uplink, b=uplink)
    await bed.device.start()
    await bed.device.fresh(within)


GROUPS = (
    Group((bad_lte, udp_is_blocked_under_way)),
    Group((lte, a_small_mtu_and_no_icmp, no_udp)),
    Group((ipv6_only,), {"versions": (6,)}),
)
