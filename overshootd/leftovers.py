"""The streams of ours that exist at the API: which are resumed, which are strays, and that strays are deleted first.

Money is lost in two ways here: a stream that nobody publishes to is billed until its lease ends, and while it lives it
takes one of the five places that a key has.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NoReturn

from overshootd.backoff import NETWORK
from overshootd.contracts import Api, Log, Paths, PublishTarget, Session
from overshootd.groups import TaskGroup
from overshootd.resume import Kept, ResumeStore, sort_out

END_SECONDS = 1.5
"""Of the daemon's whole end; mostly there is nothing."""

CLEARED_SECONDS = 15.0
"""An API that answers deletes them at once. One that does not cannot be asked for a new stream either, and one that
refuses to delete shall not keep us from what it gives: so each is asked for once."""

LONGEST_LEASE = 300.0
"""The longest that any source names (api/README.md, v0.2 point 3): by then a stray has ended by itself."""


class Streams:
    """Satisfies contracts.Leftovers. `api` gives the one that can end a stream of this name, None when there is no key.

    `fingerprint`: of the configuration of a stream that runs, by its name, when it is asked such a prompt.
    """

    def __init__(
        self,
        store: ResumeStore,
        fingerprint: Callable[[str, str], str],
        api: Callable[[str], Api | None],
        paths: Paths,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._fingerprint, self._api, self._paths, self._log = store, fingerprint, api, paths, log
        self._kept: dict[str, Kept] = {}
        self._kept_until = 0.0
        self._strays: dict[str, tuple[Kept, float]] = {}
        """And until when its lease may live."""
        self._enders: dict[str, Api | None] = {}
        self._living: dict[str, Kept] = {}
        self._clock = clock
        self._added = asyncio.Event()
        self._tried = asyncio.Event()  # all that there are were asked to end, and once at least
        self._tried.set()

    async def load(self, prompts: Mapping[str, str]) -> None:
        """Sort out what an earlier process left; `prompts`: what the streams that are about to run are to be asked."""
        wanted = {name: self._fingerprint(name, prompt) for name, prompt in prompts.items()}
        self._kept, strays = sort_out(await self._store.load(), wanted)
        self._kept_until = self._clock() + LONGEST_LEASE
        for stray in strays:
            self._stray(stray)

    async def run(self) -> NoReturn:
        """Delete strays as they come, each for as long as it takes."""
        attempt = 0
        while True:
            await self._added.wait()
            await self._delete_all()
            self._tried.set()
            if not self._strays:
                self._added.clear()
                attempt = 0
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(NETWORK.delay(attempt, random.uniform)):
                    await self._paths.changed(self._paths.changes)
            attempt += 1

    async def end(self) -> None:
        """The daemon ends for good, its streams have closed: what nobody took up again is deleted, as far as
        END_SECONDS allow. What is left then is remembered for the next start."""
        self._strays |= {one.stream_id: (one, self._kept_until) for one in self._kept.values()}
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._delete_all()

    def kept(self, stream: str, prompt: str) -> tuple[str, str] | None:
        one = self._kept.get(stream)
        if one is not None and (self._clock() >= self._kept_until or self._other(one, prompt)):
            self.let_go(stream)
            one = None
        return None if one is None else (one.stream_id, one.url)

    def let_go(self, stream: str) -> None:
        """What was left for this stream is not taken up, but deleted."""
        if (one := self._kept.pop(stream, None)) is not None:
            self._stray(one)

    def _other(self, one: Kept, prompt: str) -> bool:
        return one.fingerprint != self._fingerprint(one.stream, prompt)

    async def cleared(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLEARED_SECONDS):
                await self._tried.wait()

    async def created(self, stream: str, session: Session, transport: str, prompt: str) -> None:
        url = session.target.url if isinstance(session.target, PublishTarget) else ""
        one = Kept(stream, session.stream_id, url, transport, self._fingerprint(stream, prompt))
        if (kept := self._kept.get(stream)) is not None and kept.stream_id == one.stream_id:
            if kept.fingerprint == one.fingerprint:
                return
            self._kept[stream] = one
        else:
            self._living[one.stream_id] = one
        await self._store.created(one)

    async def ended(self, stream: str, stream_id: str, *, settled: bool) -> None:
        one = self._living.pop(stream_id, None)
        if (kept := self._kept.get(stream)) is not None and kept.stream_id == stream_id:
            one = self._kept.pop(stream)
        if settled:
            await self._store.deleted(stream_id)
        elif one is not None:
            self._stray(one)

    def _stray(self, one: Kept) -> None:
        self._strays[one.stream_id] = one, self._clock() + LONGEST_LEASE
        self._tried.clear()
        self._added.set()

    async def _delete_all(self) -> None:
        async with TaskGroup() as tasks:
            for one, until in self._strays.values():
                tasks.create_task(self._delete(one, until), name=f"delete {one.stream_id}")

    async def _delete(self, one: Kept, until: float) -> None:
        if one.stream not in self._enders:
            self._enders[one.stream] = self._api(one.stream)
        api = self._enders[one.stream]
        if api is None:
            self._log.warning(f"{one.stream}: no key to end its stream with", stream_id=one.stream_id)
        elif await api.delete(one.stream_id):
            self._log.info(f"a stray stream of {one.stream} is ended", stream_id=one.stream_id)
        elif self._clock() < until:
            return
        else:
            self._log.warning(f"a stray stream of {one.stream} has ended with its lease", stream_id=one.stream_id)
        self._strays.pop(one.stream_id, None)
        await self._store.deleted(one.stream_id)
