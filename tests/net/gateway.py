"""The simulator in the server's namespace, with a real livekit-server as its child."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.net.judge import Life, lives
from tests.net.lab import HOST, Lab
from tests.net.programs import program

KEY = "ovs_net_key"
PORT = 8900
START_BOUND = 60.0
END_BOUND = 40.0
"""Leaving a room whose server is out of reach takes the LiveKit SDK up to 20 s."""

Json = dict[str, Any]


@dataclass
class Gateway:
    """It serves at `base_url`, as the device reaches it. Its `control` endpoint is reached from here."""

    process: asyncio.subprocess.Process
    log: Path
    base_url: str
    control: aiohttp.ClientSession

    async def ledger(self) -> Json:
        async with self.control.get("/ledger") as response:
            ledger: Json = await response.json()
            return ledger

    async def lives(self, since: float = 0.0) -> list[Life]:
        """The streams, oldest first, with what came and went since then."""
        async with self.control.get("/arrivals", params={"since": since}) as response:
            return lives(await response.json())

    async def alive(self) -> set[str]:
        """The ids of the streams that are billed now."""
        return {life.stream_id for life in await self.lives() if life.ended is None}

    async def faults(self, *faults: Json) -> None:
        """Replace the lasting faults by these; none ends them all (docs/simulator.md)."""
        async with self.control.put("/faults", json=list(faults)) as response:
            assert response.ok, await response.text()

    async def act(self, name: str, **parameters: object) -> None:
        """Do a one-shot fault, such as `deploy` or `room_server_kill`."""
        async with self.control.post(f"/actions/{name}", json=parameters) as response:
            assert response.ok, await response.text()


@asynccontextmanager
async def gateway(net: Lab, folder: Path, arguments: Sequence[str] = ()) -> AsyncIterator[Gateway]:
    """At its end nobody may have published what the API does not ask for: AssertionError."""
    log = folder / "simulator.log"
    command = ["simulate", "--host", net.address, "--port", str(PORT), "--key", KEY, "--control", "0"]
    command += ["--media", "livekit-server", "--advertise", net.address, *arguments]
    async with program(net.server, log, *command) as process:
        assert process.stdout is not None
        async with asyncio.timeout(START_BOUND):
            ready = (await process.stdout.readline()).decode()
        assert ready.startswith("ready "), log.read_text()
        control = log.read_text().partition("control endpoint: ")[2].split()[0]
        scheme = ready.split()[1].partition(":")[0]
        connector = aiohttp.TCPConnector(socket_factory=lambda address: net.server.socket(*address[:3]))
        async with aiohttp.ClientSession(control, connector=connector) as session:
            running = Gateway(process, log, f"{scheme}://{HOST}:{PORT}/v0.2", session)
            yield running
            # Not by the exit code: the LiveKit library now and then aborts at the end (livekit-notes.md, Traps).
            assert (violations := (await running.ledger())["violations"]) == [], violations
        process.terminate()
        async with asyncio.timeout(END_BOUND):
            await process.wait()
