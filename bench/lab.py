"""Two network namespaces with a cable between them: the publisher's, which this process is in, and the gateway's.

All that the publisher sends goes through the cable: media, STUN, RTCP, TLS, HTTP, WebSockets, signalling, ARP. Both
namespaces end with the processes in them, whatever happens.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PUBLISHER, GATEWAY = "10.78.0.1", "10.78.0.2"
CABLE = "cable0"
INSIDE = "OVERSHOOTD_BENCH_INSIDE"
NEEDS = "bench needs a network namespace of its own: run it as root, or on a kernel that gives users namespaces"


@dataclass(frozen=True, slots=True)
class Wire:
    """Bytes through the cable since it was laid, Ethernet headers included, as the publisher counts them."""

    up: int
    down: int

    def __sub__(self, before: Wire) -> Wire:
        return Wire(self.up - before.up, self.down - before.down)


def enter_namespace() -> None:
    """Run this program again in a namespace of its own. Returns in there. Raises OSError when there is no `unshare`."""
    if INSIDE in os.environ:
        return
    root = os.geteuid() == 0
    command = ["unshare", "--net", *([] if root else ["--map-root-user"])]
    if subprocess.run([*command, "true"], check=False, capture_output=True, timeout=10).returncode:
        sys.exit(NEEDS)
    os.environ[INSIDE] = "1"
    os.execvp(command[0], [*command, sys.executable, "-m", "bench", *sys.argv[1:]])


@contextmanager
def cable() -> Iterator[list[str]]:
    """Lay it. Gives the words that run a command at the gateway's end."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "3600"])
    try:
        _wait_until_apart(holder.pid)
        beyond = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
        _ip("link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", str(holder.pid))
        _ends([], PUBLISHER)
        _ends(beyond, GATEWAY)
        yield beyond
    finally:
        holder.kill()
        holder.wait()


def wire() -> Wire:
    """What went through so far. Not from /sys, which shows the namespace that it was mounted in."""
    lines = Path("/proc/self/net/dev").read_text().splitlines()
    fields = next(line for line in lines if line.strip().startswith(f"{CABLE}:")).split(":")[1].split()
    return Wire(up=int(fields[8]), down=int(fields[0]))


def _ends(where: list[str], address: str) -> None:
    _ip("link", "set", "lo", "up", where=where)
    # Nothing of its own accord (IPv6), and every segment counted with the headers that a real line would carry.
    _ip("link", "set", CABLE, "addrgenmode", "none", where=where)
    _ip("link", "set", CABLE, "gso_max_segs", "1", "up", where=where)
    _ip("address", "add", f"{address}/24", "dev", CABLE, where=where)


def _ip(*arguments: str, where: list[str] | None = None) -> None:
    command = [*(where or []), "ip", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")


def _wait_until_apart(pid: int) -> None:
    deadline = time.monotonic() + 5
    while os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net"):
        if time.monotonic() > deadline:
            sys.exit(NEEDS)
        time.sleep(0.01)
