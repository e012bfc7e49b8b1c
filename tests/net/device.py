"""The daemon on the device: it starts, is killed and starts again, with one log and one folder of results."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.integration.daemon_bed import eventually, whole
from tests.net.namespaces import Namespace
from tests.net.programs import program

END_BOUND = 15.0
RESTART = 75
"""The exit code that asks systemd for a new start (docs/architecture.md, Ends)."""

Json = dict[str, Any]
_TAIL = 65536
_AGE = re.compile(r"age (-?\d+) ms")


@dataclass
class Device:
    """Its streams are those of `config`, each with a file sink under `folder`/results."""

    where: Namespace
    folder: Path
    config: Json
    environ: Mapping[str, str]
    process: asyncio.subprocess.Process | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def streams(self) -> list[str]:
        return list(self.config["streams"])

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    async def start(self) -> None:
        """As systemd does; not while it runs."""
        assert self.process is None, "the daemon runs"
        path = self.folder / "overshootd.yaml"
        path.write_text(yaml.safe_dump(self.config))
        running = program(self.where, self.log, "run", "-c", str(path), **self.environ)
        self.process = await self.stack.enter_async_context(running)

    async def end(self, signo: int = signal.SIGTERM) -> int:
        """Send it the signal; its exit code."""
        assert self.process is not None, "the daemon does not run"
        self.process.send_signal(signo)
        async with asyncio.timeout(END_BOUND):
            code = await self.process.wait()
        self.process = None
        await self.stack.aclose()
        return code

    async def kill(self) -> None:
        await self.end(signal.SIGKILL)

    async def restart(self) -> None:
        """As an upgrade does: it leaves its streams to its next life, which begins at once."""
        assert await self.end(signal.SIGUSR1) == RESTART
        await self.start()

    def said(self) -> str:
        return self.log.read_text()

    def records(self, stream: str, kind: str = "result") -> list[Json]:
        """All of a kind so far, in the order of the file."""
        path = self.folder / "results" / f"{stream}.jsonl"
        return [record for record in whole(path) if record["type"] == kind]

    def newest(self, stream: str) -> list[Json]:
        """The newest results, some dozens, in the order of the file: quick however long the file is."""
        path = self.folder / "results" / f"{stream}.jsonl"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            lines = file.read().split(b"\n")[1 if file.tell() > _TAIL else 0 : -1]
        return [record for line in lines if (record := json.loads(line))["type"] == "result"]

    def stream_id(self, stream: str) -> str:
        """Which stream of the API the newest result is of."""
        return str(self.newest(stream)[-1]["api"]["stream_id"])

    async def fresh(self, within: float) -> float:
        """Wait until each stream has a result about a picture that was taken after now; how long that took."""
        began, wall = time.monotonic(), time.time()
        for stream in self.streams:
            left = began + within - time.monotonic()
            await eventually(partial(self._newer, stream, wall), f"a fresh result of {stream}", left)
        return time.monotonic() - began

    def is_fresh(self, wall: float) -> bool:
        """Whether each stream has a result about a picture that was taken after then, in seconds since the epoch."""
        return all(self._newer(stream, wall) for stream in self.streams)

    def _newer(self, stream: str, wall: float) -> bool:
        """Whether the newest result is about a picture that was taken after then, in seconds since the epoch."""
        for record in reversed(self.newest(stream)):
            if record["ok"] and (age := _AGE.search(record["text"])):
                return datetime.fromisoformat(record["received_at"]).timestamp() - int(age[1]) / 1000 > wall
        return False
