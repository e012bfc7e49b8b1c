"""What will happen, from a seed. Pure: the same seed gives the same troubles, for as long, in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tests.net.chaos.kinds import KINDS, Kind

TOGETHER = 0.2
"""How often a second trouble, of another layer, comes with the first."""

QUIET = 1.5, 4.0
"""Seconds in which all is well before the next."""


@dataclass(frozen=True)
class Trouble:
    """One of a kind, with all that is open about it decided."""

    kind: Kind
    seconds: float
    seed: int

    def __str__(self) -> str:
        return f"{self.kind.name} {self.seconds:.1f} s" if self.seconds else self.kind.name


@dataclass(frozen=True)
class Step:
    """Troubles that begin at once, after `quiet` seconds; it is healed when all of them are."""

    quiet: float
    troubles: tuple[Trouble, ...]

    @property
    def bound(self) -> float:
        """Seconds from healing to a fresh result."""
        return max(trouble.kind.bound for trouble in self.troubles)

    def __str__(self) -> str:
        return " + ".join(map(str, self.troubles))


def plan(seed: int, bed: int, count: int) -> list[Step]:
    """`count` troubles for a bed. All kinds come before any comes again."""
    dice = Random(f"{seed}/{bed}")
    deck = _dealt(dice)
    steps: list[Step] = []
    while (left := count - sum(len(step.troubles) for step in steps)) > 0:
        first = next(deck)
        kinds: Sequence[Kind] = (first,)
        if left > 1 and dice.random() < TOGETHER:
            kinds = (first, dice.choice([kind for kind in KINDS if kind.layer is not first.layer]))
        troubles = tuple(
            Trouble(kind, round(dice.uniform(kind.shortest, kind.longest), 1), dice.getrandbits(32)) for kind in kinds
        )
        steps.append(Step(round(dice.uniform(*QUIET), 1), troubles))
    return steps


def _dealt(dice: Random) -> Iterator[Kind]:
    while True:
        yield from dice.sample(KINDS, len(KINDS))
