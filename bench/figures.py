"""What the runs mean: ratios beside the targets. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from bench.runs import Cost

MB_A_DAY = 86_400 / 1e6
HEAD = ("figure", "ours", "compared with", "theirs", "ratio", "target", "")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: `value` is what the target is about (a ratio or a difference) and must not exceed `target`."""

    name: str
    ours: str
    than: str
    theirs: str
    value: float
    target: float | None
    unit: str = "x"

    @property
    def met(self) -> bool | None:
        """None where there is no target."""
        return None if self.target is None else self.value <= self.target

    def cells(self) -> tuple[str, ...]:
        target = "" if self.target is None else f"≤ {_number(self.target, self.unit)}"
        verdict = {None: "", True: "met", False: "missed"}[self.met]
        return self.name, self.ours, self.than, self.theirs, _number(self.value, self.unit), target, verdict


def costs(ours: Cost, everything: Cost, bare: Cost) -> list[Figure]:
    """Of the same pictures, in the steady state."""
    all_, rate = "SDK, 30 fps, 2 Mbit/s", "SDK at our rate"
    return [
        Figure("CPU", _cpu(ours), all_, _cpu(everything), ours.cpu / everything.cpu, 1 / 5),
        Figure("CPU", _cpu(ours), rate, _cpu(bare), ours.cpu / bare.cpu, 1.2),
        Figure("uplink", _up(ours), all_, _up(everything), ours.up / everything.up, 1 / 10),
        Figure("uplink", _up(ours), rate, _up(bare), ours.up / bare.up, None),
        Figure("SSIM", f"{ours.ssim:.4f}", all_, f"{everything.ssim:.4f}", everything.ssim - ours.ssim, 0.02, "less"),
        Figure("memory (RSS)", _memory(ours), rate, _memory(bare), ours.memory - bare.memory, 30, "MB"),
    ]


def data(name: str, cost: Cost) -> Figure:
    """Both directions: a data plan counts both."""
    day = (cost.up + cost.down) * MB_A_DAY
    parts = f"{cost.up * MB_A_DAY:.0f} up, {cost.down * MB_A_DAY:.0f} down"
    return Figure(name, parts, "", "", day, 400, "MB/day")


def age(seconds: Sequence[float], interval: float) -> Figure:
    """`interval` in seconds between published frames; the target is 50 ms more.

    The simulator's clock begins with a frame's arrival, so what it samples is as old as the way is long; one whose
    clock stands elsewhere sees frames up to an interval older.
    """
    p95 = sorted(seconds)[ceil(0.95 * len(seconds)) - 1]
    than = "publish interval"
    return Figure("age when sampled, p95", f"{p95:.3f} s", than, f"{interval:g} s", p95 - interval, 0.05, "s")


def start(name: str, seconds: float) -> Figure:
    return Figure(f"READY=1, {name}", f"{seconds:.2f} s", "", "", seconds, 1.5, "s")


def table(figures: Sequence[Figure]) -> str:
    """Markdown."""
    return markdown([HEAD, *(figure.cells() for figure in figures)])


def markdown(rows: Sequence[tuple[str, ...]]) -> str:
    """A table whose first row is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _cpu(cost: Cost) -> str:
    return f"{cost.cpu:.2%} of a core"


def _up(cost: Cost) -> str:
    return f"{cost.up / 125:.0f} kbit/s"


def _memory(cost: Cost) -> str:
    return f"{cost.memory:.0f} MB"


def _number(value: float, unit: str) -> str:
    match unit:
        case "x":
            return f"{value:.3f}"
        case "less":
            return f"{value:+.4f}"
        case "s":
            return f"{value:.3f} s"
        case _:
            return f"{value:.0f} {unit}"
