"""What one session takes and gives, told to the tally as it becomes known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from overshootd.contracts import Count, Spent, Tally


@dataclass(slots=True)
class Meter:
    """Of a session of `stream`, of which a result is due every `period` seconds. All totals are the session's own."""

    tally: Tally
    stream: str
    period: float
    clock: Callable[[], float] = time.monotonic
    _until: float = field(init=False)  # results that were due before that are told
    _spent: Spent = field(init=False, default=Spent())
    _up: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._until = self.clock()

    def result(self, size: int) -> None:
        """One came, of so many bytes."""
        self.tally.add(self.stream, Count(bytes_down=size, received=1))

    def look(self, spent: Spent, bytes_up: int) -> None:
        """So much it is in all by now."""
        now = self.clock()
        count = Count(
            seconds=spent.seconds - self._spent.seconds,
            cents=spent.cents - self._spent.cents,
            bytes_up=bytes_up - self._up,
            due=(now - self._until) / self.period,
        )
        self._until, self._spent, self._up = now, spent, bytes_up
        self.tally.add(self.stream, count)
