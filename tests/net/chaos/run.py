"""One bed, going through its troubles; the log is told as it goes, failures are gathered."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random

from tests.net.bed import STREAM, bed
from tests.net.chaos.kinds import Death, Site
from tests.net.chaos.plan import Step
from tests.net.chaos.verdict import DELETED_WITHIN, SLACK, Window, billed_too_long, ghosts, share, side_by_side
from tests.net.judge import Life
from tests.net.lab import lab

INTERVAL: float = STREAM["processing"]["interval_seconds"]
SHARE = 0.99
PATIENCE = 90.0
"""Whoever is not well within the bound has failed; how late it was is told, up to this. Then it is started anew."""

LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Terms:
    """What a bed is like. `lease` in seconds; `simulate` as `bed` takes it."""

    name: str
    streams: int
    lease: float
    simulate: Sequence[str] = ()
    transport: str = "auto"


@dataclass
class Outcome:
    """`took`: seconds from each healing to a fresh result. `steady`: when all was well; `up`: the same, and recovery
    too."""

    failures: list[str] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    steady: list[Window] = field(default_factory=list)
    up: list[Window] = field(default_factory=list)
    shares: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Run:
    """See the module's text."""

    site: Site
    terms: Terms
    tell: Callable[[str], None]
    outcome: Outcome = field(default_factory=Outcome)
    restarts: int = 0
    """How often the daemon ended by itself, and was started again as systemd does."""

    async def go_through(self, steps: Sequence[Step]) -> Outcome:
        healed = time.monotonic()
        for number, step in enumerate(steps, 1):
            well = time.monotonic()
            await asyncio.sleep(step.quiet)
            self._was_well(healed, well)
            healed = await self._endure(step, f"{number}/{len(steps)} {step}")
        well = time.monotonic()
        await asyncio.sleep(max(step.quiet for step in steps))
        self._was_well(healed, well)
        await self._die()
        await self._judge()
        return self.outcome

    def _was_well(self, healed: float, well: float) -> None:
        now = time.monotonic()
        self.outcome.steady.append(Window(well, now))
        self.outcome.up.append(Window(healed, now))

    async def _endure(self, step: Step, what: str) -> float:
        """Let it happen, and wait for a fresh result; when it was healed."""
        async with asyncio.TaskGroup() as together:
            for trouble in step.troubles:
                together.create_task(trouble.kind.act(self.site, trouble.seconds, Random(trouble.seed)))
        healed = time.monotonic()
        took = await self._fresh()
        verdict = "" if took <= step.bound else f", not {step.bound:g}"
        self.tell(f"{what}: fresh after {took:.1f} s{verdict}")
        self.outcome.took.append(took)
        if verdict:
            self.outcome.failures.append(f"{what}: a fresh result {took:.1f} s after healing{verdict}")
        if took == math.inf:
            await self._start_anew()
        return healed

    async def _fresh(self) -> float:
        """Seconds until each stream has a fresh result, infinity where it has none after PATIENCE."""
        device, began, wall = self.site.bed.device, time.monotonic(), time.time()
        while not device.is_fresh(wall):
            if time.monotonic() - began > PATIENCE:
                return math.inf
            await self._as_systemd()
            await asyncio.sleep(LOOK_SECONDS)
        return time.monotonic() - began

    async def _start_anew(self) -> None:
        """What it does not get over by itself has failed; the rest is tried all the same. Raises AssertionError."""
        device = self.site.bed.device
        await device.kill()
        died = time.monotonic()
        await device.start()
        self.site.deaths.append(Death(died, time.monotonic()))
        assert await self._fresh() < math.inf, f"no fresh result within {PATIENCE:g} s of a new start"

    async def _as_systemd(self) -> None:
        device = self.site.bed.device
        if device.process is not None and (code := device.process.returncode) is not None:
            self.restarts += 1
            self.tell(f"the daemon ended by itself with {code}, and is started again")
            died = time.monotonic()
            device.process = None
            await device.stack.aclose()
            await device.start()
            self.site.deaths.append(Death(died, time.monotonic()))

    async def _die(self) -> None:
        """For good; the leases of its streams end."""
        self.tell("the daemon is killed for good")
        await self.site.bed.device.kill()
        self.site.deaths.append(Death(time.monotonic(), float("inf")))
        await asyncio.sleep(self.terms.lease + 2 * SLACK)

    async def _judge(self) -> None:
        gateway = self.site.bed.gateway
        streams, now, totals = await gateway.lives(), time.monotonic(), (await gateway.ledger())["totals"]
        unknown = ghosts(streams, self.terms.lease)
        known = [one for one in streams if one not in unknown]
        self.outcome.failures += billed_too_long(streams, self.site.deaths, self.terms.lease, now)
        self.outcome.failures += [
            f"more than {self.terms.streams} streams were billed at once for {window.seconds:.1f} s, "
            f"and a DELETE takes {DELETED_WITHIN:g} s: {_alive_in(known, window)}"
            for window in side_by_side(known, self.terms.streams, now)
        ]
        self.outcome.shares = self._shares()
        self.outcome.failures += [
            f"{name}: {part:.1%} of the results due were received, not {SHARE:.0%}"
            for name, part in self.outcome.shares.items()
            if part < SHARE and name in self.site.bed.device.streams
        ]
        self.outcome.facts = {
            "streams made": len(streams),
            "of which nobody learned the id": len(unknown),
            "ends of the daemon by itself": self.restarts,
            "inferences that the simulator was late for": totals["skipped"],
            "violations": totals["violations"],
        }

    def _shares(self) -> dict[str, float]:
        """Results received per result due, of each stream; and the same from each healing on."""
        device, offset = self.site.bed.device, time.time() - time.monotonic()
        shares: dict[str, float] = {}
        for stream in device.streams:
            times = [datetime.fromisoformat(one["received_at"]).timestamp() for one in device.records(stream)]
            received = sorted(at - offset for at in times)
            shares[stream] = share(received, self.outcome.steady, INTERVAL)
            shares[f"{stream}, recoveries included"] = share(received, self.outcome.up, INTERVAL)
        return shares


def _alive_in(streams: Sequence[Life], window: Window) -> str:
    return ", ".join(
        f"{one.stream_id} ({one.end_reason})"
        for one in streams
        if one.created <= window.since and (one.ended is None or one.ended >= window.until)
    )


@asynccontextmanager
async def running(terms: Terms, folder: Path, tell: Callable[[str], None]) -> AsyncIterator[Run]:
    """In a network of its own; all streams are live."""
    stream = STREAM | {"transport": terms.transport}
    async with (
        lab(folder) as net,
        bed(net, folder, streams=terms.streams, stream=stream, simulate=terms.simulate) as one,
    ):
        yield Run(Site(one), terms, tell)
