"""All that a run needs: a simulator, a broker, somebody who listens there, small disks, and the daemon."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.integration.daemon_bed import BOUND, Json, Simulator, config, eventually, simulator
from tests.integration.mosquitto import Mosquitto, free_port, mosquitto
from tests.integration.namespace import ADDRESSES
from tests.ledger.disk import Disk, small_disk, small_memory
from tests.ledger.keeper import Keeper
from tests.ledger.plan import Plan, State
from tests.ledger.subscriber import Subscriber
from tests.ledger.tap import Tap, tapped

STREAMS = ("one", "two")
INTERVAL = 0.2
"""Seconds between two results of a stream."""

READS = 10
"""Tries to read files that rotate meanwhile."""

MEGABYTES = 8
STREAM: Json = {
    "camera": {"type": "test", "width": 320, "height": 180},
    "processing": {"interval_seconds": INTERVAL},
}


@dataclass
class At:
    """A broker, the wire to it, and who listens there."""

    server: Mosquitto
    tap: Tap
    subscriber: Subscriber

    def forget(self) -> None:
        """While it is dead: what it had on its disk."""
        (self.server.folder / "mosquitto.db").unlink(missing_ok=True)


@dataclass
class Bed:
    gateway: Simulator
    keeper: Keeper
    results: Disk
    state: Disk | None
    """None where `state_dir` never fills."""
    broker: At | None

    async def begin(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Return what runs on, when both streams are live."""
        running: list[asyncio.Task[None]] = []
        if (broker := self.broker) is not None:
            running.append(tasks.create_task(broker.subscriber.run(), name="subscriber"))
            await eventually(lambda: broker.subscriber.subscribed, "a subscriber")
        running.append(tasks.create_task(self.keeper.run(), name="daemon"))
        await eventually(lambda: all(len(self.lines(stream)) > 2 for stream in STREAMS), "results", BOUND)
        return running

    def lines(self, stream: str) -> list[bytes]:
        """All that is in the file and in the older ones, in order."""
        for _ in range(READS):
            with suppress(FileNotFoundError):  # it was rotated or compressed between being seen and being read
                return self._lines(stream)
        return self._lines(stream)

    def _lines(self, stream: str) -> list[bytes]:
        path = self.results.path / f"{stream}.jsonl"
        older = sorted(
            (found for found in path.parent.glob(f"{path.name}-*") if found.suffix != ".tmp"), key=lambda one: one.name
        )
        stamps = {found.name.removesuffix(".gz"): found for found in reversed(older)}  # the one not compressed, of both
        whole = [stamps[stamp] for stamp in sorted(stamps)] + [path] * path.exists()
        return [line for one in whole for line in _read(one).splitlines()]


@asynccontextmanager
async def bed(folder: Path, plan: Plan, *, with_broker: bool) -> AsyncIterator[Bed]:
    """Simulator and broker run. Raises NoDisk."""
    async with AsyncExitStack() as stack:
        results = stack.enter_context(small_disk(folder / "results", MEGABYTES))
        state = _state(folder, plan.state, results, stack)
        gateway = await stack.enter_async_context(simulator(folder, "--advertise", ADDRESSES[0]))
        broker = await stack.enter_async_context(_broker(folder)) if with_broker else None
        settings = _settings(folder, plan, gateway.base_url, state, broker)
        yield Bed(gateway, Keeper(folder, settings, _stage(folder, plan, stack)), results, state, broker)


def _state(folder: Path, where: State, results: Disk, stack: AsyncExitStack) -> Disk | None:
    match where:
        case State.SHARED:
            return results
        case State.SMALL:
            return stack.enter_context(small_disk(folder / "state", MEGABYTES))
        case State.ELSEWHERE:
            return None


def _stage(folder: Path, plan: Plan, stack: AsyncExitStack) -> dict[str, str]:
    """What the daemon's environment says of it."""
    if plan.stage_kb is None:
        return {}
    return {"OVERSHOOTD_STAGE": str(stack.enter_context(small_memory(folder / "stage", plan.stage_kb)).path)}


@asynccontextmanager
async def _broker(folder: Path) -> AsyncIterator[At]:
    async with (
        mosquitto(folder / "mosquitto") as server,
        tapped(free_port(), server.port, lambda topic: topic.endswith("/result")) as tap,
    ):
        yield At(server, tap, Subscriber(server.port, "overshootd/+/+/result"))


def _settings(folder: Path, plan: Plan, base_url: str, state: Disk | None, broker: At | None) -> Json:
    settings = config(folder, base_url, **dict.fromkeys(STREAMS, STREAM))
    if state is not None:
        settings["state_dir"] = str(state.path / "state")
    common = {"sync_seconds": plan.sync_seconds}
    file = {
        "type": "file",
        "path": str(folder / "results" / "{stream}.jsonl"),
        "rotate_bytes": plan.rotate_bytes,
        "keep": 1000,
        "min_free_mb": 0,
    }
    sinks: list[Json] = [file | common]
    if broker is not None:
        settings["brokers"] = {"home": {"url": f"mqtt://127.0.0.1:{broker.tap.port}", "keepalive_seconds": 5}}
        sinks.append({"type": "mqtt", "broker": "home"} | common)
    settings["defaults"] = {"sinks": sinks}
    return settings


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data
