"""What ails the way between device and server, as values; and the router's rules for them, as text for nft. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Name = Literal["a", "b"]
NAMES: tuple[Name, ...] = ("a", "b")

PORTAL_PORT = 8
"""Where the router's captive portal listens, on its own addresses."""


@dataclass(frozen=True, slots=True)
class Uplink:
    """What ails one uplink, in both directions; nothing by itself. None of it is an event that the device's kernel
    would tell of.

    `dead`: a black hole, nothing passes and nothing is answered. `loss`: the part of packets that is lost, 0 to 1.
    `delay`: seconds one way. `kbps`: the rate each way. `largest`: bytes of the largest IP packet that passes; larger
    ones are lost without an ICMP message, and `clamp` has TCP told, as most such links do. `udp`: whether UDP passes,
    apart from DNS. `portal`: everything but DNS is answered by a captive portal, or lost.
    """

    dead: bool = False
    loss: float = 0.0
    delay: float = 0.0
    kbps: int | None = None
    largest: int | None = None
    clamp: bool = True
    udp: bool = True
    portal: bool = False


LTE = Uplink(delay=0.05, loss=0.02, kbps=500)
"""100 ms round trip, 2 % loss, 500 kbit/s."""

BAD_LTE = Uplink(delay=0.15, loss=0.2, kbps=500)
"""300 ms round trip, 20 % loss."""


@dataclass(frozen=True, slots=True)
class Weather:
    """Both uplinks. `dns`: whether resolvers are answered. `generation`: flows that began in an earlier one are lost in
    the router; new ones pass."""

    uplinks: Mapping[Name, Uplink] = field(default_factory=lambda: {name: Uplink() for name in NAMES})
    dns: bool = True
    generation: int = 1


FIXED = """
table inet fixed {
  chain source {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "core" masquerade fully-random
  }
  chain unknown {
    type filter hook input priority filter; policy accept;
    iifname "core" meta l4proto { tcp, udp } ct state != { established, related } drop
  }
  chain foreign {
    type filter hook forward priority filter - 10; policy accept;
    iifname "a" ip saddr != 10.81.1.0/24 drop
    iifname "b" ip saddr != 10.81.2.0/24 drop
    iifname "a" ip6 saddr != fd81:1::/64 drop
    iifname "b" ip6 saddr != fd81:2::/64 drop
    ct state invalid drop
  }
}
"""
"""The router as a provider's: addresses are translated, foreign ones (of the other uplink) do not leave, and what
belongs to no flow is lost silently, on both sides."""


def shut(weather: Weather, names: Collection[Name]) -> Weather:
    """The same, but that nothing passes over these uplinks."""
    uplinks = {
        name: replace(uplink, dead=True) if name in names else uplink for name, uplink in weather.uplinks.items()
    }
    return replace(weather, uplinks=uplinks)


def ruleset(weather: Weather) -> str:
    """All of the weather for `nft -f`, replacing what was there in one step."""
    chains = [
        _chain("slow", "filter", "prerouting", "raw", _untracked(weather)),
        _chain("portal", "nat", "prerouting", "dstnat", _portal(weather)),
        _chain("age", "filter", "forward", "mangle", [f"ct state new ct mark set {weather.generation}"]),
        _chain("pass", "filter", "forward", "filter", _losses(weather)),
    ]
    return f"table inet weather\ndelete table inet weather\ntable inet weather {{\n{''.join(chains)}}}\n"


def _chain(name: str, kind: str, hook: str, priority: str, rules: list[str]) -> str:
    lines = [f"type {kind} hook {hook} priority {priority}; policy accept;", *rules]
    return f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def _untracked(weather: Weather) -> list[str]:
    """What is delayed passes the router twice. It is seen as part of a flow once, on the side of the server."""
    rules = []
    for name, uplink in weather.uplinks.items():
        if uplink.delay:
            rules += [f'iifname "{name}" notrack']
            rules += [f'iifname "slow-{name}" ip daddr 10.81.{_number(name)}.0/24 notrack']
            rules += [f'iifname "slow-{name}" ip6 daddr fd81:{_number(name)}::/64 notrack']
    return rules


def _portal(weather: Weather) -> list[str]:
    return [
        f'iifname "{name}" tcp dport != 53 redirect to :{PORTAL_PORT}'
        for name, uplink in weather.uplinks.items()
        if uplink.portal
    ]


def _losses(weather: Weather) -> list[str]:
    rules = []
    if weather.generation > 1:
        rules.append(f"ct mark 1-{weather.generation - 1} drop")
    if not weather.dns:
        rules.append("meta l4proto { tcp, udp } th dport 53 drop")
    for name, uplink in weather.uplinks.items():
        rules += [f'iifname "{name}" {rule}' for rule in _uplink_losses(uplink, "dport")]
        rules += [f'oifname "{name}" {rule}' for rule in _uplink_losses(uplink, "sport")]
    return rules


def _uplink_losses(uplink: Uplink, servers_port: str) -> list[str]:
    rules = []
    if uplink.dead:
        rules.append("drop")
    if uplink.portal:
        rules.append(f"meta l4proto {{ tcp, udp }} th {servers_port} != 53 drop")
    if not uplink.udp:
        rules.append(f"udp {servers_port} != 53 drop")
    if uplink.loss:
        rules.append(f"numgen random mod 10000 < {round(uplink.loss * 10000)} drop")
    if uplink.largest:
        if uplink.clamp:  # 60: the longest headers of IPv6 and TCP
            rules.append(f"tcp flags syn tcp option maxseg size set {uplink.largest - 60}")
        rules.append(f"meta length > {uplink.largest} drop")
    return rules


def _number(name: Name) -> int:
    return NAMES.index(name) + 1
