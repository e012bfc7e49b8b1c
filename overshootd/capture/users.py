"""Who else has a device open: the first thing to ask when it is busy."""

from __future__ import annotations

import os
from pathlib import Path


def users_of(path: str, proc: Path = Path("/proc")) -> list[str]:
    """The other processes that have this file open, each as "ffmpeg (pid 1234)", in the order of their pids.

    Only what this user may see: of other users' processes the kernel tells root alone.
    """
    target = os.path.realpath(path)
    others = sorted({int(entry) for entry in os.listdir(proc) if entry.isdigit()} - {os.getpid()})
    return [f"{_command(proc / str(pid))} (pid {pid})" for pid in others if _has(proc, pid, target)]


def _has(proc: Path, pid: int, target: str) -> bool:
    folder = proc / str(pid) / "fd"
    try:
        return any(_points_to(folder / entry, target) for entry in os.listdir(folder))
    except OSError:  # it ended just now, or it is another user's
        return False


def _points_to(link: Path, target: str) -> bool:
    try:
        return os.readlink(link) == target
    except OSError:  # closed just now
        return False


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip() or "?"
    except OSError:
        return "?"
