"""The daemon, started again at once whenever it ends, as the service manager does."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.daemon_bed import Daemon, Json, daemon

ENDS = 3
"""By itself, and the run is over: more of them would tell nothing new."""


@dataclass
class Keeper:
    """`deaths` are those by SIGKILL, monotonic seconds; `ends` what it did by itself, in words: it shall not."""

    folder: Path
    settings: Json
    environ: Mapping[str, str]
    deaths: list[float] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    lives: int = 0
    over: bool = False
    ended: float | None = None
    """When it was told to end in order."""
    _running: Daemon | None = None
    _may_live: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until `end`."""
        self._may_live.set()
        while self.ended is None:
            await self._may_live.wait()
            self.lives += 1
            folder = self.folder / f"life-{self.lives}"
            folder.mkdir(parents=True)
            async with daemon(folder, self.settings, **self.environ) as running:
                self._running = running
                code = await running.process.wait()
                self._running = None
            if code != -signal.SIGKILL and (code or self.ended is None):
                self.ends.append(f"life {self.lives} of the daemon ended by itself, exit code {code}: see {folder}")
                assert len(self.ends) < ENDS, self.ends[0]
        self.over = True

    async def kill(self) -> None:
        """SIGKILL; nothing when it is between two lives."""
        if (running := self._running) is not None and running.process.returncode is None:
            self.deaths.append(time.monotonic())
            running.process.kill()
            await running.process.wait()

    @asynccontextmanager
    async def dead(self) -> AsyncIterator[None]:
        """Meanwhile."""
        self._may_live.clear()
        try:
            await self.kill()
            yield
        finally:
            self._may_live.set()

    def end(self) -> None:
        """In order, for good."""
        self.ended = time.monotonic()
        if self._running is not None:
            self._running.process.send_signal(signal.SIGTERM)
