"""Publishing through an encoder outside the library, such as the one that a Raspberry Pi has on its chip."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from overshootd.contracts import (
    AccessUnit,
    Log,
    Media,
    Picture,
    Publisher,
    PublishPlan,
    PublishStats,
    Target,
    Wish,
)
from overshootd.errors import Transient
from overshootd.publish.worker import Encoder, Worker
from overshootd.wishes import Wishes

WEDGED_SECONDS = 5.0
"""At one picture. A Pi's encoder takes 20 ms at 720p, and a second to begin."""

LOOK_SECONDS = 1.0
STOP_SECONDS = 1.0


class HardwarePublisher:
    """A publisher of pictures around one of access units. Satisfies contracts.Publisher."""

    def __init__(
        self, inner: Publisher, encoder: Encoder, plan: PublishPlan, log: Log, given_up: Callable[[str], None]
    ) -> None:
        """`given_up` is told why when the encoder fails: whoever made this should take another way then."""
        self._inner, self._log, self._given_up = inner, log, given_up
        self._worker = Worker(encoder, self._deliver, self._fail)
        self._wishes = Wishes(plan.max_bitrate // 1000)
        loop = asyncio.get_running_loop()
        self._first: asyncio.Future[AccessUnit] = loop.create_future()
        self._failed: asyncio.Future[str] = loop.create_future()
        self._joined = False
        self._newest: Picture | None = None
        self._told = False

    async def source(self) -> Mapping[str, Any]:
        return await self._inner.source()

    @property
    def connected(self) -> bool:
        return self._inner.connected

    async def rejoin(self) -> None:
        await self._inner.rejoin()
        if self._newest is not None:  # at 0.5 fps the next one may be 2 s away
            self._worker.wish(Wish(keyframe=True))
            self._worker.put(self._newest)

    async def connect(self, target: Target | None, first: Callable[[], Awaitable[Media]]) -> None:
        self._worker.start()
        await self._inner.connect(target, lambda: self._encoded(first))
        self._joined = True

    async def _encoded(self, first: Callable[[], Awaitable[Media]]) -> AccessUnit:
        self.push(await first())
        either: list[asyncio.Future[Any]] = [self._first, self._failed]
        await asyncio.wait(either, timeout=WEDGED_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not self._first.done():
            raise self._given(self._trouble() or f"the encoder gave nothing for {WEDGED_SECONDS:g} s")
        return self._first.result()

    def push(self, media: Media) -> Wish:
        if not isinstance(media, Picture):
            raise TypeError("this publisher encodes pictures; it takes no access units")
        self._newest = media
        self._worker.put(media)
        return Wish()

    async def watch(self) -> None:
        inner = asyncio.create_task(self._inner.watch(), name="watch the room")
        either: list[asyncio.Future[Any]] = [inner, self._failed]
        try:
            while not inner.done() and self._trouble() is None:
                await asyncio.wait(either, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if inner.done():
                await inner
            raise self._given(self._trouble() or "the encoder failed")
        finally:
            inner.cancel()
            await asyncio.wait([inner])

    async def stats(self) -> PublishStats:
        return await self._inner.stats()

    async def close(self) -> None:
        stopping = asyncio.create_task(self._worker.stop(STOP_SECONDS), name="stop the encoder")
        try:
            await self._inner.close()
        finally:
            if not await stopping:
                why = "an encoder's driver does not return, its thread is left behind"
                self._log.error(why)
                self._given(why)  # or each attempt would leave another one

    def _trouble(self) -> str | None:
        if self._failed.done():
            return self._failed.result()
        if self._worker.busy_seconds >= WEDGED_SECONDS:
            return f"the encoder has been at one picture for {WEDGED_SECONDS:g} s"
        return None

    def _given(self, why: str) -> Transient:
        if not self._told:
            self._told = True
            self._given_up(why)
        return Transient(why)

    def _deliver(self, unit: AccessUnit) -> None:
        if not self._first.done():
            self._first.set_result(unit)
        elif not self._joined:
            # The room has the first one alone; what refers to another cannot follow it.
            self._worker.wish(Wish(keyframe=True))
        else:
            self._push(unit)

    def _push(self, unit: AccessUnit) -> None:
        try:
            wish = self._wishes.told(self._inner.push(unit), time.monotonic())
        except Transient as error:
            self._fail(str(error))
            return
        if any(wish):
            self._worker.wish(wish)

    def _fail(self, why: str) -> None:
        if not self._failed.done():
            self._failed.set_result(why)
