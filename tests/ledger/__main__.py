"""`make ledger RUNS=… SEED=…`: results are numbered where they are sent, and looked for in the file and at a broker,
while the daemon is killed, the broker restarts and the disk fills up at random.

Exit code 0, 1 when something was lost, 69 when it could not be tried. The same seed gives the same troubles at the
same moments; what the programs are about just then is not in it. Of several runs each has the next seed.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.integration import namespace
from tests.ledger.disk import NoDisk
from tests.ledger.plan import plan
from tests.ledger.run import run

RUNS = 1
UNAVAILABLE = 69


def main() -> int:
    parser = argparse.ArgumentParser(prog="ledger", description=__doc__)
    parser.add_argument("--seed", type=int, help="a number (default: a new one)")
    parser.add_argument("--runs", type=int, default=RUNS, help="how many, one after the other (default: %(default)d)")
    parser.add_argument("--without-broker", action="store_true", help="files alone")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave all logs there")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and so end and unmount what was begun
    if (refused := namespace.refusal()) is not None:
        print(f"ledger: media needs a network namespace: {refused}", file=sys.stderr)
        return UNAVAILABLE
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="overshootd-ledger-"))
    seeds = range(seed, seed + arguments.runs)
    try:
        failed = [number for number in seeds if not _one(number, folder, not arguments.without_broker)]
    except NoDisk as error:
        print(f"ledger: it needs a small filesystem of its own: {error}", file=sys.stderr)
        return UNAVAILABLE
    which = f"; failed: {failed}" if failed else ""
    print(f"ledger: {arguments.runs - len(failed)} of {arguments.runs} runs passed{which}")
    if failed or arguments.keep:
        print(f"ledger: all logs are in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if failed else 0


def _one(seed: int, parent: Path, with_broker: bool) -> bool:
    """Whether nothing was lost. Raises NoDisk."""
    began = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  seed {seed}  {what}", flush=True)

    folder = parent / f"seed-{seed}"
    try:
        wrong = asyncio.run(run(plan(seed, broker=with_broker), folder, with_broker=with_broker, tell=tell))
    except* (AssertionError, TimeoutError, OSError) as group:
        wrong = [f"{type(error).__name__}: {error}" for error in group.exceptions]
    for what in wrong:
        tell(f"FAILED: {what}")
    tell("failed" if wrong else "passed")
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
