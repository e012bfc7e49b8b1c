"""Networks that answer wrongly, or do not find the way."""

from __future__ import annotations

from tests.net.bed import Bed
from tests.net.ordeals import Group
from tests.net.weather import Uplink

LONG_LEASE = ("--lease-ttl", "90")
PORTAL = Uplink(portal=True)


async def no_dns_at_the_start(bed: Bed) -> None:
    await bed.device.end()
    await bed.net.weather(dns=False)
    await bed.device.start()
    await bed.net.for_seconds(12)
    assert bed.device.process is not None and bed.device.process.returncode is None
    await bed.net.weather()
    await bed.device.fresh(within=45)


async def no_dns_under_way(bed: Bed) -> None:
    """The connections are lost too, so that the name has to be found again; the room lives on."""
    async with bed.survives(within=25):
        await bed.net.weather(dns=False)
        await bed.gateway.act("drop_sockets")
        await bed.net.for_seconds(15)
        await bed.net.weather()


async def a_captive_portal(bed: Bed) -> None:
    """302 to a login page, and nothing else passes."""
    async with bed.survives(within=30):
        await bed.net.weather(a=PORTAL)
        await bed.net.for_seconds(20)
        await bed.net.weather()


async def a_captive_portal_that_spoils_tls_at_the_start(bed: Bed) -> None:
    await bed.device.end()
    await bed.net.weather(a=PORTAL)
    await bed.device.start()
    await bed.net.for_seconds(6)
    await bed.net.weather()
    await bed.device.fresh(within=30)


async def a_captive_portal_that_spoils_tls(bed: Bed) -> None:
    async with bed.survives(within=30):
        await bed.net.weather(a=PORTAL)
        await bed.net.for_seconds(15)
        await bed.net.weather()


GROUPS = (
    Group((no_dns_at_the_start, no_dns_under_way, a_captive_portal), {"simulate": LONG_LEASE}),
    Group(
        (a_captive_portal_that_spoils_tls_at_the_start, a_captive_portal_that_spoils_tls),
        {"simulate": LONG_LEASE, "tls": True},
    ),
)
