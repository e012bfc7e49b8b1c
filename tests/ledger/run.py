"""One run: the troubles of a plan, then all is well again, and the evidence is gathered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.daemon_bed import eventually
from tests.ledger.bed import STREAMS, At, Bed, bed
from tests.ledger.judge import Evidence, Sent, Window, verdict
from tests.ledger.plan import Kind, Plan, Trouble

RECEIPT_SECONDS = 1.0
"""What is on its way from the simulator's send to the spool is not received yet: so long, on a machine that is busy."""

SAVED_SECONDS = 3.0
"""The broker saves what it has once a second; a busy disk takes another."""

WAITING_SECONDS = 2.0
"""After room was made in the spool's filesystem, for what waited in memory."""

SETTLE_SECONDS = 60.0
"""A sink or a broker that failed for seconds is tried again within 30."""

END_SECONDS = 20.0


@dataclass
class Run:
    """`tell` hears what happens."""

    bed: Bed
    tell: Callable[[str], None]
    forgotten: list[Window] = field(default_factory=list)
    full: list[Window] = field(default_factory=list)
    """When the spool's filesystem was."""

    async def go_through(self, plan: Plan) -> None:
        async with asyncio.TaskGroup() as lanes:
            for lane in plan.lanes:
                lanes.create_task(self._lane(lane))

    async def settle(self) -> None:
        """Both streams have new results, and what is in the files is at the broker; the judge says what is not."""
        before = {stream: len(self.bed.lines(stream)) for stream in STREAMS}
        await eventually(
            lambda: all(len(self.bed.lines(stream)) > before[stream] + 2 for stream in STREAMS),
            "new results in the files",
            SETTLE_SECONDS,
        )
        if (broker := self.bed.broker) is not None:
            with suppress(AssertionError):
                await eventually(lambda: self._same(broker), "the same in both", SETTLE_SECONDS)

    async def end(self) -> Evidence:
        """The daemon ends in order."""
        keeper = self.bed.keeper
        keeper.end()
        await eventually(lambda: keeper.over, "the end of the daemon", END_SECONDS)
        assert keeper.ended is not None
        broker = self.bed.broker
        if broker is not None:
            heard = len(broker.tap.acknowledged)
            with suppress(AssertionError):
                await eventually(lambda: len(set(broker.subscriber.heard)) >= heard, "all of it heard", 2.0)
        told = (await self.bed.gateway.control.get("/sent")).json()["streams"]
        return Evidence(
            sent=[Sent(one["id"], one["at"]) for stream in told.values() for one in stream],
            files={stream: self.bed.lines(stream) for stream in STREAMS},
            acknowledged=broker.tap.acknowledged if broker else (),
            heard=broker.subscriber.heard if broker else None,
            unheard=[*unheard(keeper.deaths, self.full), Window(keeper.ended - RECEIPT_SECONDS, float("inf"))],
            forgotten=self.forgotten,
            lives=keeper.lives,
        )

    def _same(self, broker: At) -> bool:
        files = {line for stream in STREAMS for line in self.bed.lines(stream)}
        return files == {line for line, _ in broker.tap.acknowledged}

    async def _lane(self, troubles: Sequence[Trouble]) -> None:
        for trouble in troubles:
            await asyncio.sleep(trouble.after)
            self.tell(str(trouble))
            await self._act(trouble)

    def _act(self, trouble: Trouble) -> Coroutine[Any, Any, None]:
        bed, broker = self.bed, self.bed.broker
        match trouble.kind:
            case Kind.KILLED:
                return bed.keeper.kill()
            case Kind.FULL | Kind.STATE_FULL:
                return self._fill(trouble)
            case Kind.READ_ONLY:
                return self._read_only(trouble.seconds)
        assert broker is not None
        match trouble.kind:
            case Kind.CUT:
                return self._cut(broker)
            case Kind.BROKER_STOPPED:
                return self._stop(broker, trouble.seconds)
            case Kind.BROKER_KILLED | Kind.BROKER_FORGETS:
                return self._lose(broker, trouble)

    async def _fill(self, trouble: Trouble) -> None:
        disk = self.bed.results if trouble.kind is Kind.FULL else self.bed.state
        assert disk is not None
        since = time.monotonic()
        disk.fill(trouble.left)
        await asyncio.sleep(trouble.seconds)
        disk.free()
        if disk is self.bed.state:
            self.full.append(Window(since, time.monotonic()))

    async def _read_only(self, seconds: float) -> None:
        """A card that was mounted so at the start: the kernel remounts nothing that somebody writes to."""
        async with self.bed.keeper.dead():
            assert self.bed.results.read_only(True), "nobody writes there"
        await asyncio.sleep(seconds)
        assert self.bed.results.read_only(False)

    async def _cut(self, broker: At) -> None:
        broker.tap.cut()

    async def _stop(self, broker: At, seconds: float) -> None:
        await broker.server.stop()
        await asyncio.sleep(seconds)
        await broker.server.start()

    async def _lose(self, broker: At, trouble: Trouble) -> None:
        """It need not have passed on what it acknowledged last, and one that begins anew not before it is asked to."""
        since = time.monotonic() - SAVED_SECONDS
        await broker.server.kill()
        died = time.monotonic()
        if trouble.kind is Kind.BROKER_FORGETS:
            broker.forget()
        await asyncio.sleep(trouble.seconds)
        await broker.server.start()
        await eventually(lambda: broker.subscriber.subscribed > died, "the subscriber again")
        until = broker.subscriber.subscribed if trouble.kind is Kind.BROKER_FORGETS else died
        self.forgotten.append(Window(since, until))


