"""Keeps one session's video arriving, Room after Room, for as long as the session lives: acts on what `ladder`
decides."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from overshootd.contracts import APART_SECONDS, Log, Paths, Publisher, Publishers, PublishPlan, Session, Subscription
from overshootd.errors import CameraLost, Congested, Refused, StreamGone, Transient
from overshootd.ladder import Ladder, Sign, climb, doubt, pause, proved
from overshootd.status import Rung, StreamState, Switch
from overshootd.wishes import Wishes

LOOK_SECONDS = 1.0
"""How often results are looked after."""

LATE_SECONDS = 2.0
"""For a publisher that has joined when the path changes: what it began on the old one mostly goes no further."""

FRESH_SECONDS = 5.0
"""A keepalive that was answered so lately need not be asked for: rooms that cannot be joined are many a minute."""

OF_THE_ATTEMPT = (CameraLost, Congested, Refused, StreamGone)
"""Kinds of Transient that no step on the ladder mends."""


class _Useless(Exception):
    """This Room cannot be mended; the text says what ails it."""


class _Late(Transient):
    """What was begun on a path that is another by now."""


@dataclass(slots=True)
class Presence:
    """The publishers of one session, one after the other. `period`: seconds from one result to the next.

    `begin` starts what the camera gives anew, before each join: access units then begin with a keyframe.
    """

    session: Session
    publishers: Publishers
    publisher: Publisher
    plan: PublishPlan
    camera: Subscription
    begin: Callable[[], None]
    paths: Paths
    period: float
    state: StreamState
    changed: Callable[[], None]
    trouble: Callable[[str], None]
    log: Log
    clock: Callable[[], float] = time.monotonic
    storing: bool = False
    """A result is on its way to the disk: none is waited for."""
    sent: int = field(init=False, default=0)
    """Bytes of media in all the rooms of this session, as looked at last."""
    _total: int = field(init=False, default=0)  # of this room's publisher, as it said last
    _left: bool = field(init=False, default=False)  # this room was, and all is counted that was sent there
    _ladder: Ladder = field(init=False, default=Ladder())
    _began: float = field(init=False)
    _result: float = field(init=False)
    _joined: bool = field(init=False, default=False)  # in the room of now, frames were answered for
    _ever: bool = field(init=False, default=False)  # in any room of this session
    _down: float | None = field(init=False, default=None)  # since when video, or results, do not arrive
    _why: str = field(init=False, default="")
    _seen: int = field(init=False)  # changes of the path that were acted on

    def __post_init__(self) -> None:
        self._began = self._result = self.clock()
        self._seen = self.paths.changes

    def proved(self) -> None:
        """A result came."""
        self._result = self.clock()
        if self._down is not None and not self._ladder.doubts:
            return  # a step is under way: this one is from before
        if self._ladder.doubts:
            self._again("results come again")
        self._ladder = proved(self._ladder, held=self._result - self._began)

    async def run(self) -> NoReturn:
        """Publish until nothing of this session is to be saved. Raises Transient and its kinds, CameraEnded,
        Permanent."""
        while True:
            await self._join()
            self._arrives()
            why = await self._in_room()
            await self._another(why)

    async def close(self) -> None:
        """Leave the room. Bounded."""
        await self._leave()

    async def count(self) -> None:
        """Look at what was `sent`."""
        total = (await self.publisher.stats()).bytes_sent
        if self._left:
            return
        self.sent += total - self._total if total >= self._total else total  # a rejoin begins anew
        self._total = total

    async def _leave(self) -> None:
        await self.publisher.close()
        await self.count()
        self._left, self._total = True, 0

    # -- joining

    async def _join(self) -> None:
        while True:
            self._seen = self.paths.changes
            self._begin()
            try:
                return await self._connect()
            except OF_THE_ATTEMPT:
                raise
            except Transient as error:
                await self._not_joined(str(error), counts=not isinstance(error, _Late))

    def _begin(self) -> None:
        self.begin()
        if self.plan.encoded:
            self.camera.feedback(keyframe=True, kbps=None, fps=None)  # its next one by itself may be seconds away

    async def _connect(self) -> None:
        """A join cannot be cancelled; what follows it can, and is where the path changes under it."""
        connecting = asyncio.create_task(self.publisher.connect(self.session.target, self.camera.next), name="connect")
        try:
            await self._done_or_late(connecting)
            if not connecting.done():
                raise _Late("the path changed before video arrived")
            await connecting
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)

    async def _done_or_late(self, connecting: asyncio.Task[None]) -> None:
        late = 0.0
        while not connecting.done() and late < LATE_SECONDS:
            await asyncio.wait([connecting], timeout=LOOK_SECONDS)
            late = late + LOOK_SECONDS if self.publisher.connected and self.paths.changes > self._seen else 0.0

    async def _not_joined(self, why: str, *, counts: bool) -> None:
        """`counts`: against the transport."""
        self._climb(Sign.FAILURE, why, connected=False)
        await self._ask()
        if counts and self.publishers.not_joined():
            raise StreamGone(f"{why}; the transport is {self.publishers.transport} from now on")
        await self._another(why)

    async def _another(self, why: str) -> None:
        """Put a new publisher in place of this one: one Room an identity, ever (livekit-notes.md, Tokens)."""
        self.camera.stop()  # or it would decode for nobody, however long this takes
        await self._leave()
        if self._ladder.rung is Rung.NEW_STREAM or not self.publishers.rejoins:
            raise StreamGone(why)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause(self._ladder, joined=self._joined, uniform=random.uniform)):
                await self.paths.changed(self._seen)
        self._joined = False
        self.publisher, self._left = self.publishers(self.plan), False

    def _arrives(self) -> None:
        """Frames are answered for, as far as the room can tell. What was doubted is proved by a result alone."""
        self._began = self.clock()
        self._joined = self._ever = True
        self.publishers.joined()
        self._show(Rung.STEADY)
        if not self._ladder.doubts:
            self._again("video arrives again")

    def _again(self, what: str) -> None:
        if self._down is None:
            return
        took, self._down = self.clock() - self._down, None
        self.state.switch = Switch(time.time(), self._ladder.rung, round(took, 3), self._why)
        self.log.info(f"{what} ({self._ladder.rung})", after_seconds=round(took, 2))

    # -- in a room

    async def _in_room(self) -> str:
        """Pump until this Room is of no more use; why."""
        pump = asyncio.create_task(self._pass_on() if self.plan.encoded else self._pump(), name="pump")
        look_after = asyncio.create_task(self._look_after(), name="look after the room")
        # Not a TaskGroup: before CPython 3.13 one that fails at the moment of a cancellation forgets that.
        try:
            await asyncio.wait([pump, look_after], return_when=asyncio.FIRST_COMPLETED)
        finally:
            pump.cancel()
            look_after.cancel()
            await asyncio.gather(pump, look_after, return_exceptions=True)
        if not pump.cancelled():
            await pump  # what ends it no room mends
        try:
            await look_after
        except _Useless as useless:
            return str(useless)
        raise AssertionError("neither returns")

    async def _pump(self) -> NoReturn:
        while True:
            self.publisher.push(await self.camera.next())
            self.state.frames_minute.add(self.clock())

    async def _pass_on(self) -> NoReturn:
        wishes = Wishes(self.plan.max_bitrate // 1000)
        while True:
            wish = wishes.told(self.publisher.push(await self.camera.next()), self.clock())
            self.state.frames_minute.add(self.clock())
            if any(wish):
                self.camera.feedback(*wish)
            await asyncio.sleep(APART_SECONDS)

    async def _look_after(self) -> NoReturn:
        while True:
            sign, why = await self._sign()
            self._climb(sign, why, connected=self.publishers.rejoins and self.publisher.connected)
            match self._ladder.rung:
                case Rung.KEEPALIVE:
                    self.session.doubt_path()
                    await self.session.verify()
                case Rung.REJOIN:
                    await self._rejoin(sign)
                case _:
                    if self.publishers.rejoins and sign is not Sign.HINT:
                        await self._doubt_all()
                    raise _Useless(why)
            self._arrives()

    async def _rejoin(self, sign: Sign) -> None:
        """Raises _Useless when this Room is beyond that."""
        if sign is not Sign.HINT:  # of a changed path the session learns by itself, and asks beside
            await self._doubt_all()
        self._seen = self.paths.changes  # what has changed by now is met by this
        try:
            await self.publisher.rejoin()
        except OF_THE_ATTEMPT:
            raise
        except Transient as error:
            self._climb(Sign.FAILURE, str(error), connected=False)
            self.session.doubt_path()
            await self._ask()
            raise _Useless(str(error)) from error

    async def _doubt_all(self) -> None:
        """Let a keepalive on a fresh connection decide whether the stream lives, and bring a fresh token."""
        self.session.doubt_path()
        await self.session.verify()

    async def _ask(self) -> None:
        """The same, unless one was answered just now."""
        if self.clock() - self.session.lease.sent >= FRESH_SECONDS:
            await self.session.verify()

    def _climb(self, sign: Sign, why: str, *, connected: bool) -> None:
        now = self.clock()
        if self._down is None:
            self._down, self._why = now, why
            self.trouble(why)
            self.log.warning(f"video: {why}")
        held = now - self._began if self._joined else None
        self._ladder = climb(self._ladder, sign, connected=connected, held=held, ever=self._ever, now=now)
        self._show(self._ladder.rung)

    def _show(self, rung: Rung) -> None:
        if self.state.rung is not rung:
            self.state.rung = rung
            self.changed()

    # -- what says that something is wrong

    async def _sign(self) -> tuple[Sign, str]:
        """Wait for trouble. Raises what no step mends."""
        ways: dict[asyncio.Task[Any], Sign] = {
            asyncio.create_task(self._hint(), name="hint"): Sign.HINT,
            asyncio.create_task(self._watched(), name="watch"): Sign.FAILURE,
            asyncio.create_task(self._doubt(), name="doubt"): Sign.DOUBT,
        }
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ways:
                task.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        first = next(task for task in ways if task in done)
        return ways[first], str(first.result())

    async def _hint(self) -> str:
        self._seen = await self.paths.changed(self._seen)
        return "the path has changed"

    async def _watched(self) -> str:
        try:
            await self.publisher.watch()
        except OF_THE_ATTEMPT:
            raise
        except Transient as error:
            return str(error)
        raise AssertionError("a publisher is watched for ever")

    async def _doubt(self) -> str:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.storing:
                continue
            lease, now = self.session.lease, self.clock()
            why = doubt(self._ladder, lease, began=self._began, result=self._result, period=self.period, now=now)
            if why is not None:
                return why
