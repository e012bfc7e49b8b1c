"""The servers are restarted, refuse, or drop what they had."""

from __future__ import annotations

from pathlib import Path

from tests.net.bed import Bed, site

OUT = 5.0
"""Seconds that a server is away."""

UNTOUCHED = 3.0
"""Between frames, where the room lives on, on a machine that starts other beds meanwhile."""


async def the_room_server_is_killed_and_restarted(folder: Path) -> None:
    """Its rooms are gone with it, the stream is not."""
    async with site(folder) as bed, bed.survives(within=15):
        await _without_room_server(bed, OUT)


async def the_gateway_is_deployed(folder: Path) -> None:
    """The room lives on, the sockets are cut, and nothing is inferred until a keepalive: it must come at once."""
    async with site(folder) as bed, bed.survives(within=10, gap=UNTOUCHED):
        await bed.gateway.act("deploy")


async def the_api_answers_503(folder: Path) -> None:
    async with site(folder) as bed, bed.survives(within=10, gap=UNTOUCHED):
        await bed.gateway.faults({"fault": "status", "status": 503})
        await bed.gateway.act("drop_sockets")
        await bed.net.for_seconds(OUT)
        await bed.gateway.faults()


async def the_api_cuts_connections(folder: Path) -> None:
    async with site(folder) as bed, bed.survives(within=10, gap=UNTOUCHED):
        await bed.gateway.faults({"fault": "cut"})
        await bed.gateway.act("drop_sockets")
        await bed.net.for_seconds(OUT)
        await bed.gateway.faults()


async def api_and_rooms_are_down_at_once(folder: Path) -> None:
    async with site(folder) as bed, bed.survives(within=20):
        await bed.gateway.faults({"fault": "status", "status": 503})
        await bed.gateway.act("deploy")
        await _without_room_server(bed, OUT)
        await bed.gateway.faults()


async def the_results_socket_is_dropped(folder: Path) -> None:
    """With and without a close frame."""
    async with site(folder) as bed:
        for how in ({}, {"code": 1011, "reason": "internal error"}, {"code": 1001, "reason": "livekit_disconnected"}):
            async with bed.survives(within=10, gap=UNTOUCHED):
                await bed.gateway.act("drop_sockets", **how)


async def the_server_ends_the_stream(folder: Path) -> None:
    """A new one at once; no outage, no backoff."""
    async with site(folder) as bed, bed.survives(within=10, same=False):
        await bed.gateway.act("expire_leases")


async def _without_room_server(bed: Bed, seconds: float) -> None:
    await bed.gateway.act("room_server_kill")
    await bed.net.for_seconds(seconds)
    await bed.gateway.act("room_server_start")
