"""Nothing passes, for a while. The clock is compressed by short leases and tokens where the outage is long."""

from __future__ import annotations

from tests.net.bed import Bed
from tests.net.ordeals import Group
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


async def of_3_s_told_by_the_kernel(bed: Bed) -> None:
    async with bed.survives(within=TOLD):
        await _no_route(bed, 3)


async def of_3_s_untold(bed: Bed) -> None:
    async with bed.survives(within=UNTOLD):
        await _black_hole(bed, 3)


async def of_30_s_told_by_the_kernel(bed: Bed) -> None:
    async with bed.survives(within=TOLD):
        await _no_route(bed, 30)


async def of_30_s_untold(bed: Bed) -> None:
    async with bed.survives(within=UNTOLD):
        await _black_hole(bed, 30)


async def of_60_s_beyond_the_lease(bed: Bed) -> None:
    """The lease of 45 s is over: a new stream, and the old one was not billed beside it."""
    old = bed.device.stream_id("s1")
    async with bed.survives(within=UNTOLD, same=False):
        await _black_hole(bed, 60)
    assert (await bed.life(old)).end_reason == "lease_expired"


async def beyond_the_token_within_the_lease(bed: Bed) -> None:
    """Only a keepalive brings a token that opens the room again."""
    async with bed.survives(within=TOLD):
        await _no_route(bed, 12)


async def beyond_token_and_lease(bed: Bed) -> None:
    """A night, compressed."""
    async with bed.survives(within=TOLD, same=False):
        await _no_route(bed, 15)


GROUPS = (
    Group((of_60_s_beyond_the_lease,)),
    Group((of_30_s_told_by_the_kernel, of_3_s_told_by_the_kernel), {"simulate": LONG_LEASE}),
    Group((of_30_s_untold, of_3_s_untold), {"simulate": LONG_LEASE}),
    Group((beyond_the_token_within_the_lease,), {"simulate": ("--lease-ttl", "90", "--token-ttl", "4")}),
    Group((beyond_token_and_lease,), {"simulate": ("--lease-ttl", "6", "--token-ttl", "4")}),
)
