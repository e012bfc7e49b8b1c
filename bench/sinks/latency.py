"""How much later than `append` a result arrives at a subscriber, beside aiomqtt alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import aiomqtt

from bench.process import Failure
from bench.sinks import records
from bench.sinks.figures import Line, percentile
from bench.sinks.listener import Listener, listening
from bench.sinks.pipe import STAGE, Pipe, topic
from tests.integration.mosquitto import Mosquitto, mosquitto

STREAM = "front-door"
RATE = 10.0
ARRIVE_SECONDS = 10.0
WARM_UP = 10
TARGET_MS = 25.0


async def latency(folder: Path, seconds: float) -> list[Line]:
    count = int(seconds * RATE)
    async with mosquitto(folder / "mosquitto", persistence=False) as server:
        ours = await _ours(folder / "spool", server, count)
        theirs = await _bare(server, count)
    return [_line(50, ours, theirs, None), _line(99, ours, theirs, TARGET_MS)]


def _line(percent: int, ours: list[float], theirs: list[float], target: float | None) -> Line:
    mine, other = percentile(ours, percent), percentile(theirs, percent)
    name = f"append to subscriber, {RATE:g} results/s, p{percent}"
    return Line(name, f"{mine:.1f} ms", mine, "aiomqtt alone", f"{other:.1f} ms", mine / other, target, "≤", "ms")


async def _ours(state: Path, server: Mosquitto, count: int) -> list[float]:
    pipe = Pipe(state, [STREAM], broker=f"mqtt://127.0.0.1:{server.port}", stage=state.with_name(STAGE))
    async with listening("127.0.0.1", server.port, topic(STREAM)) as listener:
        return await pipe.during(lambda pipe: _steadily(lambda: pipe.append(records.result(STREAM)), count, listener))


async def _bare(server: Mosquitto, count: int) -> list[float]:
    number = 0

    async def publish() -> int:
        nonlocal number
        number += 1
        line = b'{"seq":%d,"x":"%s"}' % (number, b"x" * (records.size() - 30))
        await client.publish(topic("bare"), line, qos=1)
        return number

    async with (
        listening("127.0.0.1", server.port, topic("bare")) as listener,
        aiomqtt.Client("127.0.0.1", server.port) as client,
    ):
        return await _steadily(publish, count, listener)


async def _steadily(send: Callable[[], Awaitable[int]], count: int, listener: Listener) -> list[float]:
    """Milliseconds from each `send` to its arrival."""
    sent: dict[int, float] = {}
    due = time.monotonic()
    for _ in range(count + WARM_UP):
        began = time.monotonic()
        sent[await send()] = began
        due += 1 / RATE
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    if not await listener.all_of(list(sent), ARRIVE_SECONDS):
        raise Failure("not all of it arrived")
    return _took(sent, listener.came)[WARM_UP:]


def _took(sent: Mapping[int, float], came: Mapping[int, float]) -> list[float]:
    return [(came[seq] - at) * 1000 for seq, at in sent.items()]
