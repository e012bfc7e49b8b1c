"""The daemon and the SDK alone, in the same trouble at the same time, and how long each was out."""

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
NEVER = math.inf


@dataclass
class Pair:
    """A bed with one stream, and the SDK alone beside it."""

    bed: Bed
    rival: Rival

    async def well(self) -> None:
        """Both are; the SDK alone is started again when it has given up. Raises Failure."""
        if not self.rival.runs:
            await self.rival.start()
        await self.bed.device.fresh(START_SECONDS)
        for stream_id in (self._ours, self.rival.stream_id):
            if await self._gap(stream_id, time.monotonic(), START_SECONDS) == NEVER:
                raise Failure(f"no frames of {stream_id} within {START_SECONDS:g} s")

    async def gaps(self, trouble: Trouble, bound: float) -> tuple[float, float]:
        """The longest time without a frame of the same stream, from the beginning of the trouble on: the daemon's, and
        the SDK's. NEVER where nothing came for `bound` seconds."""
        ours, began = self._ours, time.monotonic()
        await trouble(self)
        return await self._both(self._gap(ours, began, bound), self._gap(self.rival.stream_id, began, bound))

    async def returns(self, trouble: Trouble, bound: float) -> tuple[float, float]:
        """Seconds from the end of the trouble to the daemon's first result about a picture that was taken after it, and
        to the SDK's first frame. NEVER where nothing came for `bound` seconds."""
        await trouble(self)
        return await self._both(self._result(bound), self._frame(self.rival.stream_id, time.monotonic(), bound))

    async def _both(self, ours: Awaitable[float], theirs: Awaitable[float]) -> tuple[float, float]:
        took = await asyncio.gather(ours, theirs)
        if took[1] == NEVER:
            await self.rival.stop()
        return took

    @property
    def _ours(self) -> str:
        return self.bed.device.stream_id("s1")

    async def _result(self, bound: float) -> float:
        try:
            return await self.bed.device.fresh(bound)
        except AssertionError:
            return NEVER

    async def _frame(self, stream_id: str, since: float, bound: float) -> float:
        while time.monotonic() < since + bound and self.rival.runs:
            if (life := await self._life(stream_id, since)).frames:
                return life.frames[0] - since
            await asyncio.sleep(LOOK_SECONDS)
        return NEVER

    async def _gap(self, stream_id: str, since: float, bound: float) -> float:
        while (now := time.monotonic()) < since + bound + SETTLED_SECONDS:
            life = await self._life(stream_id, since)
            newest = max(life.frames, default=since)
            steady = [at for at in life.frames if newest - SETTLED_SECONDS <= at]
            if now > since + 2 * SETTLED_SECONDS and len(steady) > SETTLED_SECONDS * FPS / 2 and now - newest < 1:
                return longest_gap(life.frames, since, newest)
            await asyncio.sleep(LOOK_SECONDS)
        return NEVER

    async def _life(self, stream_id: str, since: float) -> Life:
        lives = await self.bed.gateway.lives(since)
        return next(life for life in lives if life.stream_id == stream_id)


Trouble = Callable[[Pair], Awaitable[None]]


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[Pair]:
    """In a network of its own."""
    async with lab(folder) as net, bed(net, folder, stream=STREAM) as one, rival(net, folder) as other:
        yield Pair(one, other)
