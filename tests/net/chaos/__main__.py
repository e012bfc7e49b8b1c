"""`make chaos SEED=… FAULTS=…`: random troubles in sequence, each healed after a while. After each healing a fresh
frame must give a fresh result within a bound, and in the end the bill must be right. The simulator's ledger judges.

Exit code 0, 1 when something did not hold, 69 when it could not be tried. The same seed gives the same troubles; how
the kernel schedules, and the dice of the programs themselves, are not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from overshootd.simulator.livekit_child import find_binary
from tests.integration import namespace
from tests.net.chaos.plan import plan
from tests.net.chaos.run import Outcome, Terms, running

TERMS = (
    Terms("leases of 45 s", streams=1, lease=45.0),
    Terms("leases of 12 s", streams=5, lease=12.0, simulate=("--lease-ttl", "12", "--token-ttl", "8")),
    Terms("legacy WebRTC", streams=1, lease=20.0, simulate=("--lease-ttl", "20"), transport="webrtc"),
)
"""Beds side by side. The second one is a night, compressed; in the third each trouble of the video is a new stream."""

FAULTS = 50
UNAVAILABLE = 69


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="a number (default: a new one)")
    parser.add_argument("--faults", type=int, default=FAULTS, help="how many, over all beds (default: %(default)d)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave all logs there")
    arguments = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    if os.geteuid() != 0 and (refused := namespace.refusal()) is not None:
        print(f"chaos: it needs network namespaces: {refused}", file=sys.stderr)
        return UNAVAILABLE
    try:
        find_binary()
    except RuntimeError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return UNAVAILABLE
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="overshootd-chaos-"))
    for bed in range(len(TERMS)):
        _place(folder, bed).mkdir(parents=True, exist_ok=True)
    print(f"chaos: seed {seed}, {arguments.faults} faults on {len(TERMS)} beds", flush=True)
    passed = asyncio.run(_all(seed, arguments.faults, folder))
    if passed and arguments.keep is None:
        shutil.rmtree(folder)
    else:
        print(f"chaos: all logs are in {folder}")
    return 0 if passed else 1


def _place(folder: Path, bed: int) -> Path:
    """Where a bed keeps its logs."""
    return folder / f"bed-{bed}"


async def _all(seed: int, faults: int, folder: Path) -> bool:
    """Whether all held."""
    began = time.monotonic()
    shares = [faults * (number + 1) // len(TERMS) - faults * number // len(TERMS) for number in range(len(TERMS))]
    outcomes = await asyncio.gather(
        *(_one(seed, bed, count, _place(folder, bed), began) for bed, count in enumerate(shares) if count)
    )
    failures = [failure for outcome in outcomes for failure in outcome.failures]
    took = sorted(seconds for outcome in outcomes for seconds in outcome.took)
    print(f"chaos: {faults} faults in {time.monotonic() - began:.0f} s; fresh results after {_spread(took)}")
    for failure in failures:
        print(f"chaos: FAILED: {failure}")
    print(f"chaos: seed {seed} {'failed' if failures else 'passed'}", flush=True)
    return not failures


async def _one(seed: int, bed: int, count: int, folder: Path, began: float) -> Outcome:
    """One bed from start to end; what went wrong with the bed itself is a failure too."""
    terms, tell = TERMS[bed], _teller(TERMS[bed].name, began)
    outcome = Outcome()
    try:
        async with running(terms, folder, tell) as run:
            tell("live")
            outcome = run.outcome
            await run.go_through(plan(seed, bed, count))
    except* (AssertionError, TimeoutError, OSError) as group:
        for error in _leaves(group):
            tell(f"{type(error).__name__}: {error}")
            outcome.failures.append(f"{terms.name}: {type(error).__name__}: {error}")
    for name, part in outcome.shares.items():
        tell(f"results received of those due, {name}: {part:.1%}")
    for name, value in outcome.facts.items():
        tell(f"{name}: {value}")
    return outcome


def _teller(name: str, began: float) -> Callable[[str], None]:
    return lambda what: print(f"{time.monotonic() - began:6.1f} s  {name}  {what}", flush=True)


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _spread(took: list[float]) -> str:
    if not took:
        return "nothing"
    return f"{took[len(took) // 2]:.1f} s (median), {took[-1]:.1f} s (longest)"


if __name__ == "__main__":
    sys.exit(main())
