"""Keeps every stream trying for ever, but while it is paused. One stream's trouble is its own (design decision 6)."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from overshootd.backoff import NETWORK, PORTAL, REFUSED, UNREACHABLE, Backoff, Uniform
from overshootd.contracts import Log, Paths
from overshootd.controls import Control
from overshootd.errors import CameraEnded, CameraLost, Permanent, Portal, Refused, StreamGone, Transient, Unreachable
from overshootd.records import Records
from overshootd.status import State

STABLE_SECONDS = 15.0
"""An attempt that gave results and lived this long proves that the way works: the next failure starts the backoff anew.

One that gave none proves nothing, however long it was billed.
"""

CAMERA = Backoff(base=0.05, cap=5.0)
"""The next attempt begins by waiting for the camera, however long that takes, and shall be there when it is back. So
this only keeps one that is lost again at every attempt from keeping the processor busy, and the API."""


LOST = Backoff(base=0.25, cap=5.0)
"""After an attempt that gave results: the way is there, and a legacy stream ends with every trouble of its path."""

BACKOFFS = ((CameraLost, CAMERA), (Portal, PORTAL), (Refused, REFUSED), (Unreachable, UNREACHABLE))
"""The first that fits."""

OF_THE_PATH = (Unreachable, Portal)
"""What another path may mend."""


def backoff(error: Exception, *, came: bool = False) -> Backoff:
    """How the next attempt is put off; `came`: the last one gave results. Pure."""
    fitting = next((backoff for kind, backoff in BACKOFFS if isinstance(error, kind)), NETWORK)
    return LOST if came and fitting is NETWORK else fitting


def delay(error: Exception, failures: int, uniform: Uniform, *, came: bool = False) -> float:
    """Seconds until the next attempt, `failures` of this kind having come before. Pure."""
    if isinstance(error, StreamGone) and failures == 0:
        return 0.0  # "new stream at once" (api/README.md)
    return backoff(error, came=came).delay(
        failures, uniform, error.retry_after if isinstance(error, Transient) else None
    )


@dataclass(slots=True)
class StreamLife:
    """One stream, from its start to its end or its pause. `attempt` runs one attempt and raises what ended it.

    `ending`: whether the daemon ends, or the stream is paused. Before CPython 3.13 a task group that fails in the
    moment of a cancellation tells of its failure alone, and a stream would be made anew that nobody ends.
    """

    attempt: Callable[[], Awaitable[None]]
    records: Records
    paths: Paths
    ending: Callable[[], bool]
    log: Log

    async def run(self) -> None:
        """Return when the camera came to its end or the configuration cannot work; else never."""
        failures: Counter[Backoff] = Counter()  # each kind has its own: a night of silence makes no slow key slower
        while True:
            began, results, changes = time.monotonic(), self.records.state.results, self.paths.changes
            error = await self._try()
            if self.ending():
                raise asyncio.CancelledError
            match error:
                case CameraEnded():
                    return await self.records.enter(State.ENDED, str(error))
                case Permanent():
                    return await self.records.enter(State.STOPPED, str(error))
                case _:
                    await self.records.enter(State.REFUSED if isinstance(error, Refused) else State.WAITING, str(error))
            came = self.records.state.results > results
            if came and time.monotonic() - began > STABLE_SECONDS:
                failures.clear()
            kind = backoff(error, came=came)
            if await self._pause(delay(error, failures[kind], random.uniform, came=came), error, changes):
                failures.clear()
            else:
                failures[kind] += 1

    async def _pause(self, seconds: float, error: Exception, changes: int) -> bool:
        """Wait so long, or until the path has changed since the attempt began, where that is what ailed it; whether it
        did."""
        if not isinstance(error, OF_THE_PATH):
            await asyncio.sleep(seconds)
            return False
        try:
            async with asyncio.timeout(seconds):
                await self.paths.changed(changes)
        except TimeoutError:
            return False
        return True

    async def _try(self) -> Exception:
        try:
            await self.attempt()
        except (Transient, Permanent, CameraEnded) as error:
            return error
        except Exception as error:
            self.log.error("an error in overshootd itself", exc_info=error)
            return error
        raise AssertionError("an attempt ends by raising")


@dataclass(slots=True)
class Pausable:
    """One configured stream, from the daemon's start to its end. `live` is a StreamLife with its place at the camera,
    which is given up when it is cancelled.

    `let_go`: what an earlier process left at the API for it is not taken up any more.
    """

    live: Callable[[], Awaitable[None]]
    control: Control
    records: Records
    let_go: Callable[[], None]

    async def run(self) -> None:
        """Return when the camera came to its end; else never."""
        while True:
            while self.control.paused:
                await self._rest()
            asked = self.control.asked
            came_to_its_end = await self._unless_paused()
            if came_to_its_end and self.records.state.state is not State.STOPPED:
                return
            if came_to_its_end:  # another prompt may be one that the API takes
                await self.control.other_than(asked)

    async def _rest(self) -> None:
        self.let_go()
        since = self.control.asked.since
        await self.records.enter(State.PAUSED, "")
        await self.control.until_paused(False)
        if since is not None:
            self.records.rested(since.at, synced=since.synced)
        await self.records.enter(State.STARTING, "")

    async def _unless_paused(self) -> bool:
        """Whether it came to its end; if not, it is paused, and its stream at the API is over."""
        living = asyncio.create_task(self._live(), name="live")
        pausing = asyncio.create_task(self.control.until_paused(True), name="until paused")
        try:
            await asyncio.wait([living, pausing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            living.cancel()
            pausing.cancel()
            await asyncio.gather(living, pausing, return_exceptions=True)
        if living.cancelled():
            return False
        living.result()
        return True

    async def _live(self) -> None:
        await self.live()
