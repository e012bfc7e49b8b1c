"""A livekit-server of our own, run as a child process for as long as it is needed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

import aiohttp

from overshootd.simulator.peer import first_address, host_address

BINARY_VARIABLE = "OVERSHOOTD_LIVEKIT_SERVER"
_KEY = "simulator"
_READY = 15.0  # seconds; it takes 0.3 on two cores
_END = 2.0  # seconds to end after each demand
_POLITELY = (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL)  # the second: do not wait for participants
_ATTEMPTS = 3  # a port that was free may be taken when the server binds it


class LiveKitChild:
    """Starts the server with `start` and ends it with `close` or `kill`; `url`, `key`, `secret` are for LiveKitRooms.

    `address` is where it listens and what it offers for media, None for this machine's first that is not loopback.
    `binary` as `find_binary` takes it. `start` may be used again after either end: ports and keys stay.
    """

    def __init__(self, address: str | None = None, binary: Path | None = None) -> None:
        self._address, self._binary = address, binary
        self.url, self.key, self.secret = "", _KEY, secrets.token_hex(32)
        self._process: asyncio.subprocess.Process | None = None
        self._ports: tuple[int, int, int] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._turn = asyncio.Lock()  # one start or end at a time

    async def start(self) -> None:
        """Returns when it answers. Raises RuntimeError when it is not found, does not start or does not answer.

        Does nothing while it runs.
        """
        async with self._turn:
            if self._process is None or self._process.returncode is not None:
                self._clean()
                await self._start()

    async def _start(self) -> None:
        binary = find_binary(self._binary)
        address = await host_address(self._address) or first_address()
        self._directory = tempfile.TemporaryDirectory(prefix="overshootd-livekit-")
        try:
            for attempts_left in reversed(range(_ATTEMPTS if self._ports is None else 1)):
                ports = self._ports or _free_ports(address)
                if await self._run(binary, address, ports):
                    self._ports, self.url = ports, f"ws://{_bracketed(address)}:{ports[0]}"
                    return
                if not attempts_left:
                    raise RuntimeError(f"{binary} did not start: {self._last_words()}")
        except BaseException:
            await self._end(_POLITELY)
            raise

    async def close(self) -> None:
        """End the child, pass or fail. Idempotent."""
        async with self._turn:
            await self._end(_POLITELY)

    async def kill(self) -> None:
        """End the child as a crash would: its clients learn it from their sockets. Idempotent."""
        async with self._turn:
            await self._end([signal.SIGKILL])

    async def _end(self, demands: Iterable[signal.Signals]) -> None:
        if self._process is not None:
            await _end(self._process, demands)
            self._process = None
        self._clean()

    def _clean(self) -> None:
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    async def _run(self, binary: Path, address: str, ports: tuple[int, int, int]) -> bool:
        """Whether the server came up; False when it exited, for instance because a port was taken."""
        assert self._directory is not None
        config = Path(self._directory.name) / "config.json"  # JSON is YAML
        config.write_text(json.dumps(_config(address, ports, self.key, self.secret)))
        config.chmod(0o600)
        with self._log().open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_tied_to_us(), binary, "--config", config, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            async with asyncio.timeout(_READY), aiohttp.ClientSession() as session:
                while self._process.returncode is None:
                    if await _answers(session, f"http://{_bracketed(address)}:{ports[0]}/"):
                        return True
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            raise RuntimeError(f"{binary} does not answer after {_READY:g} s: {self._last_words()}") from error
        return False

    def _log(self) -> Path:
        assert self._directory is not None
        return Path(self._directory.name) / "log"

    def _last_words(self) -> str:
        lines = self._log().read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"


def find_binary(path: Path | None = None) -> Path:
    """`path`, else $OVERSHOOTD_LIVEKIT_SERVER, else .tools/livekit-server of the checkout, else from PATH.

    Raises RuntimeError when the first of these that is given is no executable, or when none is there.
    """
    named = path or (Path(variable) if (variable := os.environ.get(BINARY_VARIABLE)) else None)
    if named is not None:
        if shutil.which(named) is None:
            raise RuntimeError(f"{named} is no executable livekit-server")
        return named
    built = Path(__file__).parents[2] / ".tools" / "livekit-server"
    if shutil.which(built) is not None:
        return built
    if (found := shutil.which("livekit-server")) is not None:
        return Path(found)
    raise RuntimeError(f"no livekit-server: build it with tools/livekit-server, or name one in {BINARY_VARIABLE}")


def _config(address: str, ports: tuple[int, int, int], key: str, secret: str) -> dict[str, object]:
    signalling, media_udp, media_tcp = ports
    return {
        "port": signalling,
        "bind_addresses": [address],
        "keys": {key: secret},
        "rtc": {"udp_port": media_udp, "tcp_port": media_tcp, "use_external_ip": False, "node_ip": address},
        "logging": {"level": "warn"},
    }


def _free_ports(address: str) -> tuple[int, int, int]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_STREAM)
    sockets = [socket.socket(family, kind) for kind in kinds]
    try:
        for each in sockets:
            each.bind((address, 0))
        signalling, media_udp, media_tcp = (each.getsockname()[1] for each in sockets)
    finally:
        for each in sockets:
            each.close()
    return signalling, media_udp, media_tcp


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def _tied_to_us() -> list[str]:
    """What ends the child with us even when we are killed; from util-linux, and only lacking if that is."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


async def _end(process: asyncio.subprocess.Process, demands: Iterable[signal.Signals]) -> None:
    if process.returncode is not None:
        return
    for demand in demands:
        process.send_signal(demand)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END):
                await process.wait()
                return


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
