"""The privileged helper as systemd starts it, on a machine that is a folder."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

BOUND = 20.0


class Machine:
    """What the helper sees of a machine: USB devices, how long it is up, and a systemctl that only notes what it is
    told."""

    def __init__(self, root: Path, uptime: float = 7200.0) -> None:
        self.root = root
        self.devices = root / "sys/bus/usb/devices"
        self.devices.mkdir(parents=True)
        self.told = root / "told"
        (root / "proc").mkdir()
        (root / "proc/uptime").write_text(f"{uptime:.2f} 1234.56\n")
        systemctl = root / "usr/bin/systemctl"
        systemctl.parent.mkdir(parents=True)
        systemctl.write_text(f'#!/bin/sh\necho "$@" >> {self.told}\n')
        systemctl.chmod(0o755)

    def device(self, name: str, interface_class: str, video: bool = False) -> Path:
        """A USB device, whose `authorized` shows what was written to it last."""
        device = self.devices / name
        interface = self.devices / name / f"{name}:1.0"
        interface.mkdir(parents=True)
        (interface / "bInterfaceClass").write_text(interface_class + "\n")
        if video:
            (interface / "video4linux/video0").mkdir(parents=True)
        (device / "authorized").write_text("9")
        return device

    def command(self) -> list[str]:
        return [sys.executable, "-I", "-m", "overshootd.helper", "--root", str(self.root)]

    def ask(self, request: bytes | dict[str, Any]) -> dict[str, Any]:
        """One request to one process, over a socket that is its standard input."""
        ours, theirs = socket.socketpair()
        with ours, theirs, subprocess.Popen(self.command(), stdin=theirs.fileno()) as process:
            theirs.close()
            ours.settimeout(BOUND)
            ours.sendall(request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n")
            ours.shutdown(socket.SHUT_WR)
            with ours.makefile("rb") as answers:
                lines = answers.read().splitlines()
            assert process.wait(BOUND) in (0, 1)
        assert len(lines) == 1
        answer: dict[str, Any] = json.loads(lines[0])
        return answer


@asynccontextmanager
async def listening(machine: Machine, path: Path) -> AsyncIterator[Path]:
    """As overshootd-helper.socket: each connection becomes the standard input of a helper of its own."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.setblocking(False)
        accepting = asyncio.create_task(_accept(server, machine))
        try:
            yield path
        finally:
            accepting.cancel()
            await asyncio.wait([accepting])


async def _accept(server: socket.socket, machine: Machine) -> None:
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(server)
        with connection:
            connection.setblocking(True)
            process = await asyncio.create_subprocess_exec(*machine.command(), stdin=connection.fileno())
        try:
            await process.wait()
        finally:
            await process.wait()  # it ends by itself, also when nobody listens any more
