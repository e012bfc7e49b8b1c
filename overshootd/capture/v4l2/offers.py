"""What a video device offers, as plain values; of a range of sizes or rates those that somebody may want. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SIZES = (
    (160, 120), (176, 144), (320, 180), (320, 240), (352, 288), (640, 360), (640, 480), (800, 600), (960, 540),
    (1024, 768), (1280, 720), (1280, 960), (1600, 1200), (1920, 1080), (2560, 1440), (3840, 2160),
)  # fmt: skip
RATES = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0, 60.0)
"""What cameras that list theirs offer, and people ask for."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Pictures of one layout and size. `fourcc` is V4L2's four letters (the kernel's videodev2.h).

    `rates` are frames per second, rising; none when the driver does not say.
    """

    fourcc: str
    width: int
    height: int
    rates: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Pixels from `low` to `high`, `step` apart."""

    low: int
    high: int
    step: int

    def above(self, wanted: int) -> int:
        """The nearest member that is not less; the highest when there is none."""
        step = max(self.step, 1)
        highest = self.low + (self.high - self.low) // step * step
        return min(self.low + max(-(-(wanted - self.low) // step), 0) * step, highest)


def sizes_within(width: Span, height: Span, wanted: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sizes that a driver of any size is asked about: the usual ones, the nearest above each `wanted`, the largest."""
    usual = [size for size in SIZES if (width.above(size[0]), height.above(size[1])) == size]
    nearest = [(width.above(wide), height.above(high)) for wide, high in (*wanted, (width.high, height.high))]
    return sorted({*usual, *nearest})


def rates_within(low: float, high: float, wanted: Iterable[float]) -> tuple[float, ...]:
    """Rates for a driver of any rate between two: both ends, the usual ones, and the `wanted` that lie between."""
    return tuple(sorted({low, high, *(rate for rate in (*RATES, *wanted) if low <= rate <= high)}))
