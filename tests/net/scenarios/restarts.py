"""The daemon dies, or restarts."""

from __future__ import annotations

import time

from tests.net.bed import Bed
from tests.net.ordeals import Group

WITHIN = 20.0
"""Seconds until a fresh result; most of it is the start of Python beside other beds that start. 3 in bench-net."""

LEASE = 6.0
SLACK = 1.0


async def killed_and_restarted_within_the_lease(bed: Bed) -> None:
    """As after a crash: the same streams."""
    async with bed.survives(WITHIN):
        await bed.device.kill()
        await bed.device.start()


async def restarted_on_request(bed: Bed) -> None:
    """SIGUSR1, as for an upgrade: the same streams, and none beside them."""
    async with bed.survives(WITHIN):
        await bed.device.restart()


async def killed_and_restarted_beyond_the_lease(bed: Bed) -> None:
    """Nobody pays for more than the lease of a daemon that is dead."""
    old = bed.device.stream_id("s1")
    async with bed.survives(WITHIN, same=False):
        await bed.device.kill()
        died = time.monotonic()
        await bed.net.for_seconds(LEASE + 2)
        await bed.device.start()
    life = await bed.life(old)
    assert life.end_reason == "lease_expired"
    assert life.ended is not None and life.ended - died <= LEASE + SLACK


async def restarted_with_another_configuration(bed: Bed) -> None:
    """What the streams are asked for has changed: the old ones are DELETEd before the new ones are made, so that all
    five of a key can be."""
    old = bed.ids().values()
    async with bed.survives(WITHIN, same=False):
        await bed.device.kill()
        for stream in bed.device.config["streams"].values():
            stream["processing"] = {"interval_seconds": 0.5}
        await bed.device.start()
    assert {(await bed.life(one)).end_reason for one in old} == {"client_requested"}


async def restarted_without_a_stream(bed: Bed) -> None:
    """Left behind by a crash, and no longer in the configuration: it is DELETEd, long before its lease ends."""
    gone = bed.device.stream_id("s5")
    await bed.device.kill()
    del bed.device.config["streams"]["s5"]
    async with bed.survives(WITHIN):
        await bed.device.start()
    assert (await bed.life(gone)).end_reason == "client_requested"


async def ended_for_good(bed: Bed) -> None:
    """SIGTERM: nothing is billed any more when the process is gone."""
    assert await bed.device.end() == 0
    assert await bed.gateway.alive() == set()


GROUPS = (
    Group((killed_and_restarted_within_the_lease, restarted_on_request, ended_for_good), {"streams": 2}),
    Group((killed_and_restarted_beyond_the_lease,), {"simulate": ("--lease-ttl", f"{LEASE:g}")}),
    Group((restarted_with_another_configuration, restarted_without_a_stream), {"streams": 5}),
)
