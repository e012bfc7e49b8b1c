"""What is done to both, and what is measured of it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from bench.net.pair import Pair, Trouble
from tests.net.weather import Uplink

OUTAGE, LONG_OUTAGE, ROOM_SERVER_AWAY = 60.0, 600.0, 5.0


@dataclass(frozen=True)
class Measured:
    """`what`: the longest gap between frames, or the time until something new came once all is well. `target` in
    seconds, `times` how often in full and when in a hurry, on `beds` side by side. `patience` in seconds."""

    name: str
    what: Literal["gap", "return"]
    troubles: tuple[Trouble, ...]
    target: float
    times: int
    hurried: int
    beds: int = 1
    patience: float = 60.0

    async def on(self, pair: Pair, times: int) -> AsyncIterator[tuple[float, float]]:
        """Each of the troubles in turn."""
        measure = pair.gaps if self.what == "gap" else pair.returns
        for number in range(times):
            await pair.well()
            yield await measure(self.troubles[number % len(self.troubles)], self.patience)


async def _to_b(pair: Pair) -> None:
    await pair.bed.net.route("b")


async def _to_a(pair: Pair) -> None:
    await pair.bed.net.route("a")


async def _strand(pair: Pair) -> None:
    await pair.bed.net.strand()


async def _no_route(pair: Pair, seconds: float) -> None:
    await pair.bed.net.link("a", up=False)
    await pair.bed.net.for_seconds(seconds)
    await pair.bed.net.link("a", up=True)
    await pair.bed.net.route("a")


async def _black_hole(pair: Pair, seconds: float) -> None:
    await pair.bed.net.weather(a=Uplink(dead=True))
    await pair.bed.net.for_seconds(seconds)
    await pair.bed.net.weather()


async def _without_room_server(pair: Pair) -> None:
    await pair.bed.gateway.act("room_server_kill")
    await pair.bed.net.for_seconds(ROOM_SERVER_AWAY)
    await pair.bed.gateway.act("room_server_start")


async def _restart(pair: Pair) -> None:
    """As an upgrade does."""
    await asyncio.gather(pair.bed.device.restart(), pair.rival.again())


async def _crash(pair: Pair) -> None:
    async def ours() -> None:
        await pair.bed.device.end(signal.SIGKILL)
        await pair.bed.device.start()

    await asyncio.gather(ours(), pair.rival.again())


async def _told_outage(pair: Pair) -> None:
    await _no_route(pair, OUTAGE)


async def _untold_outage(pair: Pair) -> None:
    await _black_hole(pair, OUTAGE)


async def _long_outage(pair: Pair) -> None:
    await _no_route(pair, LONG_OUTAGE)


SWITCH = Measured("uplink switch, route changes: gap", "gap", (_to_b, _to_a), 1.5, 20, 5)
STRANDED = Measured("black hole of all flows, untold: gap", "gap", (_strand,), 8.0, 20, 4)
ROOM_SERVER = Measured("room server away for 5 s: new result", "return", (_without_room_server,), 3.0, 20, 4)
RESTART = Measured("restart within the lease: gap", "gap", (_restart, _crash), 3.0, 20, 4)
OUTAGES = Measured("no route for 60 s: new result", "return", (_told_outage,), 4.0, 20, 2, beds=4)
UNTOLD = Measured("black hole for 60 s, untold: new result", "return", (_untold_outage,), 15.0, 20, 2, beds=4)
LONG = Measured("no route for 10 min: new result", "return", (_long_outage,), 4.0, 1, 0)

ALL = {"uplinks": (SWITCH, STRANDED), "servers": (ROOM_SERVER, RESTART), "outages": (OUTAGES, UNTOLD, LONG)}
"""Those of a group side by side, for they wait most of the time; one group after the other."""
