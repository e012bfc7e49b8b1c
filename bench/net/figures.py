"""What was measured, as lines of a table. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

HEAD = ("figure", "times", "median", "p95", "SDK alone: median", "p95", "p95, ours to theirs", "target", "")

NOTHING_MB = 0.05
"""What the memory of a process that does nothing new wanders by, in 300 times."""

NONE_EACH = 0.01
"""Threads or descriptors: fewer than three in 300 times."""


def p95(values: Sequence[float]) -> float:
    """Nearest rank: the worst of fewer than twenty."""
    return sorted(values)[ceil(0.95 * len(values)) - 1]


def median(values: Sequence[float]) -> float:
    """Nearest rank."""
    return sorted(values)[ceil(0.5 * len(values)) - 1]


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: ours, those of the SDK alone (none where it has none), and what the p95 of ours must not exceed.

    Infinity: it never came back. `times`: of how many the one value is the mean, where there is one.
    """

    name: str
    ours: Sequence[float]
    theirs: Sequence[float]
    target: float
    unit: str = "s"
    times: int | None = None

    @property
    def met(self) -> bool:
        return p95(self.ours) <= self.target

    def cells(self) -> tuple[str, ...]:
        theirs = (self._said(median(self.theirs)), self._said(p95(self.theirs))) if self.theirs else ("", "")
        ratio = _ratio(p95(self.ours), p95(self.theirs)) if self.theirs else ""
        ours = self._said(median(self.ours)), self._said(p95(self.ours))
        verdict = "met" if self.met else "missed"
        return (
            self.name,
            str(self.times or len(self.ours)),
            *ours,
            *theirs,
            ratio,
            f"≤ {self.target:g} {self.unit}".rstrip(),
            verdict,
        )

    def _said(self, value: float) -> str:
        return "never" if math.isinf(value) else f"{value:.2f} {self.unit}".rstrip()


def held(grown: Mapping[str, Mapping[str, float]], times: int) -> list[Line]:
    """What a recovery leaves behind, by its way: by a new Room, in the same Room, and of a Room of the SDK alone."""
    new, same, alone = grown["new-room"], grown["rejoin"], grown["alone"]
    lines = [
        Line("a new Room: memory each", [new["memory"]], [alone["memory"]], 0.6, "MB", times),
        Line("the same Room: memory each", [same["memory"]], [], NOTHING_MB, "MB", times),
    ]
    for what in ("threads", "descriptors"):
        lines.append(Line(f"a new Room: {what} each", [new[what]], [alone[what]], NONE_EACH, "", times))
        lines.append(Line(f"the same Room: {what} each", [same[what]], [], NONE_EACH, "", times))
    return lines


def _ratio(ours: float, theirs: float) -> str:
    return "" if math.isinf(theirs) or theirs <= 0 else f"{ours / theirs:.2f}"
