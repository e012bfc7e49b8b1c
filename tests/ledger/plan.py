"""What will happen in a run, from a seed. Pure: the same seed gives the same troubles at the same moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

SPAN = 16.0
"""Seconds in which troubles begin."""


STAGES = (200, 64_000)
"""kB: the first is full after some results."""


class Kind(StrEnum):
    KILLED = "daemon killed"
    BROKER_STOPPED = "broker stopped"
    BROKER_KILLED = "broker killed"
    BROKER_FORGETS = "broker without its persistence"
    CUT = "connections cut"
    FULL = "results full"
    READ_ONLY = "results read-only"
    STATE_FULL = "state full"


class State(StrEnum):
    """Where `state_dir` is."""

    ELSEWHERE = "elsewhere"
    SMALL = "on a small disk of its own"
    SHARED = "beside the results"


@dataclass(frozen=True, slots=True)
class Lane:
    """Troubles that come one after the other, with so many seconds between; and how long each lasts."""

    kinds: Sequence[Kind]
    between: tuple[float, float]
    lasts: tuple[float, float]


DAEMON = Lane([Kind.KILLED], between=(2.0, 6.0), lasts=(0.0, 0.0))
BROKER = Lane(
    [Kind.BROKER_STOPPED, Kind.BROKER_KILLED, Kind.BROKER_FORGETS, Kind.CUT], between=(1.0, 4.0), lasts=(0.0, 3.0)
)
RESULTS = Lane([Kind.FULL, Kind.READ_ONLY], between=(1.0, 4.0), lasts=(1.0, 4.0))
RESULTS_AND_STATE = Lane([Kind.FULL], between=(1.0, 4.0), lasts=(1.0, 4.0))
STATE = Lane([Kind.STATE_FULL], between=(2.0, 6.0), lasts=(1.0, 4.0))


@dataclass(frozen=True, slots=True)
class Trouble:
    """`after` seconds without one, then this for `seconds`. A disk that is full has `left` bytes."""

    kind: Kind
    after: float
    seconds: float
    left: int

    def __str__(self) -> str:
        return f"{self.kind} for {self.seconds:g} s" if self.seconds else str(self.kind)


@dataclass(frozen=True, slots=True)
class Plan:
    """Lanes go on beside each other."""

    state: State
    sync_seconds: float
    rotate_bytes: int
    lanes: tuple[tuple[Trouble, ...], ...]
    stage_kb: int | None = None
    """How large the tmpfs is where the daemon stages what is new. None: it does not."""

    def __str__(self) -> str:
        stage = "none" if self.stage_kb is None else f"{self.stage_kb} kB"
        return (
            f"state_dir {self.state}, sync_seconds {self.sync_seconds:g}, rotate_bytes {self.rotate_bytes}, "
            f"stage {stage}"
        )


def plan(seed: int, *, broker: bool = True, span: float = SPAN) -> Plan:
    dice = Random(seed)
    state = dice.choice(list(State))
    lanes = [DAEMON, RESULTS_AND_STATE if state is State.SHARED else RESULTS]
    lanes += [BROKER] * broker + [STATE] * (state is State.SMALL)
    return Plan(
        state,
        dice.choice([0.5, 2.0, 5.0, 10.0]),
        dice.choice([20_000, 10_000_000]),
        tuple(tuple(_troubles(lane, dice, span)) for lane in lanes),
        dice.choice([None, *STAGES]),
    )


def _troubles(lane: Lane, dice: Random, span: float) -> Sequence[Trouble]:
    found: list[Trouble] = []
    at = 0.0
    while (after := round(dice.uniform(*lane.between), 2)) + at < span:
        seconds = round(dice.uniform(*lane.lasts), 2)
        found.append(Trouble(dice.choice(lane.kinds), after, seconds, dice.choice([0, 0, 1000, 5000])))
        at += after + seconds
    return found
