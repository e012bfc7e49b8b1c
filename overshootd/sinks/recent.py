"""The newest lines of one stream, in memory: who keeps up with what arrives reads nothing from the disk."""

from __future__ import annotations

from collections import deque
from itertools import islice

from overshootd.sinks.pace import BATCH_BYTES, BATCH_ROWS

Line = tuple[int, bytes]
"""A record's seq, and its line."""


class Recent:
    """A batch of them at most. Numbers without a gap between them: what is missing would be taken for dropped."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque()
        self._bytes = 0

    def came(self, seq: int, line: bytes) -> None:
        """It is stored."""
        if self._lines and seq != self._lines[-1][0] + 1:
            self._lines.clear()
            self._bytes = 0
        self._lines.append((seq, line))
        self._bytes += len(line)
        while len(self._lines) > BATCH_ROWS or (self._bytes > BATCH_BYTES and len(self._lines) > 1):
            self._bytes -= len(self._lines.popleft()[1])

    def read(self, after: int, upto: int, rows: int) -> list[Line] | None:
        """The first records after seq `after`, to `upto` and no more than `rows`; None where the first of them is not
        among these."""
        if not self._lines or not self._lines[0][0] <= after + 1 <= min(upto, self._lines[-1][0]):
            return None
        first = after + 1 - self._lines[0][0]
        return list(islice(self._lines, first, first + min(rows, upto - after)))
