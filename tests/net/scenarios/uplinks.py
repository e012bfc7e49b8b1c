"""The device changes from one uplink to the other, or its flows die."""

from __future__ import annotations

from tests.net.bed import Bed
from tests.net.ordeals import Group
from tests.net.weather import Uplink

SWITCH_GAP = 5.0
"""Seconds between frames at the server; 1.5 is what bench-net holds us to, on a machine that does nothing else."""

UNTOLD_GAP = 15.0
"""The same where the kernel tells of nothing; 8 in bench-net."""

UNTOUCHED = 3.0
"""Where nothing is to happen to the video, on a machine that starts other beds meanwhile."""


async def a_switch_by_route_change(bed: Bed) -> None:
    """As a network manager does it: the old uplink still stands, but nothing of it leaves by the new one."""
    async with bed.survives(within=10, gap=SWITCH_GAP):
        await bed.net.route("b")


async def a_switch_by_link_down(bed: Bed) -> None:
    """The cable is pulled; the kernel takes the other route by itself."""
    await bed.net.spare("b")
    async with bed.survives(within=10, gap=SWITCH_GAP):
        await bed.net.link("a", up=False)


async def a_black_hole_of_the_old_flows(bed: Bed) -> None:
    """Nothing that the kernel could tell of: new flows pass."""
    async with bed.survives(within=20, gap=UNTOLD_GAP):
        await bed.net.strand()


async def a_switch_after_the_old_uplink_died(bed: Bed) -> None:
    """The route moves late, when the SDK has begun to doubt the path by itself."""
    async with bed.survives(within=10, gap=UNTOLD_GAP + 3):
        await bed.net.weather(a=Uplink(dead=True))
        await bed.net.for_seconds(3)
        await bed.net.route("b")


async def there_and_back(bed: Bed) -> None:
    """The second change comes while the first is being answered."""
    async with bed.survives(within=10, gap=SWITCH_GAP * 2):
        await bed.net.route("b")
        await bed.net.for_seconds(0.7)
        await bed.net.route("a")


async def flapping(bed: Bed) -> None:
    """The route goes to and fro faster than anything settles; each time, the way of before is dead."""
    async with bed.survives(within=10, gap=SWITCH_GAP):
        for uplink in ("b", "a", "b", "a"):
            await bed.net.route(uplink)
            await bed.net.for_seconds(4)


async def nat_rebinding(bed: Bed) -> None:
    """UDP goes on from other ports, TCP dies silently."""
    async with bed.survives(within=25, gap=SWITCH_GAP):
        await bed.net.rebind()
        await bed.net.for_seconds(20)  # in which the SDK finds that its signalling died


async def noise_that_is_not_ours(bed: Bed) -> None:
    """What containers, VPNs and DHCP do all day long: no gap, and nothing is done about it."""
    before = bed.device.said()
    async with bed.survives(within=5, gap=UNTOUCHED):
        for line in (
            "link add docker0 type veth peer name inside",
            "address add 172.17.0.1/16 dev docker0",
            "link set docker0 up",
            "link set inside up",
            "route add 10.99.0.0/16 dev docker0",
            "address change 10.81.1.2/24 dev a valid_lft 3600 preferred_lft 3600",  # as a renewed lease does
            "route replace default via 10.81.1.1 dev a metric 100",
            "link set dev b down",
            "link set dev b up",
            "link del docker0",
        ):
            await bed.net.device.ip(line)
            await bed.net.for_seconds(0.3)
    assert "has changed" not in bed.device.said().removeprefix(before)


async def five_streams_through_it_all(bed: Bed) -> None:
    """All that a key may have, none of them to be lost, through one thing after the other."""
    async with bed.survives(within=20, gap=2 * SWITCH_GAP):
        await bed.net.route("b")
    async with bed.survives(within=10, gap=UNTOUCHED):
        await bed.gateway.act("deploy")
    async with bed.survives(within=20):
        await bed.net.strand()
    async with bed.survives(within=30):
        await bed.gateway.act("room_server_kill")
        await bed.net.for_seconds(3)
        await bed.gateway.act("room_server_start")
    async with bed.survives(within=30):
        await bed.device.kill()
        await bed.device.start()


GROUPS = (
    Group((five_streams_through_it_all,), {"streams": 5}),
    Group((noise_that_is_not_ours, a_switch_by_route_change, nat_rebinding, a_switch_after_the_old_uplink_died)),
    Group((a_switch_by_link_down, a_black_hole_of_the_old_flows, there_and_back, flapping)),
)
