"""What a sink has of a stream: everything up to a floor, and spans beyond it that went ahead of a backlog. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

SPANS = 32
"""Kept at most. The oldest beyond that are taken for undelivered: they go out twice, with the same `uid`."""


@dataclass(frozen=True, slots=True)
class Progress:
    """All `seq` up to `floor` are delivered, and those within `spans` (both ends included, in order, apart)."""

    floor: int = 0
    spans: tuple[tuple[int, int], ...] = ()

    def having(self, first: int, last: int) -> Progress:
        """The same, with `first` to `last` delivered too."""
        floor = self.floor
        kept: list[tuple[int, int]] = []
        for begin, end in sorted((*self.spans, (first, last))):
            if begin <= floor + 1:
                floor = max(floor, end)
            elif kept and begin <= kept[-1][1] + 1:
                kept[-1] = (kept[-1][0], max(kept[-1][1], end))
            else:
                kept.append((begin, end))
        return Progress(floor, tuple(kept[-SPANS:]))

    def gap(self, head: int) -> tuple[int, int] | None:
        """The first `seq` to `head` that are not delivered yet, both ends included; None when all are."""
        return self.gap_after(0, head)

    def gap_after(self, after: int, head: int) -> tuple[int, int] | None:
        """The same, but behind `after`."""
        at = max(after, self.floor)
        for first, last in self.spans:
            if first > at + 1:
                return (at + 1, min(first - 1, head)) if at < head else None
            at = max(at, last)
        return (at + 1, head) if at < head else None

    @property
    def top(self) -> int:
        """The highest that is delivered."""
        return self.spans[-1][1] if self.spans else self.floor

    def text(self) -> str:
        """The spans as the spool keeps them beside the floor."""
        return json.dumps(self.spans, separators=(",", ":")) if self.spans else ""


def progress(floor: int, text: str) -> Progress:
    """The inverse of `Progress.text`. Raises ValueError."""
    spans: Iterable[tuple[int, int]] = json.loads(text) if text else ()
    return Progress(floor, tuple((int(first), int(last)) for first, last in spans))
