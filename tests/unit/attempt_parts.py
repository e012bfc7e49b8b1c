"""What an attempt is made of, without a network: each does what the test says and remembers what it was asked."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from overshootd.contracts import (
    Count,
    Inference,
    LeaseNow,
    Media,
    PublishPlan,
    PublishStats,
    PublishTarget,
    Session,
    Spent,
    StreamSpec,
    Target,
    Wish,
)


class Paths:
    """Satisfies contracts.Paths; the test says when they change."""

    def __init__(self) -> None:
        self.changes = 0
        self._changed = asyncio.Event()

    def change(self) -> None:
        self.changes += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, since: int) -> int:
        while self.changes <= since:
            await self._changed.wait()
        return self.changes


@dataclass
class OneSession:
    """Every keepalive brings another token. `asked`: what was asked, in order; `refuses`: raised by the keepalives;
    `takes_not`: by new prompts."""

    asked: list[str] = field(default_factory=list)
    refuses: list[Exception] = field(default_factory=list)
    takes_not: list[Exception] = field(default_factory=list)
    spent: Spent = Spent()  # noqa: RUF009 - it is frozen
    stream_id: str = "1"
    token: int = 0
    inferences: asyncio.Queue[Inference] = field(default_factory=lambda: asyncio.Queue(10))

    @property
    def target(self) -> Target:
        return PublishTarget("ws://nowhere", f"token {self.token}")

    @property
    def lease(self) -> LeaseNow:
        return LeaseNow(0.0, None, spent=self.spent)

    async def keep_lease(self) -> None:
        await asyncio.Event().wait()

    async def verify(self) -> None:
        self.asked.append("verify")
        if self.refuses:
            raise self.refuses.pop(0)
        self.token += 1

    def path_changed(self) -> None:
        self.asked.append("path changed")

    def doubt_path(self) -> None:
        self.asked.append("doubt")

    async def results(self) -> AsyncGenerator[Inference, None]:
        while True:
            yield await self.inferences.get()

    async def set_prompt(self, prompt: str) -> None:
        if self.takes_not:
            raise self.takes_not.pop(0)
        self.asked.append(f"prompt {prompt}")

    async def info(self) -> Mapping[str, Any]:
        return {}

    async def close(self) -> bool:
        self.asked.append("delete")
        return True


@dataclass
class Api:
    session: OneSession = field(default_factory=OneSession)
    created: list[StreamSpec] = field(default_factory=list)

    async def create(self, spec: StreamSpec) -> Session:
        self.created.append(spec)
        return self.session

    async def resume(self, stream_id: str, url: str) -> Session:
        return self.session

    async def delete(self, stream_id: str) -> bool:
        return True


@dataclass
class NoLeftovers:
    """No earlier process left anything. Remembers what prompts were."""

    prompts: list[str] = field(default_factory=list)

    def kept(self, stream: str, prompt: str) -> tuple[str, str] | None:
        return None

    async def cleared(self) -> None: ...

    async def created(self, stream: str, session: Session, transport: str, prompt: str) -> None:
        self.prompts.append(prompt)

    async def ended(self, stream: str, stream_id: str, *, settled: bool) -> None: ...


@dataclass
class Tally:
    """What was counted."""

    counts: dict[str, Count] = field(default_factory=dict)

    def add(self, stream: str, count: Count) -> None:
        self.counts[stream] = self.counts.get(stream, Count()) + count


@dataclass
class Publisher:
    """Wishes for a keyframe and a rate at every frame. What is in `joins`, `trouble` and `rejoins` is raised, one after
    the other, by `connect`, `watch` and `rejoin`; then all is well."""

    joins: list[Exception] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)
    rejoins: list[Exception] = field(default_factory=list)
    connected: bool = True
    hangs: bool = False
    pushed: int = 0
    did: list[str] = field(default_factory=list)
    bytes_sent: int = 0

    async def source(self) -> Mapping[str, Any]:
        return {"type": "native"}

    async def connect(self, target: Target | None, first: Callable[[], Awaitable[Media]]) -> None:
        assert isinstance(target, PublishTarget)
        self.did.append(f"connect with {target.token}")
        if self.hangs:
            await asyncio.Event().wait()
        if self.joins:
            raise self.joins.pop(0)

    async def rejoin(self) -> None:
        self.did.append("rejoin")
        if self.rejoins:
            raise self.rejoins.pop(0)

    def push(self, media: Media) -> Wish:
        self.pushed += 1
        return Wish(keyframe=True, kbps=5000)

    async def watch(self) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        self.did.append("watch")
        await asyncio.Event().wait()

    async def stats(self) -> PublishStats:
        return PublishStats(bytes_sent=self.bytes_sent)

    async def close(self) -> None:
        self.did.append("close")


@dataclass
class Publishers:
    """Those of `ready` first, then such as never fail; remembers the plans."""

    ready: list[Publisher] = field(default_factory=list)
    has_encoder: bool = False
    asked: int = 0
    plans: list[PublishPlan] = field(default_factory=list)
    made: list[Publisher] = field(default_factory=list)
    transport: str = "native"
    rejoins: bool = True
    falls_back: bool = False
    keyframe_seconds: float = math.inf
    better: asyncio.Event = field(default_factory=asyncio.Event)

    async def hardware(self) -> bool:
        self.asked += 1
        return self.has_encoder

    def __call__(self, plan: PublishPlan) -> Publisher:
        self.plans.append(plan)
        self.made.append(self.ready.pop(0) if self.ready else Publisher())
        return self.made[-1]

    def notes(self) -> tuple[str, ...]:
        return ()

    def joined(self) -> None: ...

    def not_joined(self) -> bool:
        return self.falls_back

    async def another(self) -> None:
        await self.better.wait()
