"""The kinds of trouble that `make chaos` deals: each begins, lasts for some seconds, and is healed when it returns."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

from tests.net.bed import Bed
from tests.net.lab import Lab
from tests.net.weather import BAD_LTE, LTE, Name, Uplink

TOLD = 15.0
"""Seconds from healing to a fresh result, where the kernel, a socket or a server told of it."""

UNTOLD = 25.0
"""The same where nobody did: unanswered keepalives come up to 5 s apart, and a join that had begun takes up to 20 s."""

REPLACED = 40.0
"""The same after somebody else answered in the API's place: a stream that is to be made asks such a one slowly."""

STARTED = 20.0
"""The same for a daemon that starts: most of it is the start of Python on a busy machine."""


class Layer(StrEnum):
    """Two troubles of different layers may be at once."""

    NETWORK = "network"
    SERVERS = "servers"
    DAEMON = "daemon"


@dataclass(frozen=True)
class Death:
    """The daemon was dead from then to then, monotonic seconds."""

    since: float
    until: float


@dataclass
class Site:
    """A bed under way. `here`: the uplink that the default route goes over. `deaths`: of the daemon, so far."""

    bed: Bed
    here: Name = "a"
    deaths: list[Death] = field(default_factory=list)

    @property
    def net(self) -> Lab:
        return self.bed.net

    @property
    def there(self) -> Name:
        return "b" if self.here == "a" else "a"

    async def move(self) -> None:
        """The default route goes over the other uplink."""
        self.here = self.there
        await self.net.route(self.here)

    async def weather(self, uplink: Uplink, *, dns: bool = True) -> None:
        """Of the uplink in use."""
        well = Uplink()
        await self.net.weather(a=uplink if self.here == "a" else well, b=uplink if self.here == "b" else well, dns=dns)


