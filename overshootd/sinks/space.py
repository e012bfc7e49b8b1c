"""The low-water mark of free space: below it older results files go, the oldest of all file sinks first.

What goes was delivered and is kept nowhere else. `min_free_mb` asks for that loss, because a full disk costs more: the
new results, and whatever else writes there. The file that is being written never goes, nor anything that `rotation`
would not have named. All of it runs in the disk's thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from overshootd.condition import Condition
from overshootd.contracts import Log
from overshootd.sinks.archives import Archives, Older

LOOK_SECONDS = 5.0
"""How often a sink that is written to looks. In that time 120 results a second of 700 bytes are half a megabyte; who is
faster meets ENOSPC, and that looks at once."""

QUIET_SECONDS = 3600.0
"""Deleting is told when it begins, and as over when none had to be deleted for so long: a disk that is full of our own
files loses one at each rotation, and the log shall not have a line for each."""

MB = 1_000_000


def to_delete(older: Iterable[Older], free: int, total: int) -> list[Older]:
    """Which of these go, the oldest first, while `free` of `total` bytes are: each only until its own mark is reached.

    A mark is half of the filesystem at most: one that cannot be reached would leave no older file at all. Pure.
    """
    going = []
    for one in sorted(older, key=lambda one: (one.stamp, one.path)):
        if free < min(one.mark, total // 2):
            going.append(one)
            free += one.size
    return going


@dataclass(frozen=True, slots=True)
class Deleted:
    """Older files that the mark has cost since the start, and their bytes."""

    files: int = 0
    bytes: int = 0

    def __add__(self, gone: Iterable[Older]) -> Deleted:
        sizes = [one.size for one in gone]
        return Deleted(self.files + len(sizes), self.bytes + sum(sizes))


class Space:
    """One for the daemon: knows the file sinks that are open. `clock` counts seconds and never goes back."""

    def __init__(self, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._looked: dict[Archives, float] = {}
        self._filesystems: dict[int, _Filesystem] = {}
        self._looking = Condition(log, "looking after free space", clock)
        self.deleted = Deleted()
        """For whoever asks, in any thread."""

    def leave(self, archives: Archives) -> None:
        """Their sink is closed: they stay as they are."""
        self._looked.pop(archives, None)

    def look(self, archives: Archives, *, now: bool = False) -> bool:
        """Make room on the filesystem of these if it lacks, LOOK_SECONDS after the last time or `now`. True when it was
        made."""
        clock, looked = self._clock(), self._looked.get(archives)
        if not now and looked is not None and clock - looked < LOOK_SECONDS:
            return False
        self._looked[archives] = clock
        try:
            made = self._make_room(archives.path.parent)
        except FileNotFoundError:  # not made yet, or deleted by somebody: writing makes it
            return False
        except OSError as error:
            self._looking.bad(f"{error.filename or archives.path.parent}: {error.strerror}")
            return False
        self._looking.good()
        return made

    def _make_room(self, directory: Path) -> bool:
        device = directory.stat().st_dev
        if device not in self._filesystems:
            self._filesystems[device] = _Filesystem(directory, self._log, self._clock)
        filesystem = self._filesystems[device]
        here = [archives for archives in self._looked if _is_on(archives, device)]
        room = os.statvfs(directory)
        free, total = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
        mark = min(max(archives.min_free for archives in here), total // 2)
        if free >= mark:
            filesystem.has_room()
            return False
        going = to_delete(_older(here), free, total)
        for one in going:
            for archives in here:
                if archives.path == one.path:
                    archives.delete(one)
        self.deleted += going
        filesystem.lacks_room(mark, going)
        return bool(going)


class _Filesystem:
    """What was told of one."""

    def __init__(self, directory: Path, log: Log, clock: Callable[[], float]) -> None:
        self._name = f"the filesystem of {directory}"
        self._log = log
        self._clock = clock
        self._reaching = Condition(log, f"keeping min_free_mb free on {self._name}", clock)
        self._at: float | None = None  # when something was deleted last; None: that was told as over
        self._gone = Deleted()  # since it was not

    def lacks_room(self, mark: int, gone: list[Older]) -> None:
        if not gone:
            self._reaching.bad(f"less than {mark // MB} MB, and no older file is left to delete: make room there")
            return
        if self._at is None:
            self._log.warning(
                f"{self._name} has less than {mark // MB} MB free (min_free_mb): older files are deleted, the oldest "
                f"of all first; now {_named(gone)}"
            )
        self._at = self._clock()
        self._gone += gone

    def has_room(self) -> None:
        self._reaching.good()
        if self._at is not None and self._clock() - self._at >= QUIET_SECONDS:
            self._log.info(
                f"{self._name} has room again; older files that were deleted: {self._gone.files}, "
                f"{self._gone.bytes / MB:.1f} MB"
            )
            self._at, self._gone = None, Deleted()


def _older(here: Iterable[Archives]) -> Iterable[Older]:
    """Those of all these, each once: several sinks may write to one file, and then the lowest mark of them counts."""
    found: dict[tuple[Path, str], Older] = {}
    for archives in sorted(here, key=lambda archives: archives.min_free):
        for one in archives.older():
            found.setdefault((one.path, one.stamp), one)
    return found.values()


def _is_on(archives: Archives, device: int) -> bool:
    try:
        return archives.path.parent.stat().st_dev == device
    except OSError:  # its own sink meets that, and says it
        return False


def _named(gone: list[Older]) -> str:
    first = f"{gone[0].path}-{gone[0].stamp}"
    return first if len(gone) == 1 else f"{first} and {len(gone) - 1} more"
