"""Network namespaces that have no names: each lives as long as the process that holds it, which ends with this one.

So nothing is left behind, pass or fail, not even when this process is killed: the holder reads a pipe that closes then.
What is started inside has its end tied to ours by the kernel.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

COMMAND_SECONDS = 10.0
_CLONE_NEWNET = 0x40000000  # linux/sched.h
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # where Debian keeps ip, tc and nft
T = TypeVar("T")


class Namespace:
    """One network namespace, with a mount namespace of its own for /etc/resolv.conf."""

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.pid = pid

    @property
    def words(self) -> list[str]:
        """What to write before a command for it to run in here. It keeps its pid, and dies with this process."""
        nsenter, setpriv = _which("nsenter"), _which("setpriv")
        inside = [nsenter, f"--net=/proc/{self.pid}/ns/net", f"--mount=/proc/{self.pid}/ns/mnt", f"--wd={Path.cwd()}"]
        return [*inside, setpriv, "--pdeathsig", "KILL", "--"]

    async def run(self, *command: str, stdin: str = "") -> str:
        """Run a short command in here; what it printed. Raises AssertionError with what it said when it fails."""
        return await _run([*self.words, *command], stdin, f"{self.name}: {' '.join(command)}")

    async def ip(self, *lines: str, version: int = 0) -> None:
        """Commands of `ip`, all in one process, in order; `version` 4 or 6 where the words do not tell."""
        family = [f"-{version}"] if version else []
        await self.run("ip", *family, "-batch", "-", stdin="\n".join(lines))

    async def sysctl(self, **values: int) -> None:
        """`net__ipv4__ip_forward=1` sets net.ipv4.ip_forward, in here only."""
        lines = [f"echo {value} > /proc/sys/{name.replace('__', '/')}" for name, value in values.items()]
        await self.run("sh", "-ec", "\n".join(lines))

    def socket(self, family: int, kind: int, proto: int = 0) -> socket.socket:
        """A socket that belongs to this namespace, for use in our own process. Raises OSError."""
        return self.within(lambda: socket.socket(family, kind, proto))

    def within(self, make: Callable[[], T]) -> T:
        """Call `make` in a thread that is in this namespace: what it opens stays here. Raises what it raises.

        Short and without locks of others: the caller waits.
        """
        made: list[T] = []
        failed: list[BaseException] = []

        def enter() -> None:
            try:
                with Path(f"/proc/{self.pid}/ns/net").open() as there:
                    _setns(there.fileno())
                made.append(make())
            except BaseException as error:  # noqa: BLE001 (raised in the caller's thread, below)
                failed.append(error)

        thread = threading.Thread(target=enter, name=f"in {self.name}")
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return made[0]


@asynccontextmanager
async def namespace(name: str, resolv_conf: Path) -> AsyncIterator[Namespace]:
    """A new namespace with `lo` up and nothing else, whose processes resolve names as `resolv_conf` says.

    Raises AssertionError where the system allows none.
    """
    script = 'mount --bind "$0" /etc/resolv.conf && ip link set lo up && echo ready && exec cat'
    holder = await asyncio.create_subprocess_exec(
        *(_which("unshare"), "--net", "--mount", "sh", "-ec", script, str(resolv_conf)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PATH": _PATH},
    )
    try:
        assert holder.stdout is not None and holder.stderr is not None
        async with asyncio.timeout(COMMAND_SECONDS):
            if await holder.stdout.readline() != b"ready\n":
                raise AssertionError(f"no network namespace: {(await holder.stderr.read()).decode().strip()}")
        yield Namespace(name, holder.pid)
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.communicate()


async def _run(command: Sequence[str], stdin: str, what: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PATH": _PATH},
    )
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            said = (await process.communicate(stdin.encode()))[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{what}: {said.strip()}\n{stdin}"
    return said


def _which(program: str) -> str:
    found = shutil.which(program, path=_PATH)
    assert found is not None, f"the network lab needs {program}"
    return found


def _setns(descriptor: int) -> None:
    if sys.version_info >= (3, 12):
        os.setns(descriptor, _CLONE_NEWNET)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
