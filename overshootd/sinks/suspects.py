"""Records that a sink refuses: when each is tried again, and what goes ahead of it meanwhile. Pure.

Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from overshootd.sinks.progress import SPANS, Progress

TIMES, PATIENCE_SECONDS = 10, 3600.0
"""A record that is refused by itself so many times, and for so long, is passed over."""

FEW = 4
"""So many are stepped over at a time: a receiver that refuses everything shall not cost more records than that in each
PATIENCE_SECONDS."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A record that was refused by itself, so many `times` since `since`; not to be given before `due`."""

    seq: int
    since: float
    times: int
    due: float
    why: str

    def is_hopeless(self, now: float) -> bool:
        return self.times >= TIMES and now - self.since >= PATIENCE_SECONDS


@dataclass(slots=True)
class Suspects:
    """Those of one sink that it does not have."""

    _by_seq: dict[int, Suspect] = field(default_factory=dict)

    def refused(self, seq: int, now: float, why: str) -> Suspect:
        """This one was, now, by itself."""
        before = self._by_seq.pop(seq, Suspect(seq, now, 0, now, why))
        self._by_seq[seq] = suspect = replace(before, times=before.times + 1, due=now, why=why)
        return suspect

    def put_off(self, seq: int, due: float) -> None:
        """Give it no more before then."""
        self._by_seq[seq] = replace(self._by_seq[seq], due=due)

    def gave(self, first: int, last: int) -> None:
        """The sink has these, or they were passed over."""
        for seq in [seq for seq in self._by_seq if first <= seq <= last]:
            del self._by_seq[seq]

    def gap(self, given: Progress, upto: int, now: float) -> tuple[int, int] | None:
        """What to give next of all up to `upto`, both ends included: a suspect that is due, or the first that is not
        given beside those that are not. None: nothing, before `due(upto)`.

        Nothing is stepped over where too many are suspects, or `given` has hardly room for more spans.
        """
        for suspect in self._by_seq.values():
            if suspect.due <= now and suspect.seq <= upto:
                return suspect.seq, suspect.seq
        if len(self._by_seq) > FEW or (self._by_seq and len(given.spans) > SPANS - 2 * FEW):
            return None
        after = 0
        for seq in sorted(self._by_seq):
            if (gap := given.gap_after(after, min(seq - 1, upto))) is not None:
                return gap
            after = seq
        return given.gap_after(after, upto)

    def due(self, upto: int) -> float | None:
        """When the first of those up to `upto` is; None when there are none."""
        return min((suspect.due for suspect in self._by_seq.values() if suspect.seq <= upto), default=None)

    @property
    def why(self) -> str:
        """Why the one that was refused last was."""
        return next((suspect.why for suspect in reversed(self._by_seq.values())), "")
