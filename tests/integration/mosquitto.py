"""A real mosquitto of the test's own, on a free loopback port, which may be stopped, killed and started again."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

BOUND = 20.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def find() -> str:
    """The program. Debian puts it where only root looks."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/sbin")
    assert found is not None, "mosquitto is missing: tools/setup test installs it"
    return found


@dataclass
class Mosquitto:
    """One broker. `extra` is added to its configuration file, line by line; `folder` keeps its persistence and log."""

    folder: Path
    port: int = field(default_factory=free_port)
    host: str = "127.0.0.1"
    persistence: bool = True
    extra: tuple[str, ...] = ()
    listener: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    async def start(self) -> None:
        """Return when it listens."""
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(self._lines()) + "\n")
        with (self.folder / "mosquitto.log").open("a") as log:
            self.process = await asyncio.create_subprocess_exec(find(), "-v", "-c", str(config), stdout=log, stderr=log)
        async with asyncio.timeout(BOUND):
            while not await self._listens():
                assert self.process.returncode is None, self.said()
                await asyncio.sleep(0.02)

    async def stop(self, signo: int = signal.SIGTERM) -> None:
        """Nothing when it does not run."""
        if self.process is None:
            return
        if self.process.returncode is None:
            self.process.send_signal(signo)
        async with asyncio.timeout(BOUND):
            await self.process.wait()
        self.process = None

    async def kill(self) -> None:
        await self.stop(signal.SIGKILL)

    def said(self) -> str:
        return (self.folder / "mosquitto.log").read_text()

    def _lines(self) -> list[str]:
        return [
            "per_listener_settings false",
            "allow_anonymous true",
            "user root",
            "max_queued_messages 0",
            f"persistence {str(self.persistence).lower()}",
            f"persistence_location {self.folder}/",
            "autosave_interval 1",
            *self.extra,
            # 2.0.11 does not start where it listens for WebSockets only
            *([f"listener {free_port()} {self.host}"] if "protocol websockets" in self.listener else []),
            f"listener {self.port} {self.host}",
            *self.listener,
        ]

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            return False
        writer.close()
        return True


@asynccontextmanager
async def mosquitto(folder: Path, **changes: object) -> AsyncIterator[Mosquitto]:
    """A broker that runs; ended, pass or fail."""
    broker = Mosquitto(folder, **changes)  # type: ignore[arg-type]  # the fields of the class, by name
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()