def unheard(deaths: Sequence[float], full: Sequence[Window]) -> list[Window]:
    """When results were sent that need not have been received, for these deaths: what was on its way, and what waited
    in memory because the spool's filesystem was `full`."""
    windows = []
    for died in deaths:
        waited = [window.since for window in full if window.since <= died <= window.until + WAITING_SECONDS]
        windows.append(Window(min([died, *waited]) - RECEIPT_SECONDS, died + RECEIPT_SECONDS))
    return windows


async def run(plan: Plan, folder: Path, *, with_broker: bool, tell: Callable[[str], None]) -> list[str]:
    """What is wrong; empty when all is well. Raises NoDisk."""
    async with bed(folder, plan, with_broker=with_broker) as made, asyncio.TaskGroup() as tasks:
        running = await made.begin(tasks)
        one = Run(made, tell)
        tell(f"live; {plan}; the small disk is {made.results.kind}")
        await one.go_through(plan)
        tell("all is well again")
        await one.settle()
        evidence = await one.end()
        for task in running:
            task.cancel()
        _keep(evidence, folder / "evidence")
        tell(_counted(evidence))
        return made.keeper.ends + verdict(evidence)


def _counted(evidence: Evidence) -> str:
    lines = sum(map(len, evidence.files.values()))
    written = b"".join(line for lines in evidence.files.values() for line in lines)
    never = sum(sent.id.encode() not in written for sent in evidence.sent)
    return (
        f"{len(evidence.sent)} results sent, {never} of them not received, {lines} lines in files, "
        f"{len(evidence.acknowledged)} acknowledged, {len(evidence.heard or ())} heard, {evidence.lives} lives of the "
        "daemon"
    )


def _keep(evidence: Evidence, folder: Path) -> None:
    """What the small disks had, for whoever looks for the reason of a failure: they are gone then."""
    folder.mkdir()
    for stream, lines in evidence.files.items():
        (folder / f"{stream}.jsonl").write_bytes(b"\n".join(lines))
    (folder / "acknowledged.jsonl").write_bytes(b"\n".join(line for line, _ in evidence.acknowledged))
    (folder / "heard.jsonl").write_bytes(b"\n".join(evidence.heard or ()))
    (folder / "sent.txt").write_text("\n".join(f"{at:.3f} {id_}" for id_, at in evidence.sent))
    (folder / "windows.txt").write_text(f"unheard: {evidence.unheard}\nforgotten: {evidence.forgotten}\n")
