"""How many results a second go through the spool and to a broker on this machine, beside aiomqtt alone."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiomqtt

from bench.process import Failure, running
from bench.sinks import records
from bench.sinks.figures import Line
from bench.sinks.pipe import STAGE, Pipe, topic, until
from tests.integration.mosquitto import Mosquitto, mosquitto

STREAMS = tuple(f"cam-{number}" for number in range(8))
WAITING = 500
"""Of each stream at most: who appends waits for the sinks then, so that what is measured goes all the way."""

LOOK_EVERY = 16
"""Results: looking after each of them takes 3 % of the CPU, which is the measurement's and not ours."""

WARM_UP = 3.0
STUCK_SECONDS = 30.0
WINDOW = 100
"""Publications at a time, as `in_flight` of a broker is by default."""

TARGET = 3000.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Results a second, and seconds of CPU each of this process."""

    results: float
    cpu: float


async def throughput(folder: Path, seconds: float) -> list[Line]:
    async with mosquitto(folder / "alone", persistence=False) as server:
        ours = await _ours(folder / "spool-1", server, seconds)
        theirs = await _bare(server, seconds)
    async with mosquitto(folder / "heard", persistence=False) as server:
        with _subscriber(folder, server) as heard:
            beside = await _ours(folder / "spool-2", server, seconds)
        if not heard():
            raise Failure("the subscriber heard nothing")
    return [
        _line("results a second, 8 streams", ours, theirs),
        _line("the same, with a subscriber", beside, None),
    ]


def _line(name: str, ours: Rate, theirs: Rate | None) -> Line:
    told = f"{ours.results:,.0f}/s, {ours.cpu * 1e6:.0f} µs of CPU each"
    if theirs is None:
        return Line(name, told, ours.results, target=TARGET, bound="≥", unit="/s")
    beside = f"{theirs.results:,.0f}/s, {theirs.cpu * 1e6:.0f} µs"
    ratio = ours.results / theirs.results
    return Line(name, told, ours.results, "aiomqtt alone", beside, ratio, TARGET, "≥", "/s")


async def _ours(state: Path, server: Mosquitto, seconds: float) -> Rate:
    pipe = Pipe(state, STREAMS, broker=f"mqtt://127.0.0.1:{server.port}", stage=state.with_name(STAGE))

    async def work(pipe: Pipe) -> Rate:
        async with asyncio.TaskGroup() as tasks:
            appending = [tasks.create_task(_append(pipe, number)) for number in range(len(STREAMS))]
            rate = await _measured(lambda: pipe.appended - pipe.waiting, seconds)
            for task in appending:
                task.cancel()
        return rate

    return await pipe.during(work)


async def _append(pipe: Pipe, number: int) -> None:
    """One stream, as fast as it goes."""
    delivery = pipe.deliveries[number]
    for count, result in enumerate(records.results(STREAMS[number])):
        if not count % LOOK_EVERY:
            await until(lambda: delivery.now.waiting < WAITING, "less that waits", STUCK_SECONDS)
        await pipe.append(result)


async def _bare(server: Mosquitto, seconds: float) -> Rate:
    """As its documentation has it: `publish` awaits the acknowledgement; WINDOW of them at a time."""
    done, over = 0, False
    quiet = logging.getLogger("bench.quiet")
    quiet.disabled = True  # it warns of so many at a time

    async def publish(client: aiomqtt.Client) -> None:
        nonlocal done
        line = b"x" * records.size()
        while not over:  # cancelled, some wait for ever
            await client.publish(topic("bare"), line, qos=1)
            done += 1

    async with (
        aiomqtt.Client("127.0.0.1", server.port, logger=quiet) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(WINDOW):
            tasks.create_task(publish(client))
        rate = await _measured(lambda: done, seconds)
        over = True
    return rate


async def _measured(count: Callable[[], int], seconds: float) -> Rate:
    await asyncio.sleep(WARM_UP)
    began, before, cpu = time.monotonic(), count(), time.process_time()
    await asyncio.sleep(seconds)
    done = count() - before
    return Rate(done / (time.monotonic() - began), (time.process_time() - cpu) / done)


@contextmanager
def _subscriber(folder: Path, server: Mosquitto) -> Iterator[Callable[[], bool]]:
    """mosquitto's own; gives what tells whether it heard anything."""
    program = shutil.which("mosquitto_sub")
    if program is None:
        raise Failure("mosquitto_sub is missing: install mosquitto-clients")
    command = [program, "-p", server.port, "-q", "1", "-t", "overshootd/#", "-F", "%l"]
    with running(folder, "subscriber", command, {}):
        yield lambda: (folder / "subscriber.log").stat().st_size > 0
