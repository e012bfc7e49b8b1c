"""The daemon dies, or restarts."""

from __future__ import annotations

import time
from pathlib import Path

from tests.net.bed import Bed, site

GAP = 12.0
"""Between frames at the server, most of it the start of Python beside other beds that start; 3 in bench-net."""

LEASE = 6.0
SLACK = 1.0


async def killed_and_restarted_within_the_lease(folder: Path) -> None:
    """As after a crash: the same stream."""
    async with site(folder) as bed, bed.survives(within=15, gap=GAP):
        await bed.device.kill()
        await bed.device.start()


async def killed_and_restarted_beyond_the_lease(folder: Path) -> None:
    """Nobody pays for more than the lease of a daemon that is dead."""
    async with site(folder, simulate=("--lease-ttl", f"{LEASE:g}")) as bed:
        async with bed.survives(within=15, same=False):
            await bed.device.kill()
            died = time.monotonic()
            await bed.net.for_seconds(LEASE + 2)
            await bed.device.start()
        old, *_ = await bed.gateway.lives()
        assert old.end_reason == "lease_expired"
        assert old.ended is not None and old.ended - died <= LEASE + SLACK


async def restarted_on_request(folder: Path) -> None:
    """SIGUSR1, as for an upgrade: the same stream, and no second one."""
    async with site(folder, streams=2) as bed, bed.survives(within=15, gap=GAP):
        await bed.device.restart()


async def restarted_with_another_configuration(folder: Path) -> None:
    """What the streams are asked for has changed: the old ones are DELETEd before the new ones are made, so that all
    five of a key can be."""
    async with site(folder, streams=5) as bed:
        async with bed.survives(within=20, same=False):
            await bed.device.kill()
            _ask_something_else(bed)
            await bed.device.start()
        old = (await bed.gateway.lives())[:5]
        assert {life.end_reason for life in old} == {"client_requested"}


async def restarted_without_a_stream(folder: Path) -> None:
    """Left behind by a crash, and no longer in the configuration: it is DELETEd, long before its lease ends."""
    async with site(folder, streams=2) as bed:
        gone = bed.device.stream_id("s2")
        await bed.device.kill()
        del bed.device.config["streams"]["s2"]
        async with bed.survives(within=15):
            await bed.device.start()
        reasons = {life.stream_id: life.end_reason for life in await bed.gateway.lives()}
        assert reasons[gone] == "client_requested"


async def ended_for_good(folder: Path) -> None:
    """SIGTERM: nothing is billed any more when the process is gone."""
    async with site(folder, streams=2) as bed:
        assert await bed.device.end() == 0
        assert await bed.gateway.alive() == set()


def _ask_something_else(bed: Bed) -> None:
    for stream in bed.device.config["streams"].values():
        stream["processing"] = {"interval_seconds": 0.5}
