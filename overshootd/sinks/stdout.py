"""The stdout sink: records as lines on the standard output; under systemd that is the journal.

Whoever reads them may be slow, or gone. They are written in a thread of their own, in turns, and one writer of the
process serves all streams, so that a line is always whole.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import sys
import time
from collections import deque

from overshootd.errors import ConfigError, Transient
from overshootd.sinks.disk import Disk
from overshootd.sinks.paths import sync_data

PIPE_BUF = 4096
"""Bytes that go into a pipe without blocking where poll(2) says that there is room: pipe(7)."""

PATIENCE = 5.0
"""Seconds without room until the reader counts as one that does not read."""

TURN_SECONDS = 1.0
"""One stream's backlog does not keep another's record from a slow reader for longer."""

STUCK_SECONDS = 60.0
"""For a turn to come and to end. A terminal may have no room although poll(2) said so, and holds the thread then."""


class Output:
    """The process's standard output, shared by all sinks. `descriptor` None: the process was started without."""

    def __init__(self, descriptor: int | None, patience: float = PATIENCE) -> None:
        self._descriptor = descriptor
        self._patience = patience
        self._thread = Disk("stdout")
        self._line = b""  # begun, or the next to begin: it is finished before any other
        self._done = 0  # bytes of it that are written

    @classmethod
    def of_process(cls) -> Output:
        return cls(sys.stdout.fileno() if sys.stdout else None)

    @property
    def is_open(self) -> bool:
        return self._descriptor is not None

    async def write(self, lines: deque[bytes]) -> None:
        """Write them all; one that is not in `lines` any more will be finished first, whoever writes next.

        Raises OSError: there was no room, or nobody to read.
        """
        async with asyncio.timeout(STUCK_SECONDS) as bound:
            while not await self._thread.run(self._turn, lines):
                bound.reschedule(asyncio.get_running_loop().time() + STUCK_SECONDS)

    async def sync(self) -> None:
        """Return when it is on the disk, if it goes there. Raises OSError."""
        if self._descriptor is not None:
            await self._thread.run(sync_data, self._descriptor)

    async def close(self, within: float) -> bool:
        """False when a reader that does not read holds the thread; it does not hold the process."""
        return await self._thread.close(within)

    def _turn(self, lines: deque[bytes]) -> bool:
        """Write for a turn. True when all is written. In the thread."""
        if self._descriptor is None:
            raise OSError(errno.EBADF, "closed")
        end = time.monotonic() + TURN_SECONDS
        while self._done < len(self._line) or self._begin(lines):
            if time.monotonic() >= end:
                return False
            self._write(self._descriptor)
        return True

    def _begin(self, lines: deque[bytes]) -> bool:
        try:
            self._line, self._done = lines.popleft() + b"\n", 0
        except IndexError:
            return False
        return True

    def _write(self, descriptor: int) -> None:
        room = select.poll()
        room.register(descriptor, select.POLLOUT)
        if not room.poll(self._patience * 1000):
            raise TimeoutError(errno.ETIMEDOUT, f"no room for {self._patience:g} s")
        try:
            self._done += os.write(descriptor, self._line[self._done : self._done + PIPE_BUF])
        except BrokenPipeError:
            if (
                self._done
            ):  # the next reader finds a part of it in a pipe's buffer: ended there, and then the whole line
                self._line, self._done = b"\n" + self._line.lstrip(b"\n"), 0
            raise


class StdoutSink:
    """One stream's records, in order."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._reached: bytes | None = None  # the last line that the output took of a batch that failed half-way

    @property
    def name(self) -> str:
        return "stdout"

    @property
    def live_first(self) -> bool:
        return False

    async def open(self) -> None:
        """Raises ConfigError when there is no standard output."""
        if not self._output.is_open:
            raise ConfigError("stdout: the standard output is closed: start overshootd with one, or remove the sink")

    async def deliver(self, lines: list[bytes], *, backlog: bool = False) -> None:
        """Return when the lines are with the kernel. Raises Transient; given the same again, it writes none twice."""
        begin = lines.index(self._reached) + 1 if self._reached in lines else 0
        left = deque(lines[begin:])
        try:
            await self._output.write(left)
        except OSError as error:
            taken = len(lines) - len(left)
            self._reached = lines[taken - 1] if taken else None
            raise Transient(_why(error)) from error
        finally:
            left.clear()  # a turn that is still under way ends with its line
        self._reached = None

    async def sync(self) -> None:
        """Return when it is on the disk, where the standard output is a file. Raises Transient."""
        try:
            await self._output.sync()
        except OSError as error:
            self._reached = None
            raise Transient(f"stdout: cannot be synced to the disk ({error.strerror})") from error

    async def close(self) -> None:
        """The output is everybody's, and stays open."""


def _why(error: OSError) -> str:
    match error:
        case BrokenPipeError():
            return (
                "stdout: whoever read the standard output is gone: start it again with overshootd, or remove the sink"
            )
        case TimeoutError():
            return "stdout: whoever reads the standard output does not: let it read, or remove the sink"
        case _:
            return f"stdout: the standard output cannot be written to ({error.strerror})"
