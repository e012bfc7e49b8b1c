"""Ways that are slow, lose much, or let through only a part."""

from __future__ import annotations

from pathlib import Path

from tests.net.bed import site
from tests.net.weather import BAD_LTE, LTE, Uplink


async def lte(folder: Path) -> None:
    """Begins and goes on over 100 ms, 2 % loss, 500 kbit/s."""
    async with site(folder, start=False) as bed:
        await bed.net.weather(a=LTE, b=LTE)
        await bed.device.start()
        await bed.device.fresh(within=30)
        async with bed.survives(within=5, gap=5):
            await bed.net.for_seconds(10)
        async with bed.survives(within=15, gap=10):
            await bed.net.route("b")


async def bad_lte(folder: Path) -> None:
    """300 ms, 20 % loss: nothing is quick, and the stream stands."""
    async with site(folder) as bed:
        async with bed.survives(within=30):
            await bed.net.weather(a=BAD_LTE, b=BAD_LTE)
            await bed.net.for_seconds(20)
        async with bed.survives(within=30):
            await bed.net.weather()


async def a_small_mtu_and_no_icmp(folder: Path) -> None:
    """1280 bytes, and nobody tells of larger packets that were lost."""
    async with site(folder, start=False) as bed:
        await bed.net.weather(a=Uplink(largest=1280), b=Uplink(largest=1280))
        await bed.device.start()
        await bed.device.fresh(within=30)
        async with bed.survives(within=15, gap=10):
            await bed.net.route("b")


async def no_udp(folder: Path) -> None:
    """Media goes over TCP (ICE-TCP), also after a change of the route."""
    async with site(folder, start=False) as bed:
        await bed.net.weather(a=Uplink(udp=False), b=Uplink(udp=False))
        await bed.device.start()
        await bed.device.fresh(within=45)
        async with bed.survives(within=30, gap=25):
            await bed.net.route("b")


async def udp_is_blocked_under_way(folder: Path) -> None:
    async with site(folder) as bed, bed.survives(within=60):
        await bed.net.weather(a=Uplink(udp=False))


async def ipv6_only(folder: Path) -> None:
    """API, results, signalling and media, and a change of the route, without an IPv4 address."""
    async with site(folder, versions=(6,)) as bed, bed.survives(within=10, gap=5):
        await bed.net.route("b")
