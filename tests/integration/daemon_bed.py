"""The daemon and the simulator as processes, each as its users start it, and eyes on both."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

BOUND = 30.0
END_BOUND = 40.0
"""For a simulator whose room server was killed: the library takes 20 s to leave a room that is out of reach."""
KEY = "ovs_bed_key"
MODEL = "Qwen/Qwen3.5-9B"
T = TypeVar("T")
Json = dict[str, Any]


def whole(path: Path) -> list[Json]:
    """The records in a file that is written to meanwhile: the last may be there in part."""
    lines = path.read_bytes().rpartition(b"\n")[0].splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


async def eventually(condition: Callable[[], T | Awaitable[T]], what: str, bound: float = BOUND) -> T:
    """Wait until `condition` gives something true and return that; fail after `bound` seconds, naming `what`."""
    deadline = asyncio.get_running_loop().time() + bound
    while True:
        found = condition()
        value: T = await found if isinstance(found, Awaitable) else found
        if value:
            return value
        assert asyncio.get_running_loop().time() < deadline, f"not within {bound:g} s: {what}"
        await asyncio.sleep(0.05)


@dataclass
class Process:
    """A command of overshootd, its log in `log`."""

    process: asyncio.subprocess.Process
    log: Path

    def said(self) -> str:
        return self.log.read_text()

    async def end(self, signo: int = signal.SIGTERM, bound: float = END_BOUND) -> int:
        """Send the signal, wait and return the exit code."""
        self.process.send_signal(signo)
        async with asyncio.timeout(bound):
            return await self.process.wait()


@asynccontextmanager
async def overshootd(log: Path, *arguments: str, **environ: str) -> AsyncIterator[Process]:
    """`overshootd ARGUMENTS`, killed at the end if the test has not ended it."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OVERSHOOT", "NOTIFY_"))}
    with log.open("w") as err:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "overshootd", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=err,
            env=clean | environ,
        )
    try:
        yield Process(process, log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass
class Simulator(Process):
    """A gateway that serves: its base URL, and its control endpoint."""

    base_url: str = ""
    control: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)

    async def ledger(self) -> Json:
        ledger: Json = (await self.control.get("/ledger")).json()
        return ledger

    async def streams(self) -> list[Json]:
        return list((await self.ledger())["streams"].values())

    async def faults(self, *faults: Json) -> None:
        """Replace the lasting faults by these; none ends them all."""
        (await self.control.put("/faults", json=list(faults))).raise_for_status()

    async def act(self, name: str, **parameters: object) -> None:
        (await self.control.post(f"/actions/{name}", json=parameters)).raise_for_status()


@asynccontextmanager
async def simulator(folder: Path, *arguments: str) -> AsyncIterator[Simulator]:
    """A running simulator. Its end fails the test when a publisher did what the API does not ask for (exit code 65)."""
    log = folder / "simulator.log"
    command = ("simulate", "--port", "0", "--control", "0", "--key", KEY, *arguments)
    async with overshootd(log, *command) as started:
        assert started.process.stdout is not None
        async with asyncio.timeout(BOUND):
            ready = (await started.process.stdout.readline()).decode().split()
        assert ready[:1] == ["ready"], started.said()
        control = started.said().partition("control endpoint: ")[2].split()[0]
        async with httpx.AsyncClient(base_url=control) as client:
            running = Simulator(started.process, log, ready[1], client)
            yield running
        assert await running.end() == 0, running.said()


@dataclass
class Daemon(Process):
    """A daemon that runs, its folder of results, and what it told the service manager."""

    results: Path = Path()
    manager: socket.socket = field(default_factory=socket.socket)
    told: list[str] = field(default_factory=list)

    def records(self, kind: str = "result", stream: str = "one") -> list[Json]:
        """All records of a kind so far, in the order of the file."""
        path = self.results / f"{stream}.jsonl"
        return [record for record in whole(path) if record["type"] == kind]

    def heard(self) -> str:
        """Everything that systemd would have been told so far."""
        while True:
            try:
                self.told.append(self.manager.recv(65536).decode())
            except BlockingIOError:
                return "\n".join(self.told)

    async def more_results(self, count: int, stream: str = "one", bound: float = BOUND) -> list[Json]:
        """Wait for `count` results more than there are; return those new."""
        before = len(self.records(stream=stream))
        await eventually(lambda: len(self.records(stream=stream)) >= before + count, f"{count} more results", bound)
        return self.records(stream=stream)[before:]


@asynccontextmanager
async def daemon(folder: Path, config: Json, **environ: str) -> AsyncIterator[Daemon]:
    """`overshootd run` with this configuration, in this environment."""
    path = folder / "overshootd.yaml"
    path.write_text(yaml.safe_dump(config))
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.setblocking(False)
    (folder / "notify").unlink(missing_ok=True)  # of a daemon that ran here before
    manager.bind(str(folder / "notify"))
    try:
        log = folder / "daemon.log"
        environ |= {"NOTIFY_SOCKET": str(folder / "notify")}
        async with overshootd(log, "run", "-c", str(path), **environ) as started:
            yield Daemon(started.process, log, folder / "results", manager)
    finally:
        manager.close()


def config(folder: Path, base_url: str, **streams: Json) -> Json:
    """A configuration with these streams; what a stream leaves out is a small fast test picture."""
    (folder / "key").write_text(KEY + "\n")
    return {
        "version": 1,
        "state_dir": str(folder / "state"),
        "device": {"name": "bed"},
        "api": {"base_url": base_url, "key": {"file": str(folder / "key")}},
        "defaults": {"sinks": [{"type": "file", "path": str(folder / "results" / "{stream}.jsonl")}]},
        "streams": {name: stream(**changes) for name, changes in streams.items()},
    }


def stream(**changes: object) -> Json:
    """A stream's mapping: a test picture, four results a second."""
    plain: Json = {
        "camera": {"type": "test", "width": 640, "height": 360},
        "processing": {"interval_seconds": 0.25},
        "inference": {"prompt": "What is there?", "model": MODEL},
    }
    return plain | changes
