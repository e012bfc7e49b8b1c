"""Child processes: begun, ended and accounted for."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

END_SECONDS = 15.0


class Failure(Exception):
    """Nothing could be measured; the text says why."""


@contextmanager
def running(
    folder: Path, name: str, command: Sequence[object], env: Mapping[str, str], stdout: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`command`, its output in FOLDER/NAME.log; ended in order. A Failure meanwhile gets the log's last line."""
    path = folder / f"{name}.log"
    with path.open("wb") as log:
        words = [str(word) for word in command]
        process = subprocess.Popen(words, stdout=stdout or log, stderr=log, env={**os.environ, **env})
    try:
        yield process
    except Failure as failure:
        lines = path.read_text(errors="replace").splitlines()
        raise Failure(f"{failure}\n{name}: {lines[-1] if lines else 'it said nothing'}") from failure
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def cpu_seconds(pid: int) -> float:
    """User and system time of all its threads, those that ended too; in nanoseconds, where /proc/PID/stat has 10 ms."""
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3) as arithmetic: the kernel's CPUCLOCK_SCHED


def memory_mb(pid: int, without: Path) -> float:
    """Resident set in MB (10^6 bytes), mappings of the file `without` left out."""
    total, counted = 0, True
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if not first.endswith(":"):  # the head of a mapping, which ends in its file
            counted = not rest.endswith(str(without))
        elif first == "Rss:" and counted:
            total += int(rest.split()[0]) * 1024
    return total / 1e6
