"""A network namespace for the test process: WebRTC gathers no loopback candidates, and no test may reach out."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

ADDRESSES = ("10.77.0.1", "10.77.0.2")
_CLONE_NEWUSER = 0x10000000  # linux/sched.h
_CLONE_NEWNET = 0x40000000


def refusal() -> str | None:
    """`enter`; why that is not allowed here, None once it is done."""
    try:
        enter()
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd)}: {error.stderr.strip()}"
    except OSError as error:
        return str(error)
    return None


def enter() -> None:
    """Move this process into a new namespace with `lo` up and an interface that holds ADDRESSES.

    unshare(2) moves the calling thread only; threads that it starts later follow. So this must come before anything
    starts threads that open sockets (the LiveKit SDK starts a pool of them at first use); a user namespace, which
    whoever is not root needs, is refused as soon as there is any other thread. Raises OSError or CalledProcessError
    when the system does not allow it.
    """
    user, group = os.geteuid(), os.getegid()
    _unshare(_CLONE_NEWNET if user == 0 else _CLONE_NEWUSER | _CLONE_NEWNET)
    if user != 0:  # be root in there, so that `ip` may do its work
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _ip("link", "set", "lo", "up")
    _add_interface()
    for address in ADDRESSES:
        _ip("address", "add", f"{address}/24", "dev", "dummy0")
    _ip("link", "set", "dummy0", "up")


def _unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # os.unshare is there from Python 3.12 on
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")


def _add_interface() -> None:
    try:
        _ip("link", "add", "dummy0", "type", "dummy")
    except subprocess.CalledProcessError:  # some kernels of virtual machines come without it
        _ip("link", "add", "dummy0", "type", "veth", "peer", "name", "dummy1")
        _ip("link", "set", "dummy1", "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=10)
