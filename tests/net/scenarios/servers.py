"""The servers are restarted, refuse, or drop what they had."""

from __future__ import annotations

from tests.net.bed import Bed
from tests.net.ordeals import Group

OUT = 5.0
"""Seconds that a server is away."""

UNTOUCHED = 3.0
"""Between frames, where the room lives on, on a machine that starts other beds meanwhile."""


async def the_room_server_is_killed_and_restarted(bed: Bed) -> None:
    """Its rooms are gone with it, the stream is not."""
    async with bed.survives(within=15):
        await _without_room_server(bed, OUT)


async def the_room_server_is_away_for_longer(bed: Bed) -> None:
    """Many joins fail meanwhile, and the API answers: no reason to give up the stream, or its transport."""
    async with bed.survives(within=15):
        await _without_room_server(bed, 15)


async def the_gateway_is_deployed(bed: Bed) -> None:
    """The room lives on, the sockets are cut, and nothing is inferred until a keepalive: it must come at once."""
    async with bed.survives(within=10, gap=UNTOUCHED):
        await bed.gateway.act("deploy")


async def the_api_answers_503(bed: Bed) -> None:
    async with bed.survives(within=10, gap=UNTOUCHED):
        await bed.gateway.faults({"fault": "status", "status": 503})
        await bed.gateway.act("drop_sockets")
        await bed.net.for_seconds(OUT)
        await bed.gateway.faults()


async def the_api_cuts_connections(bed: Bed) -> None:
    async with bed.survives(within=10, gap=UNTOUCHED):
        await bed.gateway.faults({"fault": "cut"})
        await bed.gateway.act("drop_sockets")
        await bed.net.for_seconds(OUT)
        await bed.gateway.faults()


async def api_and_rooms_are_down_at_once(bed: Bed) -> None:
    async with bed.survives(within=20):
        await bed.gateway.faults({"fault": "status", "status": 503})
        await bed.gateway.act("deploy")
        await _without_room_server(bed, OUT)
        await bed.gateway.faults()


async def the_results_socket_is_dropped(bed: Bed) -> None:
    """With and without a close frame."""
    for how in ({}, {"code": 1011, "reason": "internal error"}, {"code": 1001, "reason": "livekit_disconnected"}):
        async with bed.survives(within=10, gap=UNTOUCHED):
            await bed.gateway.act("drop_sockets", **how)


async def the_lease_runs_out_at_the_server(bed: Bed) -> None:
    """A new stream at once; no outage, no backoff."""
    async with bed.survives(within=10, same=False):
        await bed.gateway.act("expire_leases")


async def _without_room_server(bed: Bed, seconds: float) -> None:
    await bed.gateway.act("room_server_kill")
    await bed.net.for_seconds(seconds)
    await bed.gateway.act("room_server_start")


GROUPS = (
    Group((the_gateway_is_deployed, the_api_answers_503, the_results_socket_is_dropped, the_api_cuts_connections)),
    Group((the_room_server_is_away_for_longer,)),
    Group((the_room_server_is_killed_and_restarted, api_and_rooms_are_down_at_once, the_lease_runs_out_at_the_server)),
)
