"""What was measured, as lines of a table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

HEAD = ("figure", "ours", "compared with", "theirs", "ratio", "target", "")


@dataclass(frozen=True, slots=True)
class Line:
    """`value` is what the target is about; it is the ratio where `theirs` is compared with."""

    name: str
    ours: str
    value: float
    than: str = ""
    theirs: str = ""
    ratio: float | None = None
    target: float | None = None
    bound: Literal["≤", "≥"] = "≤"
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """None where there is no target."""
        if self.target is None:
            return None
        return self.value <= self.target if self.bound == "≤" else self.value >= self.target

    def cells(self) -> tuple[str, ...]:
        target = "" if self.target is None else f"{self.bound} {self.target:,g} {self.unit}".rstrip()
        verdict = {None: "", True: "met", False: "missed"}[self.met]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return self.name, self.ours, self.than, self.theirs, ratio, target, verdict


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank."""
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]
