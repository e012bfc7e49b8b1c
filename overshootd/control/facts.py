"""Answers `status`: collects what the daemon knows in the moment in which somebody asks."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from overshootd import __version__
from overshootd.board import Board
from overshootd.clock import clock_synced
from overshootd.contracts import Count
from overshootd.control.report import DaemonFacts, report
from overshootd.control.wire import Json
from overshootd.errors import SpoolError
from overshootd.memory import resident_mb
from overshootd.status import BrokerState, CameraNow, PathState, SinkNow, SpoolNow, StreamState

LOOK_SECONDS = 2.0
"""A disk that hangs must not keep anybody from learning why."""


async def _unknown() -> Board:
    return Board()


@dataclass(frozen=True, slots=True)
class Status:
    """To be made when the daemon starts: its uptime counts from here. All else is read when somebody asks.

    `memory_limit_mb` is None where none is configured; `board` looks at the machine, for LOOK_SECONDS at most.
    """

    device: str
    state_dir: Path
    states: Mapping[str, StreamState]
    cameras: Mapping[str, CameraNow]
    paths: PathState = field(default_factory=PathState)
    memory_limit_mb: float | None = None
    board: Callable[[], Awaitable[Board]] = _unknown
    spool: Callable[[], SpoolNow | None] = lambda: None
    brokers: Callable[[], Mapping[str, BrokerState]] = dict
    today: Callable[[], Mapping[str, Count]] = dict
    sinks: Callable[[], Mapping[str, Sequence[SinkNow]]] = dict
    paused: Callable[[], Collection[str]] = tuple
    started: float = field(default_factory=time.monotonic)

    async def __call__(self, _request: Json = {}) -> Json:  # noqa: B006 - nobody writes to it
        board = await self._look()
        return report(self.states, self._facts(board), now=time.monotonic(), wall=time.time())

    async def _look(self) -> Board:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await self.board()
        except (TimeoutError, SpoolError):  # the disk's thread is busy; that is told where it matters
            return Board()

    def _facts(self, board: Board) -> DaemonFacts:
        return DaemonFacts(
            version=__version__,
            pid=os.getpid(),
            device=self.device,
            state_dir=str(self.state_dir),
            started=self.started,
            clock_synced=clock_synced(),
            memory_mb=resident_mb(),
            memory_limit_mb=self.memory_limit_mb,
            paths=self.paths,
            cameras=self.cameras,
            brokers=self.brokers(),
            spool=self.spool(),
            board=board,
            today=self.today(),
            sinks=self.sinks(),
            paused=self.paused(),
        )
