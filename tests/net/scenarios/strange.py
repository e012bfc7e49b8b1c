"""Networks that answer wrongly, or do not find the way."""

from __future__ import annotations

from pathlib import Path

from tests.net.bed import site
from tests.net.certificates import authority
from tests.net.weather import Uplink

LONG_LEASE = ("--lease-ttl", "90")


async def no_dns_at_the_start(folder: Path) -> None:
    async with site(folder, start=False) as bed:
        await bed.net.weather(dns=False)
        await bed.device.start()
        await bed.net.for_seconds(12)
        assert bed.device.process is not None and bed.device.process.returncode is None
        await bed.net.weather()
        await bed.device.fresh(within=45)


async def no_dns_under_way(folder: Path) -> None:
    """The connections are lost too, so that the name has to be found again; the room lives on."""
    async with site(folder, simulate=LONG_LEASE) as bed, bed.survives(within=25):
        await bed.net.weather(dns=False)
        await bed.gateway.act("drop_sockets")
        await bed.net.for_seconds(15)
        await bed.net.weather()


async def a_captive_portal(folder: Path) -> None:
    """302 to a login page, and nothing else passes."""
    async with site(folder, simulate=LONG_LEASE) as bed, bed.survives(within=30):
        await bed.net.weather(a=Uplink(portal=True))
        await bed.net.for_seconds(20)
        await bed.net.weather()


async def a_captive_portal_that_spoils_tls(folder: Path) -> None:
    """At the start, and under way."""
    async with site(
        folder, start=False, simulate=(*authority(folder), *LONG_LEASE), SSL_CERT_FILE=str(folder / "ca.pem")
    ) as bed:
        await bed.net.weather(a=Uplink(portal=True))
        await bed.device.start()
        await bed.net.for_seconds(6)
        await bed.net.weather()
        await bed.device.fresh(within=30)
        async with bed.survives(within=30):
            await bed.net.weather(a=Uplink(portal=True))
            await bed.net.for_seconds(15)
            await bed.net.weather()