Act = Callable[[Site, float, Random], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Kind:
    """`act` takes the seconds that it lasts, between `shortest` and `longest`, and dice for what else is open. Once it
    is healed a fresh result comes within `bound` seconds."""

    act: Act
    layer: Layer
    shortest: float
    longest: float
    bound: float

    @property
    def name(self) -> str:
        return self.act.__name__.replace("_", " ")


# -- the network


async def route_moves(site: Site, seconds: float, dice: Random) -> None:
    await site.move()


async def route_flaps(site: Site, seconds: float, dice: Random) -> None:
    for _ in range(dice.randint(2, 5)):
        await site.move()
        await site.net.for_seconds(dice.uniform(0.2, 4))


async def cable_out(site: Site, seconds: float, dice: Random) -> None:
    """Another uplink takes over, and the first one comes back."""
    await site.net.spare(site.there)
    await site.net.link(site.here, up=False)
    await site.net.for_seconds(seconds)
    await site.net.link(site.here, up=True)
    await site.net.route(site.here)
    await site.net.spare(None)


async def no_uplink(site: Site, seconds: float, dice: Random) -> None:
    await site.net.link(site.here, up=False)
    await site.net.for_seconds(seconds)
    await site.net.link(site.here, up=True)
    await site.net.route(site.here)


async def no_route(site: Site, seconds: float, dice: Random) -> None:
    await site.net.route(None)
    await site.net.for_seconds(seconds)
    await site.net.route(site.here)


async def black_hole(site: Site, seconds: float, dice: Random) -> None:
    await _weather(site, seconds, Uplink(dead=True))


async def black_hole_left_late(site: Site, seconds: float, dice: Random) -> None:
    """The route moves when the uplink has been dead for a while."""
    await site.weather(Uplink(dead=True))
    await site.net.for_seconds(seconds)
    await site.move()
    await site.net.weather()


async def flows_stranded(site: Site, seconds: float, dice: Random) -> None:
    await site.net.strand()


async def nat_rebinds(site: Site, seconds: float, dice: Random) -> None:
    await site.net.rebind()


async def lte(site: Site, seconds: float, dice: Random) -> None:
    await _weather(site, seconds, LTE)


async def bad_lte(site: Site, seconds: float, dice: Random) -> None:
    await _weather(site, seconds, BAD_LTE)


async def small_packets_only(site: Site, seconds: float, dice: Random) -> None:
    await _weather(site, seconds, Uplink(largest=1280, clamp=dice.random() < 0.5))


async def no_udp(site: Site, seconds: float, dice: Random) -> None:
    await _weather(site, seconds, Uplink(udp=False))


async def captive_portal(site: Site, seconds: float, dice: Random) -> None:
    await _weather(site, seconds, Uplink(portal=True))


async def no_dns(site: Site, seconds: float, dice: Random) -> None:
    await site.net.weather(dns=False)
    if dice.random() < 0.5:
        await site.bed.gateway.act("drop_sockets")
    await site.net.for_seconds(seconds)
    await site.net.weather()


async def _weather(site: Site, seconds: float, uplink: Uplink) -> None:
    await site.weather(uplink)
    await site.net.for_seconds(seconds)
    await site.net.weather()


# -- the servers


async def room_server_killed(site: Site, seconds: float, dice: Random) -> None:
    await site.bed.gateway.act("room_server_kill")
    await site.net.for_seconds(seconds)
    await site.bed.gateway.act("room_server_start")


async def gateway_deployed(site: Site, seconds: float, dice: Random) -> None:
    await site.bed.gateway.act("deploy")


async def gateway_deployed_slowly(site: Site, seconds: float, dice: Random) -> None:
    """The API is away meanwhile."""
    await site.bed.gateway.faults({"fault": dice.choice(("cut", "status"))})
    await site.bed.gateway.act("deploy")
    await site.net.for_seconds(seconds)
    await site.bed.gateway.faults()


async def all_deployed(site: Site, seconds: float, dice: Random) -> None:
    """API and room server are away at once."""
    await site.bed.gateway.faults({"fault": "status", "status": 503})
    await site.bed.gateway.act("deploy")
    await room_server_killed(site, seconds, dice)
    await site.bed.gateway.faults()


async def api_answers_wrongly(site: Site, seconds: float, dice: Random) -> None:
    faults: tuple[dict[str, object], ...] = (
        {"fault": "status", "status": 503},
        {"fault": "status", "status": 503, "retry_after": 2},
        {"fault": "status", "status": 500},
        {"fault": "status", "status": 429, "operation": "keepalive"},
        {"fault": "cut"},
        {"fault": "cut", "operation": "keepalive", "after": True},
    )
    await _api(site, seconds, dice, dice.choice(faults))


async def somebody_answers_for_the_api(site: Site, seconds: float, dice: Random) -> None:
    await _api(site, seconds, dice, {"fault": dice.choice(("not_json", "redirect"))})


async def api_hangs(site: Site, seconds: float, dice: Random) -> None:
    await _api(site, seconds, dice, {"fault": "hang"})


async def api_is_slow(site: Site, seconds: float, dice: Random) -> None:
    await _api(site, seconds, dice, {"fault": "latency", "seconds": dice.uniform(0.5, 3)})


async def _api(site: Site, seconds: float, dice: Random, fault: dict[str, object]) -> None:
    """In half of the cases with the sockets lost, or else nobody may notice."""
    await site.bed.gateway.faults(fault)
    if dice.random() < 0.5:
        await site.bed.gateway.act("drop_sockets")
    await site.net.for_seconds(seconds)
    await site.bed.gateway.faults()


async def sockets_dropped(site: Site, seconds: float, dice: Random) -> None:
    ways: tuple[dict[str, object], ...] = (
        {},
        {"code": 1011, "reason": "internal error"},
        {"code": 1001, "reason": "livekit_disconnected"},
    )
    await site.bed.gateway.act("drop_sockets", **dice.choice(ways))


async def leases_expire(site: Site, seconds: float, dice: Random) -> None:
    await site.bed.gateway.act("expire_leases")


async def streams_ended_by_the_server(site: Site, seconds: float, dice: Random) -> None:
    await site.bed.gateway.act("end_streams")


async def results_spoiled(site: Site, seconds: float, dice: Random) -> None:
    kind = dice.choice(("not_json", "not_object", "missing_fields", "wrong_types", "binary"))
    await site.bed.gateway.faults({"fault": "malformed", "kind": kind})
    await site.net.for_seconds(seconds)
    await site.bed.gateway.faults()


# -- the daemon


async def killed(site: Site, seconds: float, dice: Random) -> None:
    """As by a crash, or the OOM killer."""
    await _dead(site, seconds, signal.SIGKILL)


async def restarted(site: Site, seconds: float, dice: Random) -> None:
    """As by an upgrade: streams are kept."""
    await _dead(site, 0, signal.SIGUSR1)


async def ended_and_started(site: Site, seconds: float, dice: Random) -> None:
    """Streams are DELETEd."""
    await _dead(site, seconds, signal.SIGTERM)


async def frozen(site: Site, seconds: float, dice: Random) -> None:
    """As while the machine sleeps."""
    assert site.bed.device.process is not None
    site.bed.device.process.send_signal(signal.SIGSTOP)
    await site.net.for_seconds(seconds)
    site.bed.device.process.send_signal(signal.SIGCONT)


async def _dead(site: Site, seconds: float, signo: int) -> None:
    await site.bed.device.end(signo)
    since = time.monotonic()
    await asyncio.sleep(seconds)
    await site.bed.device.start()
    site.deaths.append(Death(since, time.monotonic()))


KINDS = (
    Kind(route_moves, Layer.NETWORK, 0, 0, TOLD),
    Kind(route_flaps, Layer.NETWORK, 0, 0, TOLD),
    Kind(cable_out, Layer.NETWORK, 1, 10, TOLD),
    Kind(no_uplink, Layer.NETWORK, 1, 20, TOLD),
    Kind(no_route, Layer.NETWORK, 1, 20, TOLD),
    Kind(black_hole, Layer.NETWORK, 1, 20, UNTOLD),
    Kind(black_hole_left_late, Layer.NETWORK, 1, 10, TOLD),
    Kind(flows_stranded, Layer.NETWORK, 0, 0, UNTOLD),
    Kind(nat_rebinds, Layer.NETWORK, 0, 0, UNTOLD),
    Kind(lte, Layer.NETWORK, 5, 12, UNTOLD),
    Kind(bad_lte, Layer.NETWORK, 5, 12, UNTOLD),
    Kind(small_packets_only, Layer.NETWORK, 3, 10, UNTOLD),
    Kind(no_udp, Layer.NETWORK, 3, 12, UNTOLD),
    Kind(captive_portal, Layer.NETWORK, 3, 12, REPLACED),
    Kind(no_dns, Layer.NETWORK, 3, 12, UNTOLD),
    Kind(room_server_killed, Layer.SERVERS, 1, 8, TOLD),
    Kind(gateway_deployed, Layer.SERVERS, 0, 0, TOLD),
    Kind(gateway_deployed_slowly, Layer.SERVERS, 1, 8, TOLD),
    Kind(all_deployed, Layer.SERVERS, 1, 8, TOLD),
    Kind(api_answers_wrongly, Layer.SERVERS, 1, 10, TOLD),
    Kind(somebody_answers_for_the_api, Layer.SERVERS, 1, 10, REPLACED),
    Kind(api_hangs, Layer.SERVERS, 1, 10, TOLD),
    Kind(api_is_slow, Layer.SERVERS, 2, 8, TOLD),
    Kind(sockets_dropped, Layer.SERVERS, 0, 0, TOLD),
    Kind(leases_expire, Layer.SERVERS, 0, 0, TOLD),
    Kind(streams_ended_by_the_server, Layer.SERVERS, 0, 0, TOLD),
    Kind(results_spoiled, Layer.SERVERS, 1, 5, TOLD),
    Kind(killed, Layer.DAEMON, 0, 15, STARTED),
    Kind(restarted, Layer.DAEMON, 0, 0, STARTED),
    Kind(ended_and_started, Layer.DAEMON, 0, 3, STARTED),
    Kind(frozen, Layer.DAEMON, 1, 10, UNTOLD),
)
