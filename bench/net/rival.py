"""The SDK alone, on the device beside the daemon: in the same trouble, at the same time.

It only publishes. Its stream's lease is kept from the server's own namespace, which no trouble reaches: better than any
client could.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.integration.daemon_bed import MODEL
from tests.net.gateway import KEY, PORT
from tests.net.lab import Lab

WIDTH, HEIGHT, FPS = 320, 180, 15.0
KEEPALIVE_SECONDS = 10.0

_REQUEST = {
    "source": {"type": "native"},
    "mode": "frame",
    "processing": {"interval_seconds": 0.25},
    "inference": {"prompt": "What is there?", "model": MODEL},
}


@dataclass
class Rival:
    """Its stream is `stream_id`."""

    net: Lab
    folder: Path
    api: aiohttp.ClientSession
    stream_id: str = ""
    room: dict[str, str] = field(default_factory=dict)
    """Its URL, and the newest token."""

    process: asyncio.subprocess.Process | None = None
    keeping: asyncio.Task[None] | None = None

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def start(self) -> None:
        """With a new stream; the one before is ended."""
        await self.stop()
        async with self.api.post("streams", json=_REQUEST) as response:
            created = await response.json()
        self.stream_id, self.room = created["stream_id"], created["livekit"]
        self.keeping = asyncio.create_task(self._keep(), name="keep the rival's lease")
        await self._run()

    async def again(self) -> None:
        """As somebody would who watches it: killed, and started for the same room."""
        await self._kill()
        await self._run()

    async def stop(self) -> None:
        await self._kill()
        if self.keeping is not None:
            self.keeping.cancel()
            await asyncio.gather(self.keeping, return_exceptions=True)
            self.keeping = None
            async with self.api.delete(f"streams/{self.stream_id}"):
                self.stream_id = ""

    async def _run(self) -> None:
        with (self.folder / "plain.log").open("a") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(*self.net.device.words, sys.executable, "-m", "bench.net.plain", str(WIDTH), str(HEIGHT), str(FPS)),
                stdout=log,
                stderr=log,
                env=os.environ | {"LIVEKIT_URL": self.room["url"], "LIVEKIT_TOKEN": self.room["token"]},
            )

    async def _kill(self) -> None:
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()
            self.process = None

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEPALIVE_SECONDS)
            async with self.api.post(f"streams/{self.stream_id}/keepalive") as response:
                self.room["token"] = (await response.json())["livekit_token"]


@asynccontextmanager
async def rival(net: Lab, folder: Path) -> AsyncIterator[Rival]:
    """Not started yet. Stopped at the end."""
    connector = aiohttp.TCPConnector(socket_factory=lambda address: net.server.socket(*address[:3]))
    async with aiohttp.ClientSession(
        f"http://{net.address}:{PORT}/v0.2/", connector=connector, headers={"Authorization": f"Bearer {KEY}"}
    ) as api:
        one = Rival(net, folder, api)
        try:
            yield one
        finally:
            await one.stop()
