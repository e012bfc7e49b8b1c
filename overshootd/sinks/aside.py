"""The spool's files by name, and how a file that cannot be used makes way for another: in steps, any of which a power
cut may follow. Runs in the disk's thread. All functions raise OSError."""

from __future__ import annotations

import time
from pathlib import Path

from overshootd.sinks.paths import sync_directory

BEYOND = 1_600_000_000_000
"""No spool is as old (2020, in milliseconds): a clock that was never set is no reason to begin at small numbers."""


def log_of(path: Path) -> Path:
    """A database's write-ahead log."""
    return path.with_name(f"{path.name}-wal")


def next_of(path: Path) -> Path:
    """What takes the place of the file at `path`; complete whenever it is there."""
    return path.with_name(f"{path.name}.next")


def being_made(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def first_number(path: Path) -> int:
    """What `seq` begins after in a new file: 0, but where one was set aside the milliseconds since 1970: beyond all
    that it gave out. What the clock said when it was last written counts too, for the clock may be wrong now."""
    earlier = [_milliseconds(aside.stat().st_mtime) for aside in asides(path)]
    if path.exists():
        earlier.append(_milliseconds(path.stat().st_mtime))
    return max(_milliseconds(time.time()), BEYOND, *earlier) if earlier else 0


def put_in_place(path: Path) -> Path | None:
    """Let `next_of` be the file at `path`. What was there, or is left of it, is set aside together with its write-ahead
    log, so that both can be renamed back. Returns its name, if there was anything."""
    aside = None
    if path.exists() or log_of(path).exists():
        aside = _free(path)
        # The log first: a file without its log is set aside the next time, but a log without its file would be taken
        # for the next one's.
        for old, new in ((log_of(path), log_of(aside)), (path, aside)):
            if old.exists():
                old.rename(new)
        sync_directory(path.parent)
    next_of(path).rename(path)
    sync_directory(path.parent)
    return aside


def asides(path: Path) -> set[Path]:
    return set(path.parent.glob(f"{path.name}.aside-*"))


def _free(path: Path) -> Path:
    taken = asides(path)
    names = (path.with_name(f"{path.name}.aside-{number}") for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken and log_of(name) not in taken)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
