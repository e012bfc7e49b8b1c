"""How soon the service counts as started."""

from __future__ import annotations

import os
import socket
import statistics
import sys
import sysconfig
import time
from pathlib import Path

from bench.process import Failure, running
from bench.setting import daemon_env, write_config

TIMES = 5
BOUND = 30.0


def ready_seconds(folder: Path, *, cold: bool) -> float:
    """From exec to READY=1, median of TIMES. `cold`: Python and its packages must be read from the disk."""
    config = write_config(folder, {"type": "test"}, 2.0)
    return statistics.median(_once(folder, config, cold) for _ in range(TIMES))


def _once(folder: Path, config: Path, cold: bool) -> float:
    path = folder / "notify"
    path.unlink(missing_ok=True)
    if cold:
        _forget_files()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(BOUND)
        command = [sys.executable, "-m", "overshootd", "run", "-c", config]
        began = time.monotonic()
        with running(folder, "ready", command, {"NOTIFY_SOCKET": str(path), **daemon_env(folder)}):
            try:
                while b"READY=1" not in notify.recv(4096):
                    pass
            except TimeoutError:
                raise Failure(f"no READY=1 within {BOUND:g} s") from None
            return time.monotonic() - began


def _forget_files() -> None:
    """Drop what nobody maps from the page cache; needs no rights, and leaves the rest of the machine alone."""
    ours = str(Path(__file__).parents[1] / "overshootd")
    for root in {ours, *(sysconfig.get_path(name) for name in ("stdlib", "platlib", "purelib"))}:
        for path in Path(root).rglob("*.*"):
            if path.is_file() and path.suffix in (".py", ".pyc", ".so"):
                descriptor = os.open(path, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)
