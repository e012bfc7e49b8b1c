"""What a sink has of a stream: everything up to a floor, and spans beyond it that went ahead of a backlog. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SPANS = 128
"""Kept at most, in some 2 kB. Beyond that the shortest are taken for undelivered: they go out twice, with the same
`uid`. It takes a link that is too slow for so many jumps of the live lane (lanes.py)."""


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
        while len(kept) > SPANS:
            kept.remove(min(kept[:-1], key=_length))  # never the newest, which has only begun
        return Progress(floor, tuple(kept))

    def contains(self, seq: int) -> bool:
        return seq <= self.floor or any(first <= seq <= last for first, last in self.spans)

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

    def beyond(self, other: Progress) -> Iterator[tuple[int, int]]:
        """What is delivered here and was not there, both ends included."""
        for first, last in ((1, self.floor), *self.spans):
            at = first - 1
            while (gap := other.gap_after(at, last)) is not None:
                yield gap
                at = gap[1]

    def joined(self, other: Progress) -> Progress:
        """What is delivered here or there."""
        has = self
        for gap in other.beyond(self):
            has = has.having(*gap)
        return has

    def waiting(self, head: int) -> int:
        """How many `seq` to `head` are not delivered yet."""
        return max(head - self.floor, 0) - sum(max(min(last, head) - first + 1, 0) for first, last in self.spans)

    @property
    def top(self) -> int:
        """The highest that is delivered."""
        return self.spans[-1][1] if self.spans else self.floor

    def text(self) -> str:
        """The spans as the spool keeps them beside the floor."""
        return json.dumps(self.spans, separators=(",", ":")) if self.spans else ""


def _length(span: tuple[int, int]) -> int:
    return span[1] - span[0]


def progress(floor: int, text: str) -> Progress:
    """The inverse of `Progress.text`. Of spans that make no sense none counts: they are delivered once more."""
    try:
        spans: Iterable[tuple[int, int]] = json.loads(text) if text else ()
        return Progress(floor, tuple((int(first), int(last)) for first, last in spans))
    except (ValueError, TypeError):
        return Progress(floor)
