"""Past a configured memory the process asks for its restart: its streams go on in the next one.

The LiveKit library keeps about 0.5 MB of every room that it leaves (livekit-notes.md, Traps), so a process that has
recovered a thousand times is large, and nothing but its end frees that.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from overshootd.contracts import Log

LOOK_SECONDS = 60.0

SETTLED_SECONDS = 600.0
"""By then rooms are joined and encoders run: what is in use is what these streams need."""

YOUNGEST_SECONDS = 3600.0
"""A restart costs every stream some seconds, so there is at most one an hour."""

WORTH = 1.25
"""Times what it needed once settled: with less a restart frees hardly anything, and the next would soon be due."""

STATM = Path("/proc/self/statm")


class Verdict(Enum):
    FINE = "fine"
    EARLY = "early"  # too much, and the process is younger than a restart may come
    NEEDED = "needed"  # too much, and as much would be needed again
    RESTART = "restart"


def verdict(used: float, limit: float, *, settled: float, age: float) -> Verdict:
    """What to do about `used` memory, of which `settled` was needed; all in one unit. `age` in seconds. Pure."""
    if used <= limit:
        return Verdict.FINE
    if age < YOUNGEST_SECONDS:
        return Verdict.EARLY
    return Verdict.RESTART if used >= WORTH * settled else Verdict.NEEDED


def words(what: Verdict, used: float, limit: float, settled: float) -> str:
    """One sentence for the log; figures in MB. Empty when there is nothing to say. Pure."""
    too_much = f"{used:.0f} MB of memory in use, more than limits.memory_mb allows ({limit:g} MB)"
    match what:
        case Verdict.FINE:
            return ""
        case Verdict.EARLY:
            return f"{too_much}: a restart waits until this process is {YOUNGEST_SECONDS / 60:g} minutes old"
        case Verdict.NEEDED:
            return f"{too_much}, but {settled:.0f} MB are needed from the start: raise it above {WORTH * settled:.0f}"
        case Verdict.RESTART:
            return f"{too_much}, of which {settled:.0f} MB are needed: restarting, streams are kept"


def resident_mb() -> float:
    """What this process occupies of the machine's memory, in MB of 1,048,576 bytes (proc_pid_statm(5)); programs
    that it runs for cameras are not in it."""
    pages = int(STATM.read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def run(
    limit_mb: float,
    restart: Callable[[], None],
    log: Log,
    *,
    used_mb: Callable[[], float] = resident_mb,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Look once a minute; call `restart` and return when the process should end for the next to begin anew.

    To be begun with the process: its age is counted from here.
    """
    began, settled = clock(), 0.0
    told = {Verdict.FINE}
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        used, age = used_mb(), clock() - began
        if age <= SETTLED_SECONDS:
            settled = max(settled, used)
        what = verdict(used, limit_mb, settled=settled, age=age)
        if what not in told:
            told.add(what)
            log.warning(words(what, used, limit_mb, settled))
        if what is Verdict.RESTART:
            return restart()
