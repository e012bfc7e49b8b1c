"""Nothing passes, for a while. The clock is compressed by short leases and tokens where the outage is long."""

from __future__ import annotations

from pathlib import Path

from tests.net.bed import Bed, site
from tests.net.weather import Uplink

TOLD = 10.0
"""Seconds until a fresh result once a route is back; 4 in bench-net."""

UNTOLD = 25.0
"""The same where the kernel said nothing; 15 in bench-net."""

LONG_LEASE = ("--lease-ttl", "90")
"""A keepalive may be 20 s old when an outage begins, so that of 45 s there are 25 left."""


async def _no_route(bed: Bed, seconds: float) -> None:
    await bed.net.link("a", up=False)
    await bed.net.for_seconds(seconds)
    await bed.net.link("a", up=True)
    await bed.net.route("a")


async def _black_hole(bed: Bed, seconds: float) -> None:
    await bed.net.weather(a=Uplink(dead=True))
    await bed.net.for_seconds(seconds)
    await bed.net.weather()


async def of_3_s_told_by_the_kernel(folder: Path) -> None:
    async with site(folder) as bed, bed.survives(within=TOLD):
        await _no_route(bed, 3)


async def of_3_s_untold(folder: Path) -> None:
    async with site(folder) as bed, bed.survives(within=UNTOLD):
        await _black_hole(bed, 3)


async def of_30_s_told_by_the_kernel(folder: Path) -> None:
    async with site(folder, simulate=LONG_LEASE) as bed, bed.survives(within=TOLD):
        await _no_route(bed, 30)


async def of_30_s_untold(folder: Path) -> None:
    async with site(folder, simulate=LONG_LEASE) as bed, bed.survives(within=UNTOLD):
        await _black_hole(bed, 30)


async def of_60_s_beyond_the_lease(folder: Path) -> None:
    """The lease of 45 s is over: a new stream, and the old one was not billed beside it."""
    async with site(folder) as bed:
        async with bed.survives(within=UNTOLD, same=False):
            await _black_hole(bed, 60)
        old, *_ = await bed.gateway.lives()
        assert old.end_reason == "lease_expired"


async def beyond_the_token_within_the_lease(folder: Path) -> None:
    """Only a keepalive brings a token that opens the room again."""
    async with site(folder, simulate=("--lease-ttl", "90", "--token-ttl", "4")) as bed, bed.survives(within=TOLD):
        await _no_route(bed, 12)


async def beyond_token_and_lease(folder: Path) -> None:
    """A night, compressed."""
    ttls = ("--lease-ttl", "6", "--token-ttl", "4")
    async with site(folder, simulate=ttls) as bed, bed.survives(within=TOLD, same=False):
        await _no_route(bed, 15)
