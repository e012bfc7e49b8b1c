"""How long nothing arrived, of the daemon and of the SDK alone, in the same trouble."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.net.rival import FPS, HEIGHT, WIDTH, Rival, rival
from bench.process import Failure
from tests.net.bed import Bed, bed
from tests.net.judge import Life, longest_gap
from tests.net.lab import lab

STREAM: dict[str, Any] = {
    "camera": {"type": "test", "width": WIDTH, "height": HEIGHT, "fps": FPS},
    "processing": {"interval_seconds": 0.25},
    "publish": {"fps": FPS},
}
SETTLED_SECONDS = 2.0
"""Frames that came so long without a pause mean that the gap is over."""

LOOK_SECONDS = 0.25
START_SECONDS = 45.0
GIVEN_UP = math.inf

Trouble = Callable[[Bed], Awaitable[None]]


@dataclass
class Pair:
    """A bed with one stream, and the SDK alone beside it."""

    bed: Bed
    rival: Rival

    async def well(self) -> None:
        """Both are; the SDK alone is started again when it has given up."""
        if not self.rival.runs:
            await self.rival.start()
        await self.bed.device.fresh(START_SECONDS)
        for stream_id in (self._ours, self.rival.stream_id):
            if await self.settled(stream_id, time.monotonic(), START_SECONDS) == GIVEN_UP:
                raise Failure(f"no frames of {stream_id} within {START_SECONDS:g} s")

    async def gaps(self, trouble: Trouble, bound: float, theirs: float) -> tuple[float, float]:
        """The longest time without a frame from the beginning of the trouble on: the daemon's, and the SDK's. GIVEN_UP
        where it lasted longer than `bound`, or `theirs`."""
        before, began = self._ours, time.monotonic()
        await trouble(self.bed)
        ours, others = await asyncio.gather(
            self.settled(before, began, bound), self.settled(self.rival.stream_id, began, theirs)
        )
        if others == GIVEN_UP:
            self.rival.gave_up += 1
            await self.rival.stop()
        return ours, others

    @property
    def _ours(self) -> str:
        return self.bed.device.stream_id("s1")

    async def settled(self, stream_id: str, since: float, bound: float) -> float:
        """Wait until frames come without a pause; the longest one since then."""
        while (now := time.monotonic()) < since + bound + SETTLED_SECONDS:
            life = await self._life(stream_id, since)
            newest = max(life.frames, default=since)
            steady = [at for at in life.frames if newest - SETTLED_SECONDS <= at]
            if now > since + 2 * SETTLED_SECONDS and len(steady) > SETTLED_SECONDS * FPS / 2 and now - newest < 1:
                return longest_gap(life.frames, since, newest)
            await asyncio.sleep(LOOK_SECONDS)
        return GIVEN_UP

    async def _life(self, stream_id: str, since: float) -> Life:
        lives = await self.bed.gateway.lives(since)
        return next(life for life in lives if life.stream_id == stream_id)


@asynccontextmanager
async def pair(folder: Path, **how: Any) -> AsyncIterator[Pair]:
    """In a network of its own; `how` as `bed` takes it."""
    async with lab(folder) as net, bed(net, folder, stream=STREAM, **how) as one, rival(net, folder) as other:
        yield Pair(one, other)
