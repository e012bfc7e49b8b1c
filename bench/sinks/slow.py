"""A live result beside a backlog on a link of 100 kbit/s, beside a delivery that lets nothing ahead."""

from __future__ import annotations

import asyncio
import math
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.lab import CABLE, GATEWAY, cable
from bench.process import Failure, running
from bench.sinks import records
from bench.sinks.figures import Line, percentile
from bench.sinks.fill import filled
from bench.sinks.listener import listening
from bench.sinks.pipe import STAGE, InOrder, Pipe, topic
from overshootd.sinks.mqtt import MqttSink
from tests.integration.mosquitto import find

STREAM = "front-door"
PORT = 1883
KBITS = 100
BUFFER_MS = 3000
"""What waits before the link, as in a modem: whoever fills it waits that long himself."""

INTERVAL = 2.0
BACKLOG = 50_000
"""Hours of the link."""

FEW = 20
"""Results that show how long one takes where nothing else is sent."""

ARRIVE_SECONDS = 15.0
TARGET = 1.0


async def slow(folder: Path, seconds: float) -> list[Line]:
    with cable() as beyond, _shaped(), _broker(folder, beyond):
        alone, _ = await _live(folder / "alone", MqttSink, FEW, beyond)
        await filled(folder / "ours", STREAM, BACKLOG)
        ours, rate = await _live(folder / "ours", MqttSink, int(seconds / INTERVAL), beyond)
        await filled(folder / "in-order", STREAM, BACKLOG)
        theirs, _ = await _live(folder / "in-order", InOrder, FEW, beyond)
    usual = percentile(alone, 50)
    worst, other = max(ours) - usual, max(theirs) - usual
    p99, median = percentile(ours, 99) - usual, percentile(ours, 50) - usual
    beside = "never" if math.isinf(other) else f"{other:.2f} s"
    share = rate * records.size() * 8 / 1000 / KBITS
    name = f"a live result is later for a backlog, {KBITS} kbit/s, worst"
    return [
        Line(
            name, f"{worst:.2f} s (p99 {p99:.2f}, p50 {median:.2f})", worst, "in order", beside, None, TARGET, unit="s"
        ),
        Line("the same link, used for records", f"{share:.0%} ({rate:.1f} results/s)", share),
    ]


async def _live(state: Path, sink: type[MqttSink], count: int, beyond: list[str]) -> tuple[list[float], float]:
    """Seconds from each result's `append` to its arrival, infinity when it did not; and how many results arrived a
    second, the backlog's too."""
    pipe = Pipe(state, [STREAM], broker=f"mqtt://{GATEWAY}:{PORT}", stage=state.with_name(STAGE), mqtt_sink=sink)

    async def work(pipe: Pipe) -> tuple[list[float], float]:
        sent: dict[int, float] = {}
        await pipe.append(records.result(STREAM))  # what comes before it knows where it stands is backlog too
        await asyncio.sleep(INTERVAL)
        start, before = time.monotonic(), len(listener.came)
        for _ in range(count):
            began = time.monotonic()
            sent[await pipe.append(records.result(STREAM))] = began
            await asyncio.sleep(INTERVAL)
        rate = (len(listener.came) - before) / (time.monotonic() - start)
        await listener.all_of(list(sent), ARRIVE_SECONDS)
        return [listener.came.get(seq, math.inf) - at for seq, at in sent.items()], rate

    async with listening(GATEWAY, PORT, topic(STREAM), beyond) as listener:
        return await pipe.during(work)


@contextmanager
def _shaped() -> Iterator[None]:
    """What we send. The link ends with the namespaces."""
    rate = ("rate", f"{KBITS}kbit", "burst", "2kb", "latency", f"{BUFFER_MS}ms")
    done = subprocess.run(
        ["tc", "qdisc", "add", "dev", CABLE, "root", "tbf", *rate], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise Failure(f"the link cannot be made slow: {done.stderr.strip()}")
    yield


@contextmanager
def _broker(folder: Path, beyond: list[str]) -> Iterator[None]:
    config = folder / "mosquitto.conf"
    config.write_text(f"allow_anonymous true\nuser root\nmax_queued_messages 0\nlistener {PORT} {GATEWAY}\n")
    with running(folder, "mosquitto", [*beyond, find(), "-c", config], {}):
        yield
