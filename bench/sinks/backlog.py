"""A backlog drains without memory growth."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from bench.process import Failure
from bench.sinks.figures import Line
from bench.sinks.fill import filled
from bench.sinks.pipe import STAGE, Pipe, until
from tests.integration.mosquitto import mosquitto

STREAM = "front-door"
AT = (0.1, 0.5, 1.0)
"""Parts of the drain at which memory is looked at."""

GROWTH_MB = 5.0
STUCK_SECONDS = 30.0


async def backlog(folder: Path, count: int) -> list[Line]:
    state = folder / "spool"
    await filled(state, STREAM, count)
    async with mosquitto(folder / "mosquitto", persistence=False) as server:
        pipe = Pipe(state, [STREAM], broker=f"mqtt://127.0.0.1:{server.port}", stage=state.with_name(STAGE))
        rate, memory = await pipe.during(lambda pipe: _drain(pipe, count))
    told = ", ".join(f"{mb:.1f} MB at {part:.0%}" for part, mb in zip(AT, memory, strict=True))
    grown = memory[-1] - memory[0]
    return [
        Line(
            f"{count:,} results drain: memory grows by", f"{grown:+.1f} MB ({told})", grown, target=GROWTH_MB, unit="MB"
        ),
        Line(f"{count:,} results drain: rate", f"{rate:,.0f}/s", rate),
    ]


async def _drain(pipe: Pipe, count: int) -> tuple[float, Sequence[float]]:
    """Results a second, and the memory on the way."""
    await until(lambda: pipe.waiting, "what waits", STUCK_SECONDS)
    began = moved = time.monotonic()
    memory: list[float] = []
    before = 0
    while len(memory) < len(AT):
        await asyncio.sleep(0.05)
        if (done := count - pipe.waiting) != before:
            before, moved = done, time.monotonic()
        elif time.monotonic() - moved > STUCK_SECONDS:
            raise Failure(f"the drain is stuck at {done}: {pipe.log.lines[-3:]}")
        if done >= AT[len(memory)] * count:
            memory.append(_rss())
    return count / (time.monotonic() - began), memory


def _rss() -> float:
    """MB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
