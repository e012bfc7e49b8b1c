"""One daemon for each state directory: a second would take up the first one's streams, and delete them at its end.

The lock is a file's (flock(2)), which the kernel gives up when the process is gone, however it ended. It is not the
spool's own: that there is none of on a card that is read-only, and whoever looks into the spool with `sqlite3` is no
second daemon.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from contextlib import suppress
from errno import EROFS
from pathlib import Path

from overshootd.condition import Condition
from overshootd.contracts import Log
from overshootd.errors import OvershootdError
from overshootd.sinks.paths import cannot_write, make_directories
from overshootd.statefile import FILE_MODE, Run

FILE_NAME = "overshootd.lock"

LOOK_SECONDS = 0.5
"""How often it is looked whether the other daemon has ended."""


class Held(OvershootdError):
    """Another process has the directory; the text says which, and what to do."""


def take(directory: Path) -> int:
    """Have the directory for as long as the descriptor that is returned is open. It is made when it is missing.

    Raises Held, and OSError when there can be no such file.
    """
    make_directories(directory)
    descriptor = _open(directory / FILE_NAME)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            raise
        raise Held(
            f"{directory} is in use by {f'process {holder}' if holder.isdecimal() else 'another process'}: stop the "
            f"other overshootd, or give this one a state_dir of its own"
        ) from None
    with suppress(OSError):  # a full disk: the number is only there to be told
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor


async def alone_in(directory: Path, run: Run, log: Log) -> None:
    """Return once no other daemon has the directory, which is this process's from then on until it is gone: not
    sooner, for what hangs in a disk may yet write there. `run` runs what blocks."""
    taking = Condition(log, "waiting for the state directory", time.monotonic)
    while True:
        try:
            await run(lambda: take(directory))
        except Held as error:
            taking.bad(str(error))
        except OSError as error:
            trouble = cannot_write(directory / FILE_NAME, error, "state_dir")
            log.warning(f"{trouble}; until this one is started anew, a second overshootd there would not be noticed")
            return
        else:
            taking.good()
            return
        await asyncio.sleep(LOOK_SECONDS)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        if error.errno != EROFS or not path.exists():
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
