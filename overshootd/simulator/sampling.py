"""From frames that arrive to the samples an inference looks at. Pure but for the measuring; time comes in, in seconds.

Memory is bounded: at most one decoded picture is held, and clips keep measurements, never pictures.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from overshootd.simulator.media import ArrivedFrame
from overshootd.simulator.model import Sample, Thumb, measure
from overshootd.simulator.requests import ClipMode, FrameMode


class Sampler(Protocol):
    def arrived(self, frame: ArrivedFrame, count: int) -> None:
        """Take in the `count`-th frame."""

    def sample(self, now: float) -> list[Sample]:
        """What an inference at `now` (`time.time()`) sees, oldest first; empty when nothing is there."""

    def clear(self) -> None:
        """Forget what arrived, as a restarted server would."""


def sampler(processing: FrameMode | ClipMode) -> Sampler:
    match processing:
        case FrameMode():
            return NewestFrame()
        case ClipMode():
            return RecentClip(processing.length, processing.target_fps)


class NewestFrame:
    """Frame mode: the newest frame, decoded and measured only when it is sampled."""

    def __init__(self) -> None:
        self._newest: tuple[ArrivedFrame, int] | None = None
        self._last: Sample | None = None
        self._thumb: Thumb | None = None

    def arrived(self, frame: ArrivedFrame, count: int) -> None:
        self._newest = (frame, count)

    def sample(self, now: float) -> list[Sample]:
        if self._newest is not None:
            frame, count = self._newest
            self._last, self._thumb = measure(frame.luma(), self._thumb, count, frame.arrived)
        return [] if self._last is None else [self._last]

    def clear(self) -> None:
        self._newest = self._last = None


class RecentClip:
    """Clip mode: up to `target_fps` x `length` frames, evenly spread over the last `length` seconds."""

    def __init__(self, length: float, target_fps: int) -> None:
        self._length = length
        self._step = 1 / target_fps
        self._slots = max(1, round(length * target_fps))
        # Frames are taken in at up to twice the target rate, so that an uneven publisher leaves no slot empty.
        self._history: deque[Sample] = deque(maxlen=2 * self._slots + 2)
        self._thumb: Thumb | None = None

    def arrived(self, frame: ArrivedFrame, count: int) -> None:
        if self._history and frame.arrived - self._history[-1].arrived < self._step / 2:
            return
        sample, self._thumb = measure(frame.luma(), self._thumb, count, frame.arrived)
        self._history.append(sample)

    def sample(self, now: float) -> list[Sample]:
        """For each slot the newest frame in it that no later slot has; slots without a frame stay empty."""
        chosen: dict[int, Sample] = {}
        for sample in self._history:
            slot = self._slots - 1 - int((now - sample.arrived) / self._step)
            if 0 <= slot < self._slots:
                chosen[slot] = sample
        return list(chosen.values())

    def clear(self) -> None:
        self._history.clear()
