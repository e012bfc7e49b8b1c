"""How records get from a cursor to its sink: in order, or what is live beside a backlog.

Two lanes are for sinks that let what is live go first. Live is what arrives, and the newest few of what was there when
an attempt began: they tell how things are now. All else is the backlog, and so is whatever is older than something that
the sink has. Where the link is slower than what arrives, the live lane jumps to the newest, and what it left behind is
backlog too.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from overshootd.backoff import Backoff
from overshootd.contracts import Log, Sink
from overshootd.errors import Rejected, Transient
from overshootd.groups import TaskGroup
from overshootd.sinks.cursor import Batch, Cursor
from overshootd.sinks.pace import BATCH_ROWS, Portion
from overshootd.sinks.suspects import Suspects

FEW = 8
"""So many go out as live, and in order, when an attempt begins: over 100 kbit/s they take half a second."""

LIVE_SECONDS, BACKLOG_SECONDS = 0.25, 2.0
"""What giving a portion shall take at most: what comes next in its lane waits for it."""

LAG_SECONDS = 5.0
"""The live lane that is so far behind jumps. Each jump leaves a span in the cursor (progress.py), which has few."""

GATHER_SECONDS = 0.01
"""The live lane rests for so long where it gave all that there was: of what comes one upon another more goes together
then, for much less work. What comes after a while goes at once."""

PLENTY = 256
"""Records that a sink was given since it last synced: enough to do so early. Those of eight streams fit on the stage
(staging.py), so what comes by the thousand is not written to the disk either."""

UID = re.compile(rb'"uid":"([^"]*)"')


@dataclass(slots=True)
class Lane:
    portion: Portion
    backlog: bool = False


class Lanes:
    """For one sink. `stopping` ends it, and with `once` it ends by itself, as soon as there is nothing to give.

    `backoff` is for a record that the sink refuses. `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        cursor: Cursor,
        sink: Sink,
        log: Log,
        stopping: asyncio.Event,
        *,
        once: bool,
        backoff: Backoff,
        clock: Callable[[], float],
    ) -> None:
        self._cursor = cursor
        self._sink = sink
        self._log = log
        self._stopping = stopping
        self._once = once
        self._backoff = backoff
        self._clock = clock
        in_order, live = Portion(BATCH_ROWS, BATCH_ROWS), Portion(FEW, BATCH_ROWS, LIVE_SECONDS)
        self._front = Lane(live if sink.live_first else in_order)
        self._back = Lane(Portion(8 * FEW, BATCH_ROWS, BACKLOG_SECONDS), backlog=True)
        self._passed = 0  # the front lane looks at nothing up to this seq
        self._left = asyncio.Event()  # something is behind that
        self._suspects = Suspects()
        self._unsettled = 0
        self.gave = asyncio.Event()
        """The sink was given something."""
        self.turn = nullcontext() if sink.live_first else asyncio.Lock()
        """A sink whose records come in order is not asked to sync in the midst of some: that may fail, and then they
        would have come before those that come again."""
        self.passed_over = 0
        """Records that the sink refused for good."""

    async def run(self) -> None:
        """Give the sink what it lacks, and what arrives, until it is to end and has all. Raises Transient."""
        given = self._cursor.given
        if not self._sink.live_first:
            self._passed = given.floor
            return await self._run_front()
        self._passed = max(given.top, self._cursor.head - FEW)
        async with TaskGroup() as tasks:
            front = tasks.create_task(self._run_front(), name="front")
            front.add_done_callback(lambda _: self._left.set())
            tasks.create_task(self._run_back(front), name="back")

    @property
    def why(self) -> str:
        """Why a record is not taken, while one is not."""
        return self._suspects.why

    def wake(self) -> None:
        """Look again whether it is to end."""
        self._cursor.wake()
        self._left.set()
        self._cursor.due.set()

    def settled(self) -> None:
        """The sink has for sure what it was given so far."""
        self._unsettled = 0
        self._cursor.due.clear()

    @property
    def _ends(self) -> bool:
        return self._once or self._stopping.is_set()

    async def _run_front(self) -> None:
        """What arrives; in order, from the oldest on, where there is no other lane."""
        while True:
            gap = self._cursor.given.gap_after(self._passed, self._cursor.head)
            if gap is None:
                if self._ends:
                    return
                await self._cursor.wait()
            elif self._sink.live_first and self._cursor.age(gap[0]) > LAG_SECONDS and self._jump():
                continue
            else:
                all_there_is = gap[1] - gap[0] + 1 < self._front.portion.rows
                if not await self._give(self._front, gap):
                    return
                if all_there_is and not self._ends:
                    await _within(self._stopping, GATHER_SECONDS)

    async def _run_back(self, front: asyncio.Task[None]) -> None:
        """What the front lane has passed, oldest first, but for what is refused just now."""
        while True:
            now, due = self._clock(), self._suspects.due(self._passed)
            if (gap := self._suspects.gap(self._cursor.given, self._passed, now)) is not None:
                if not await self._give(self._back, gap):
                    return
            elif front.done() and (self._stopping.is_set() or (self._once and due is None)):
                return
            else:
                self._left.clear()
                await _within(self._left, None if due is None else due - now)

    def _jump(self) -> bool:
        """Leave to the backlog all but the newest portion. False when there is no more than that."""
        newest = self._cursor.head - self._front.portion.rows
        if newest <= self._passed:
            return False
        self._leave(newest)
        return True

    def _leave(self, seq: int) -> None:
        self._passed = seq
        self._left.set()

    async def _give(self, lane: Lane, gap: tuple[int, int]) -> bool:
        """Give the first portion of a gap. False when the lane cannot go on and is to end. Raises Transient."""
        batch = await self._cursor.read(gap[0] - 1, gap[1], lane.portion.rows)
        try:
            async with self.turn:
                await self._deliver(lane, batch)
                self._gave(lane, batch)
        except Rejected as error:
            return await self._refused(lane, batch, error)
        except Transient:
            lane.portion.failed()
            raise
        return True

    async def _deliver(self, lane: Lane, batch: Batch) -> None:
        if batch.lines:
            began = self._clock()
            await self._sink.deliver(batch.lines, backlog=lane.backlog)
            lane.portion.took(len(batch.lines), self._clock() - began)

    def _gave(self, lane: Lane, batch: Batch) -> None:
        self._cursor.gave(batch)
        if not lane.backlog:
            self._passed = max(self._passed, batch.last)
        self._suspects.gave(batch.first, batch.last)
        self._unsettled += len(batch.lines)
        if self._unsettled >= PLENTY:
            self._cursor.due.set()
        self.gave.set()

    # -- what the sink refuses

    async def _refused(self, lane: Lane, batch: Batch, error: Rejected) -> bool:
        """Find the record that it is, and come back to it until it is hopeless. Only what is in order waits for it."""
        if len(batch.lines) > 1:
            lane.portion.split(len(batch.lines))
            return True
        if not error.certain and lane is self._front and self._sink.live_first:
            self._leave(batch.last)
            return True
        now = self._clock()
        suspect = self._suspects.refused(batch.last, now, str(error))
        if error.certain or suspect.is_hopeless(now):
            self._pass_over(lane, batch, error)
            return True
        if suspect.times == 1:
            again = f"delivery to {self._sink.name}: a record is refused and tried again: {error}"
            self._log.warning(again, uid=_uid(batch.lines[0]))
        seconds = self._backoff.delay(suspect.times - 1, random.uniform, error.retry_after)
        self._suspects.put_off(suspect.seq, now + seconds)
        if lane is self._back:
            return True
        await _within(self._stopping, seconds)
        return not self._stopping.is_set()

    def _pass_over(self, lane: Lane, batch: Batch, error: Rejected) -> None:
        self.passed_over += 1
        self._log.error(f"delivery to {self._sink.name}: a record is passed over: {error}", uid=_uid(batch.lines[0]))
        self._gave(lane, batch)


def _uid(line: bytes) -> str:
    return match[1].decode() if (match := UID.search(line)) else "?"


async def _within(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for it; no longer than that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
