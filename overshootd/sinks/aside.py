"""The spool's files by name, and how a file that cannot be used makes way for another: in steps, any of which a power
cut may follow. Runs in the disk's thread. All functions raise OSError."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from overshootd.sinks.paths import sync_directory

BEYOND = 1_600_000_000_000
"""No spool is as old (2020, in milliseconds): a clock that was never set is no reason to begin at small numbers."""

APART = 1_000_000_000
"""No spool gives out as many numbers, with a million for each power cut. Where a clock was ahead, several in a row
begin by the same time."""

KEPT = 3
"""So many that were set aside stay: a card that fails again and again is not to be filled with them."""


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
    that it gave out. What the clock said when it was last written counts too, for the clock may be wrong now, and how
    many were set aside."""
    earlier = [_milliseconds(aside.stat().st_mtime) for aside in asides(path)]
    if path.exists():
        earlier.append(_milliseconds(path.stat().st_mtime))
    latest = max(_milliseconds(time.time()), BEYOND, *earlier) if earlier else 0
    return latest + APART * max(_numbers(path), default=0)


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


def delete_surplus(path: Path) -> list[Path]:
    """Delete what was set aside but the newest KEPT. Returns the names."""
    surplus, kept = _by_number(path)[:-KEPT], _by_number(path)[-KEPT:]
    if not surplus:
        return []
    # first_number goes by their times; one of a clock that was ahead would be missed.
    files = [file for aside in (*surplus, kept[0]) for file in (aside, log_of(aside)) if file.exists()]
    latest = max(file.stat().st_mtime_ns for file in files)
    os.utime(next(file for file in (kept[0], log_of(kept[0])) if file.exists()), ns=(latest, latest))
    for aside in surplus:
        for file in (aside, log_of(aside)):
            file.unlink(missing_ok=True)
    return surplus


def _by_number(path: Path) -> list[Path]:
    """Those set aside, the oldest first; of some there is the write-ahead log alone."""
    return [path.with_name(f"{path.name}.aside-{number}") for number in sorted(set(_numbers(path)))]


def _numbers(path: Path) -> Iterator[int]:
    for aside in asides(path):
        if found := re.fullmatch(r"\.aside-(\d+)(-wal)?", aside.name.removeprefix(path.name), re.ASCII):
            yield int(found[1])


def _free(path: Path) -> Path:
    return path.with_name(f"{path.name}.aside-{max(_numbers(path), default=0) + 1}")


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
