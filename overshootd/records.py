"""What one stream has to tell, in order: into the spool, the log and the status."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from overshootd.backoff import NETWORK
from overshootd.condition import Condition
from overshootd.contracts import Inference, Log, Record, Spool
from overshootd.errors import Transient
from overshootd.sinks.record import Origin, gap_record, result_record, state_record
from overshootd.status import State, StreamState


@dataclass(slots=True)
class Records:
    """The teller of one stream. `changed` is called after `state` has changed; `synced` says whether the clock can be
    trusted."""

    spool: Spool
    origin: Origin
    prompt: str
    with_schema: bool
    state: StreamState
    changed: Callable[[], None]
    synced: Callable[[], bool]
    log: Log
    _storing: Condition = field(init=False)
    _prompt_told: bool = field(init=False, default=False)
    _dark_since: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._storing = Condition(self.log, "storing results", time.monotonic)

    async def result(self, inference: Inference, stream_id: str) -> None:
        """Store one result. Returns when it is with the kernel, however long a full disk takes."""
        if self.state.state is not State.LIVE:
            await self._live(inference, stream_id)
        await self._append(result_record(self.origin, inference, with_schema=self.with_schema, synced=self.synced()))
        self.state.results += 1
        self.state.last_result = inference.received_at

    async def enter(self, state: State, why: str) -> None:
        """The stream is no longer live. Told when the state or its reason changes; a record only when the state
        does."""
        if (state, why) == (self.state.state, self.state.why):
            return
        left_live, same = self.state.state is State.LIVE, self.state.state is state
        if left_live:
            self._dark_since = self.state.last_result
        self._set(state, why)
        if not same:
            await self._append(state_record(self.origin, time.time(), state, why=why, synced=self.synced()))

    async def _live(self, inference: Inference, stream_id: str) -> None:
        why = self.state.why
        self._set(State.LIVE, "", stream_id=stream_id)
        now = inference.received_at
        prompt = None if self._prompt_told else self.prompt
        await self._append(
            state_record(self.origin, now, State.LIVE, stream_id=stream_id, prompt=prompt, synced=self.synced())
        )
        self._prompt_told = True
        if self._dark_since is not None:
            await self._append(gap_record(self.origin, self._dark_since, now, why, synced=self.synced()))
            self._dark_since = None

    def _set(self, state: State, why: str, **context: str) -> None:
        self.state.state, self.state.why = state, why
        say = {State.LIVE: self.log.info, State.ENDED: self.log.info, State.WAITING: self.log.warning}.get(
            state, self.log.error
        )
        say(f"{state}: {why}" if why else f"{state}", **context)
        self.changed()

    async def _append(self, record: Record) -> None:
        attempt = 0
        while True:
            try:
                await self.spool.append(record)
            except Transient as error:
                self._storing.bad(str(error))
                await asyncio.sleep(NETWORK.delay(attempt, random.uniform))
                attempt += 1
            else:
                self._storing.good()
                return
