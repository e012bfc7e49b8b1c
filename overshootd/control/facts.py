"""Answers `status`: collects what the daemon knows in the moment in which somebody asks."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from overshootd import __version__
from overshootd.clock import clock_synced
from overshootd.control.report import DaemonFacts, report
from overshootd.control.wire import Json
from overshootd.memory import resident_mb
from overshootd.status import CameraNow, PathState, StreamState


@dataclass(frozen=True, slots=True)
class Status:
    """To be made when the daemon starts: its uptime counts from here. `states`, `cameras` and `paths` are read when
    somebody asks; `memory_limit_mb` is None where none is configured."""

    device: str
    state_dir: Path
    states: Mapping[str, StreamState]
    cameras: Mapping[str, CameraNow]
    paths: PathState = field(default_factory=PathState)
    memory_limit_mb: float | None = None
    started: float = field(default_factory=time.monotonic)

    async def __call__(self, _request: Json) -> Json:
        return report(self.states, self._facts(), now=time.monotonic(), wall=time.time())

    def _facts(self) -> DaemonFacts:
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
        )
