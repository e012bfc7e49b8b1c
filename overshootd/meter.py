"""What one session takes and gives, told to the tally as it becomes known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from overshootd.contracts import Count, Spent, Tally


@dataclass(slots=True)
class Meter:
    """Of a session of `stream`, which owes so many results after so many seconds (`due`). All totals are the session's
    own."""

    tally: Tally
    stream: str
    due: Callable[[float], int]
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _due: int = field(init=False, default=0)  # results that were told as due
    _spent: Spent = field(init=False, default=Spent())
    _up: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def result(self, size: int) -> None:
        """One came, of so many bytes. What is due is told with it: else more would have come than was due."""
        self.tally.add(self.stream, Count(bytes_down=size, received=1, due=self._newly_due()))

    def look(self, spent: Spent, bytes_up: int) -> None:
        """So much it is in all by now."""
        count = Count(
            seconds=spent.seconds - self._spent.seconds,
            cents=spent.cents - self._spent.cents,
            bytes_up=bytes_up - self._up,
            due=self._newly_due(),
        )
        self._spent, self._up = spent, bytes_up
        self.tally.add(self.stream, count)

    def _newly_due(self) -> int:
        due = self.due(self.clock() - self._began)
        newly, self._due = due - self._due, due
        return newly
