"""Whatever fails, and whenever it is killed: each record arrives, and in order within its lane."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from overshootd.sinks import lanes
from overshootd.sinks.spool import Spool
from tests.integration.delivery_lab import NEVER, PATIENCE, Running, Wire, append, begin, opened

SEEDS = range(12)
LIVES = 4
STEPS = 12


@dataclass
class Life:
    """One run of the process: what its sink was given, and how often something failed."""

    wire: Wire
    failures: int = 0


def failing(life: Life, chance: Random, probability: float) -> None:
    def fails() -> bool:
        if chance.random() >= probability:
            return False
        life.failures += 1
        return True

    life.wire.fails = fails


async def live(spool: Spool, life: Life, chance: Random, *, last: bool) -> None:
    """Records come, things fail, and then it is killed, or stopped."""
    failing(life, chance, chance.choice([0.0, 0.1, 0.5]))
    running = begin(spool, life.wire, sync_seconds=chance.choice([0.001, 0.02, NEVER]))
    for _ in range(STEPS):
        await append(spool, chance.choice([1, 2, 5, 40, 300]))
        life.wire.seconds = chance.choice([0.0, 0.0, 0.001])
        life.wire.down = chance.random() < 0.2
        await asyncio.sleep(chance.random() * 0.02)  # no synchronisation: chance decides where it is cut
    if not last:
        return await running.kill()
    await drained(running, life.wire)


async def drained(running: Running, wire: Wire) -> None:
    wire.down, wire.seconds, wire.fails = False, 0.0, lambda: False
    await wire.until(lambda: running.delivery.now.waiting == 0)
    await running.stop()
    assert running.cursor.settled


async def lived(path: Path, seed: int, *, live_first: bool) -> tuple[list[Life], int]:
    chance = Random(seed)
    lives = [Life(Wire(live_first=live_first)) for _ in range(LIVES)]
    head = 0
    for life in lives:
        async with opened(path) as spool:
            await append(spool, chance.choice([0, 3, 500]))
            await live(spool, life, chance, last=life is lives[-1])
            [cursor] = spool.attach("yard", {"wire": ""})
            await cursor.attach()
            head = cursor.head
    return lives, head


def jumps(seqs: Iterable[int], reached: int) -> list[int]:
    """Those that came before one that is less, or left one out, given that all up to `reached` came before."""
    found = []
    for seq in seqs:
        if seq > reached + 1:
            found.append(seq)
        reached = max(reached, seq)
    return found


def falls(seqs: list[int]) -> int:
    """How often a record came that is less than the one before."""
    return sum(second <= first for first, second in pairwise(seqs))


@pytest.mark.parametrize("seed", SEEDS)
async def test_beside_each_other_both_lanes_deliver_all(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "LAG_SECONDS", 0.02)
    async with asyncio.timeout(3 * PATIENCE):
        lives, head = await lived(tmp_path, seed, live_first=True)
    given = {seq for life in lives for seq in life.wire.seqs}
    assert given == set(range(1, head + 1))
    for life in lives:
        assert falls(life.wire.live) <= life.failures + STEPS, "only an attempt that follows another begins anew"
        assert falls(life.wire.backlog) <= life.failures + STEPS


@pytest.mark.parametrize("seed", SEEDS)
async def test_in_order_none_comes_before_all_that_are_less(tmp_path: Path, seed: int) -> None:
    async with asyncio.timeout(3 * PATIENCE):
        lives, head = await lived(tmp_path, seed, live_first=False)
    seqs = [seq for life in lives for seq in life.wire.seqs]
    assert {*seqs} == set(range(1, head + 1))
    assert jumps(seqs, 0) == []
