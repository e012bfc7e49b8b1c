"""What one stream has to tell, in order: into the spool, the log and the status."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from overshootd.backoff import NETWORK
from overshootd.condition import Condition
from overshootd.contracts import CameraState, Inference, Log, Record, Spool
from overshootd.errors import SpoolError, Transient
from overshootd.sinks.record import Origin, gap_record, result_record, state_record
from overshootd.status import State, StreamState

BACKLOG = 256
"""Records that wait in memory while the spool cannot be written; about 200 kB. Then the stream ends: it is paid for."""

STATES = 2 * BACKLOG
"""With so many waiting, states of the camera are left out, and the log says so: one that flaps must not fill memory."""

CAMERA_STATES = (CameraState.LIVE, CameraState.LOST, CameraState.ENDED, CameraState.FAILED)
"""Those that are told. That it is being opened, or that nobody needs it, is the daemon's own affair."""

GAP_PERIODS, GAP_SECONDS = 3, 5.0
"""Results that stay away for so many periods, and for so long, leave a gap in which nothing was watched."""


@dataclass(slots=True)
class Records:
    """The teller of one stream, whose results are due every `period` seconds, and which is asked `prompt`.

    `changed` is called after `state` has changed; `redact` masks secrets, for servers repeat keys in their errors;
    `synced` says whether the wall clock can be trusted.
    """

    spool: Spool
    origin: Origin
    prompt: str
    with_schema: bool
    period: float
    state: StreamState
    changed: Callable[[], None]
    redact: Callable[[str], str]
    synced: Callable[[], bool]
    log: Log
    clock: Callable[[], float] = time.monotonic
    _storing: Condition = field(init=False)
    _waiting: deque[Record] = field(init=False, default_factory=deque)
    _flushing: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _storing_first: asyncio.Task[int] | None = field(init=False, default=None)  # the first that waits, under way
    _added: asyncio.Event = field(init=False, default_factory=asyncio.Event)  # what nobody flushes but `run`
    _camera: CameraState | None = field(init=False, default=None)  # as told last
    _told: Condition = field(init=False)
    _prompt_told: str | None = field(init=False, default=None)
    _last: float | None = field(
        init=False, default=None
    )  # monotonic time of the last result, or of a pause's end since
    _dark: str | None = field(init=False, default=None)  # why nothing is watched, since the stream was live
    _trouble: str | None = field(init=False, default=None)  # what may be why no results come, should they stay away
    _unsynced: float | None = field(init=False, default=None)  # wall minus monotonic time, while it cannot be trusted

    def __post_init__(self) -> None:
        self._storing = Condition(self.log, "storing results", self.clock)
        self._told = Condition(self.log, "stream", self.clock)

    async def run(self) -> NoReturn:
        """Store the states of the camera as they come; results and the stream's own states see to that themselves."""
        attempt = 0
        while True:
            await self._added.wait()
            if await self._flush():
                self._added.clear()
                attempt = 0
            else:
                await asyncio.sleep(NETWORK.delay(attempt, random.uniform))
                attempt += 1

    async def result(self, inference: Inference, stream_id: str) -> None:
        """Store one result: when this returns it is with the kernel, or waits for a disk that is full.

        Raises Transient when more wait than BACKLOG.
        """
        now = self.clock()
        self._tell_offset(inference.received_at, now)
        if self.state.state is not State.LIVE:
            self._live(inference.received_at, stream_id)
        self._gap(inference.received_at, now)
        self._last = now
        self._add(result_record(self.origin, inference, with_schema=self.with_schema, synced=self.synced()))
        self.state.results += 1
        self.state.last_result = inference.received_at
        self.state.results_minute.add(now)
        if not await self._flush() and len(self._waiting) > BACKLOG:
            raise Transient("results cannot be stored")

    async def enter(self, state: State, why: str) -> None:
        """The stream is no longer live. Returns once that is stored: a stream that could not store is not begun."""
        why = self.redact(why)
        if self.state.state is State.LIVE and self._dark is None:
            self._dark = why
        if self.state.state is not state:
            self._add(state_record(self.origin, time.time(), state, why=why, synced=self.synced()))
        self._set(state, why)
        self._say(state, why)
        attempt = 0
        while not await self._flush():
            await asyncio.sleep(NETWORK.delay(attempt, random.uniform))
            attempt += 1

    def rested(self, since: float, *, synced: bool) -> None:
        """A pause is over that began at `since` (seconds since the epoch, by a clock that was `synced` or not), perhaps
        before this process. `enter`, which follows, stores what it leaves.

        It is told now and not with the next result: that may come in another process, which knows nothing of it.
        """
        now, at = self.clock(), time.time()
        if self._last is not None:  # by the clock that never steps
            since, synced = at - (now - self._last), True
        why = str(State.PAUSED)  # whatever else ailed it, this is why nobody looked
        self._add(gap_record(self.origin, min(since, at), at, why, synced=synced and self.synced()))
        self._last, self._dark = now, why  # nor does anybody before the next result

    def asked(self, prompt: str) -> None:
        """The stream is asked that from now on. Never waits; `run` stores it."""
        self.prompt = prompt
        if self.state.state is State.LIVE and prompt != self._prompt_told:
            self._prompt_told = prompt
            stream_id = self.state.stream_id
            self._add(
                state_record(
                    self.origin, time.time(), State.LIVE, stream_id=stream_id, prompt=prompt, synced=self.synced()
                )
            )
            self._added.set()

    def trouble(self, why: str) -> None:
        """The stream's video has to find its way anew. Only where that takes long it leaves a gap."""
        self._trouble = self.redact(why)

    def camera(self, name: str, state: CameraState, why: str) -> None:
        """The stream's camera changed its state. Never waits; `run` stores it.

        What it lost is dark from now on, whatever else goes wrong then. A stream that has only begun waits for it.
        """
        if state not in CAMERA_STATES or (state is self._camera is CameraState.LIVE):  # opened anew for another stream
            return
        self._camera = state
        why = "" if state is CameraState.LIVE else self.redact(why)
        if len(self._waiting) >= STATES:
            self._storing.bad("states of the camera are left out: too many wait")
            return
        self._add(state_record(self.origin, time.time(), state, why=why, camera=name, synced=self.synced()))
        if state is CameraState.LOST:
            self._lose(why)
        self._added.set()

    async def close(self) -> None:
        """A last try to store what waits."""
        if not await self._flush():
            self.log.error(f"{len(self._waiting)} records are lost: they could not be stored before the end")

    def _lose(self, why: str) -> None:
        if self.state.state is State.LIVE and self._dark is None:
            self._dark = why
        elif self.state.state is State.STARTING:
            self._add(state_record(self.origin, time.time(), State.WAITING, why=why, synced=self.synced()))
            self._set(State.WAITING, why)

    def _live(self, at: float, stream_id: str) -> None:
        self._set(State.LIVE, "")
        self._told.good()
        self.log.info("live", stream_id=stream_id)
        prompt = None if self._prompt_told == self.prompt else self.prompt
        self._prompt_told = self.prompt
        self._add(state_record(self.origin, at, State.LIVE, stream_id=stream_id, prompt=prompt, synced=self.synced()))

    def _gap(self, at: float, now: float) -> None:
        """Tell the time since the last result if nothing was watched in it; measured by the clock that never steps."""
        if self._last is None:
            return
        silent = now - self._last
        if self._dark is not None or silent > max(GAP_PERIODS * self.period, GAP_SECONDS):
            why = self._dark or self._trouble or "no results came"
            self._add(gap_record(self.origin, at - silent, at, why, synced=self.synced()))
        self._dark = self._trouble = None

    def _tell_offset(self, at: float, now: float) -> None:
        """At the first sync, tell by how much the times in the records before it were wrong."""
        if not self.synced():
            self._unsynced = at - now if self._unsynced is None else self._unsynced
        elif self._unsynced is not None:
            offset = at - now - self._unsynced
            self._add(state_record(self.origin, at, "clock synced", offset=offset, synced=True))
            self._unsynced = None

    def _set(self, state: State, why: str) -> None:
        self.state.state, self.state.why = state, why
        self.changed()

    def _say(self, state: State, why: str) -> None:
        """What passes by itself is a warning once a reason; what needs a person, or is the end, is said each time."""
        match state:
            case State.WAITING:
                self._told.bad(why)
            case State.ENDED:
                self.log.info(f"ended: {why}")
            case State.PAUSED:
                self.log.info("paused: nothing is watched, and nothing billed")
            case State.STARTING:
                self.log.info("resumed")
            case _:
                self.log.error(f"{state}: {why}")

    def _add(self, record: Record) -> None:
        self._waiting.append(record)

    async def _flush(self) -> bool:
        """Store what waits, in order. False when it cannot be."""
        async with self._flushing:
            while self._waiting:
                try:
                    await self._store_first()
                except SpoolError as error:
                    self._storing.bad(str(error))
                    return False
            self._storing.good()
            return True

    async def _store_first(self) -> None:
        """Raises SpoolError. Cancelled, it leaves the storing to whoever comes next: begun twice, it is there twice."""
        if self._storing_first is None:
            self._storing_first = asyncio.create_task(self.spool.append(self._waiting[0]))
        await asyncio.wait([self._storing_first])
        stored, self._storing_first = self._storing_first, None
        stored.result()
        self._waiting.popleft()
