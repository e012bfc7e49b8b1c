"""A network on one machine: a device with two uplinks, the router of their provider, and a server. For tests/net,
`bench/net` and `make chaos`.

      device                        router                        server
      10.81.1.2 a ─────────────── a 10.81.1.1
      fd81:1::2                     │ translates addresses    core 10.81.9.2
                                    ├── core 10.81.9.1 ──────── core fd81:9::2   api.lab
      10.81.2.2 b ─────────────── b │ fd81:9::1                 DNS
      fd81:2::2                     10.81.2.1

How to use it:

    async with lab(folder) as net:                      # three namespaces, gone at the end, however that comes
        async with bed(net, folder) as running:         # simulator and daemon in them: tests/net/bed.py
            await net.route("b")                        # the default route moves: the device's kernel tells of it
            await net.link("a", up=False)               # the cable is out; what `spare` names takes over, if anything
            await net.weather(a=LTE)                    # the router makes trouble: the device's kernel tells of nothing
            await net.weather(a=Uplink(dead=True))      # tests/net/weather.py has all kinds
            await net.weather(dns=False)
            await net.weather()                         # all is well again
            await net.strand()                          # flows of now are lost, new ones pass
            await net.rebind()                          # NAT: UDP goes on from other ports, TCP is lost

At the start the default route goes over `a`, and there is no other. `net.device.words` is what to write before a
command to run it on the device, `net.server.socket(…)` makes a socket there for use in this process. A `weather` is
there at once and stays until the next call: what a call does not name is well.

Where an uplink loses its route, the addresses stay, as with any network manager; the router lets no packet out that
bears the address of the other uplink. With `versions=(6,)` there is no IPv4 on the device but on `lo`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.net import nat
from tests.net.names import names
from tests.net.namespaces import COMMAND_SECONDS, Namespace, namespace
from tests.net.portal import portal
from tests.net.weather import FIXED, NAMES, Name, Uplink, Weather, ruleset, shut

SERVER = {4: "10.81.9.2", 6: "fd81:9::2"}
HOST = "api.lab"
_RELAY = Path(__file__).with_name("relay.py")
_QUEUE_MS = 400
"""What a narrow uplink holds back before it drops: a mobile network's queue is deep."""


@dataclass
class Lab:
    """See the module's text. `versions` are the IP versions that the device has, and under which HOST is found."""

    device: Namespace
    router: Namespace
    server: Namespace
    versions: Sequence[int] = (4,)
    now: Weather = field(default_factory=Weather)
    relays: dict[Name, AsyncExitStack] = field(default_factory=dict)
    """What delays an uplink, while it is delayed."""

    @property
    def address(self) -> str:
        """The server's, of the first of `versions`."""
        return SERVER[self.versions[0]]

    # what the device's kernel tells of

    async def route(self, uplink: Name | None) -> None:
        """The default route goes over `uplink`, in one step; None: there is none."""
        await self._default(uplink, 100)

    async def spare(self, uplink: Name | None) -> None:
        """A second default route, taken when the first is gone."""
        await self._default(uplink, 200)

    async def link(self, uplink: Name, *, up: bool) -> None:
        """The device's interface goes down or up. Its routes go down with it; they do not come back by themselves."""
        await self.device.ip(f"link set dev {uplink} {'up' if up else 'down'}")

    async def home(self) -> None:
        """As at the start: both links up, the default route over `a`, no trouble."""
        await self.weather()
        for uplink in NAMES:
            await self.link(uplink, up=True)
        await self.route("a")
        await self.spare(None)

    async def _default(self, uplink: Name | None, metric: int) -> None:
        if uplink is None:
            # One that a link took with it is not there to be deleted.
            await self.device.run(
                "sh", "-c", f"ip route del default metric {metric}; ip -6 route del default metric {metric}; :"
            )
            return
        await self.device.ip(*(_default_route(version, uplink, metric) for version in self.versions))

    # what it does not tell of

    async def weather(self, *, a: Uplink = Uplink(), b: Uplink = Uplink(), dns: bool = True) -> None:  # noqa: B008
        """From now on the ways are like this."""
        await self._become(replace(self.now, uplinks={"a": a, "b": b}, dns=dns))

    async def strand(self) -> None:
        """All flows of now are lost in the router for good; new ones pass."""
        await self._become(replace(self.now, generation=self.now.generation + 1))

    async def rebind(self) -> None:
        """The router forgets which flow has which port. UDP goes on from others, TCP is lost: without its SYN nobody
        knows it."""
        self.router.within(nat.forget)

    async def for_seconds(self, seconds: float) -> None:
        """It stays like this for so long: the length of an outage, not a wait for something to happen."""
        await asyncio.sleep(seconds)

    async def _become(self, weather: Weather) -> None:
        before, self.now = self.now, weather
        turned = {name for name in NAMES if weather.uplinks[name].delay != before.uplinks[name].delay}
        if turned:  # nothing passes while its way is half the old one: a flow that began then would stay untranslated
            await self.router.run("nft", "-f", "-", stdin=ruleset(shut(weather, turned)))
        for name in turned:
            await self._delay(name, weather.uplinks[name].delay)
        for name in NAMES:
            if weather.uplinks[name].kbps != before.uplinks[name].kbps:
                await self._narrow(name, weather.uplinks[name].kbps)
        await self.router.run("nft", "-f", "-", stdin=ruleset(weather))

    async def _narrow(self, name: Name, kbps: int | None) -> None:
        for end in (self.device, self.router):
            if kbps is None:
                await end.run("tc", "qdisc", "del", "dev", name, "root")
            else:
                tbf = ("tbf", "rate", f"{kbps}kbit", "burst", "8kb", "latency", f"{_QUEUE_MS}ms")
                await end.run("tc", "qdisc", "replace", "dev", name, "root", *tbf)

    async def _delay(self, name: Name, seconds: float) -> None:
        if (relay := self.relays.pop(name, None)) is not None:
            for version in (4, 6):
                await self.router.ip(*_detour(name, "del", version), version=version)
            await relay.aclose()
        if not seconds:
            return
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(_relay(self.router, f"slow-{name}", seconds))
            await self.router.ip(f"link set dev slow-{name} up")
            for version in (4, 6):
                await self.router.ip(*_detour(name, "add", version), version=version)
            self.relays[name] = stack.pop_all()


