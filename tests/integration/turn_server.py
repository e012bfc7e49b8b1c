"""A TURN server (coturn) as a process: UDP and TCP on one port, TLS on another if wished, one user."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

USER, CREDENTIAL = "gate", "c0mma,and/slash"
RELAYED = (40000, 40099)
"""The ports that it relays from."""

_READY = 10.0  # seconds; it takes 0.1


@dataclass(frozen=True)
class Relay:
    """What clients are told: `urls` by transport, with USER and CREDENTIAL."""

    address: str
    port: int
    tls_port: int

    def url(self, transport: str = "udp") -> str:
        """`transport`: udp, tcp or tls."""
        if transport == "tls":
            return f"turns:{self.address}:{self.tls_port}?transport=tcp"
        return f"turn:{self.address}:{self.port}?transport={transport}"


@asynccontextmanager
async def relay(address: str, folder: Path, tls: tuple[Path, Path] | None = None) -> AsyncIterator[Relay]:
    """A relay at `address`, which it also relays from; `folder` takes its log. `tls`: a certificate and its key."""
    binary = shutil.which("turnserver", path=os.defpath + ":/usr/sbin")
    if binary is None:
        decide = pytest.fail if os.environ.get("CI") else pytest.skip
        decide("no turnserver: install what Debian calls coturn")
    assert binary is not None
    with socket.create_server((address, 0)) as free, socket.create_server((address, 0)) as other:
        port, tls_port = free.getsockname()[1], other.getsockname()[1]
    secured = ["--no-tls"] if tls is None else [f"--cert={tls[0]}", f"--pkey={tls[1]}"]
    log = folder / "turnserver.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(binary, "-n", "--no-cli", "--no-dtls", "--lt-cred-mech", "--realm=tests"),
            *(*secured, f"--tls-listening-port={tls_port}"),
            *(f"--listening-ip={address}", f"--relay-ip={address}", f"--listening-port={port}"),
            *(f"--user={USER}:{CREDENTIAL}", f"--pidfile={folder / 'turnserver.pid'}", "--log-file=stdout"),
            *(f"--min-port={RELAYED[0]}", f"--max-port={RELAYED[1]}", "--relay-threads=1"),
            cwd=folder,
            stdout=out,
            stderr=out,
        )
    try:
        await _answers(address, port, log)
        yield Relay(address, port, tls_port)
    finally:
        process.terminate()
        await process.wait()


async def _answers(address: str, port: int, log: Path) -> None:
    try:
        async with asyncio.timeout(_READY):
            while True:
                try:
                    _, writer = await asyncio.open_connection(address, port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                return
    except TimeoutError:
        pytest.fail(f"turnserver does not answer; it wrote {log}")
