"""How much a lane gives at a time, and how far it lags. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

BATCH_ROWS, BATCH_BYTES = 256, 256 * 1024
"""What a sink is given at a time, at most."""

MARK_SECONDS = 0.1
MARKS = 128
"""What is known of arrivals: to a tenth of a second, some 13 s back."""


@dataclass(slots=True)
class Portion:
    """`rows` are given at a time: as many, up to `most`, as a sink takes in `seconds`, for a batch is delivered as a
    whole: what comes next waits for it, and one that takes longer than a connection holds would never be delivered.

    Without `seconds` it is `most`: a sink that is given the same lines again may know how far it came.
    """

    rows: int
    most: int
    seconds: float | None = None

    def took(self, count: int, seconds: float) -> None:
        """So many were taken, in so many seconds."""
        if self.seconds is None:
            self.rows = self.most
        elif seconds > self.seconds:
            self.rows = max(1, min(count, self.rows) // 2)
        elif count >= self.rows and seconds < self.seconds / 4:
            self.rows = min(self.rows * 2, self.most)

    def failed(self) -> None:
        """They were not taken, and nobody knows how many would have been."""
        if self.seconds is not None:
            self.rows = max(1, self.rows // 2)

    def split(self, count: int) -> None:
        """One of so many is refused: find it."""
        self.rows = max(1, count // 2)


@dataclass(slots=True)
class Arrivals:
    """When records came. Times are monotonic seconds."""

    _marks: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=MARKS))

    def came(self, seq: int, now: float) -> None:
        """All up to `seq` are there now."""
        if len(self._marks) > 1 and now - self._marks[-2][1] < MARK_SECONDS:
            self._marks.pop()
        self._marks.append((seq, now))

    def age(self, seq: int, now: float) -> float:
        """How long `seq` has been there at least."""
        age = 0.0
        for mark, at in reversed(self._marks):  # mostly it is about the newest
            if mark < seq:
                break
            age = now - at
        return age