@asynccontextmanager
async def lab(folder: Path, *, versions: Sequence[int] = (4,)) -> AsyncIterator[Lab]:
    """The network, with DNS on the server and nothing else. Raises AssertionError where the system allows none."""
    resolv_conf = folder / "resolv.conf"
    resolv_conf.write_text(f"nameserver {SERVER[versions[0]]}\n")
    async with AsyncExitStack() as stack:
        device, router, server = [
            await stack.enter_async_context(namespace(name, resolv_conf)) for name in ("device", "router", "server")
        ]
        net = Lab(device, router, server, versions)
        await _lay_cables(net)
        await router.run("nft", "-f", "-", stdin=FIXED + ruleset(net.now))
        await stack.enter_async_context(names(server, {HOST: [SERVER[version] for version in versions]}))
        await stack.enter_async_context(portal(router))
        stack.push_async_callback(net.weather)  # which ends what makes it
        await net.route("a")
        yield net


async def _lay_cables(net: Lab) -> None:
    for end in (net.device, net.router, net.server):
        # Addresses are there at once, and stay while a link is down.
        await end.sysctl(net__ipv6__conf__default__accept_dad=0, net__ipv6__conf__default__keep_addr_on_down=1)
    await net.router.sysctl(
        net__ipv4__ip_forward=1,
        net__ipv6__conf__all__forwarding=1,
        net__ipv4__conf__all__rp_filter=0,
        net__ipv4__conf__default__rp_filter=0,
        net__netfilter__nf_conntrack_tcp_loose=0,
    )
    for name in NAMES:
        await _cable(net.device, net.router, name, NAMES.index(name) + 1, net.versions)
    await _cable(net.server, net.router, "core", 9, (4, 6))
    await net.server.ip("route add default via 10.81.9.1", "route add default via fd81:9::1")


async def _cable(end: Namespace, router: Namespace, name: str, number: int, versions: Sequence[int]) -> None:
    """A veth pair of one name, `end` being .2 and the router .1."""
    await router.ip(f"link add name {name} type veth peer name {name} netns {end.pid}")
    for where, host in ((end, 2), (router, 1)):
        addresses = {
            4: f"address add 10.81.{number}.{host}/24 dev {name}",
            6: f"address add fd81:{number}::{host}/64 dev {name}",
        }
        here = versions if where is end else (4, 6)
        # Segments as a real line carries them, none that the kernel joined: rates and lengths are of packets.
        await where.ip(f"link set dev {name} gso_max_segs 1 up", *(addresses[version] for version in here))


def _default_route(version: int, uplink: Name, metric: int) -> str:
    number = NAMES.index(uplink) + 1
    router = {4: f"10.81.{number}.1", 6: f"fd81:{number}::1"}[version]
    return f"route replace default via {router} dev {uplink} metric {metric}"


def _detour(name: Name, change: str, version: int) -> list[str]:
    """Both ways through the uplink's relay, which gives each packet back to the router."""
    number = NAMES.index(name) + 1
    network = {4: f"10.81.{number}.0/24", 6: f"fd81:{number}::/64"}[version]
    lines = [f"rule {change} iif {name} lookup {number}", f"rule {change} iif core to {network} lookup {number}"]
    return [f"route replace default dev slow-{name} table {number}", *lines] if change == "add" else lines


@asynccontextmanager
async def _relay(router: Namespace, name: str, seconds: float) -> AsyncIterator[None]:
    relay = await asyncio.create_subprocess_exec(
        *(*router.words, sys.executable, str(_RELAY), name, str(seconds)), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert relay.stdout is not None
        async with asyncio.timeout(COMMAND_SECONDS):
            assert await relay.stdout.readline() == b"ready\n", f"no TUN device {name}"
        yield
    finally:
        if relay.returncode is None:
            relay.kill()
        await relay.communicate()
