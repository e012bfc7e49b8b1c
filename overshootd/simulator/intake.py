"""What has arrived of one stream's video, and so its state as the API reports it. Pure; times are monotonic seconds."""

from __future__ import annotations

from collections import deque

from overshootd.simulator.media import ArrivedFrame

IDLE_AFTER = 10.0
"""Seconds without a frame after which nothing is inferred; a publisher at 0.5 fps sends five frames in that time."""

MAX_LONG_SIDE, MAX_SHORT_SIDE = 1280, 720


class Intake:
    def __init__(self) -> None:
        self.size = (0, 0)
        self._arrivals: deque[float] = deque(maxlen=60)
        self._publishing = False

    def arrived(self, frame: ArrivedFrame, now: float) -> None:
        self.size = (frame.width, frame.height)
        self._arrivals.append(now)
        self._publishing = True

    def left(self) -> None:
        """The publisher left; a further frame means that it is back."""
        self._publishing = False

    def forget(self) -> None:
        """As a restarted server would: nothing has arrived."""
        self._arrivals.clear()
        self._publishing = False

    def state(self, now: float) -> str:
        """`pending` before the first frame, `active` while frames come, `idle` when they stopped."""
        if not self._arrivals:
            return "pending"
        return "active" if self._publishing and now - self._arrivals[-1] <= IDLE_AFTER else "idle"

    def fps(self, now: float) -> float:
        """Arrivals a second over the last ten seconds (or 60 frames)."""
        recent = [arrival for arrival in self._arrivals if now - arrival <= IDLE_AFTER]
        span = recent[-1] - recent[0] if recent else 0.0
        return round((len(recent) - 1) / span, 2) if span > 0 else 0.0

    def effective_size(self) -> tuple[int, int]:
        """The size after the server's 720p cap, even numbers."""
        width, height = self.size
        if not width or not height:
            return 0, 0
        scale = min(1.0, MAX_LONG_SIDE / max(width, height), MAX_SHORT_SIDE / min(width, height))
        return round(width * scale / 2) * 2, round(height * scale / 2) * 2
