"""`make bench-sinks`: what spool and sinks carry, how late, how much of it wears the disk, and what a backlog costs.
Exit code 0, or 69 when it could not measure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.figures import markdown
from bench.process import Failure
from bench.sinks import records
from bench.sinks.backlog import backlog
from bench.sinks.device import device
from bench.sinks.figures import HEAD, Line
from bench.sinks.latency import latency
from bench.sinks.pipe import STAGE
from bench.sinks.slow import slow
from bench.sinks.throughput import throughput
from tests.integration import namespace
from tests.ledger.disk import NoDisk, small_memory

UNAVAILABLE = 69
STAGE_KB = 64_000
Part = Callable[[Path], Coroutine[Any, Any, list[Line]]]

PARTS: dict[str, Part] = {
    "throughput": lambda folder: throughput(folder, 30.0),
    "latency": lambda folder: latency(folder, 60.0),
    "device": lambda folder: device(folder, 125, 1.0),
    "backlog": lambda folder: backlog(folder, 1_000_000),
    "slow": lambda folder: slow(folder, 120.0),
}
QUICK: dict[str, Part] = {
    "throughput": lambda folder: throughput(folder, 5.0),
    "latency": lambda folder: latency(folder, 10.0),
    "device": lambda folder: device(folder, 500, 50.0),
    "backlog": lambda folder: backlog(folder, 50_000),
    "slow": lambda folder: slow(folder, 20.0),
}
LONG: dict[str, Part] = {"device-hours": lambda folder: device(folder, 5000, 50.0, idle=False)}
"""Only when named."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.sinks", description=__doc__)
    parser.add_argument("--only", action="append", choices=[*PARTS, *LONG], help="may be repeated (default: the first)")
    parser.add_argument("--quick", action="store_true", help="shorter: three minutes instead of twenty")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there too")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and so end and unmount what was begun
    if (refused := namespace.refusal()) is not None:
        print(f"bench: it needs a network namespace: {refused}", file=sys.stderr)
        return UNAVAILABLE
    parts = LONG | (QUICK if arguments.quick else PARTS)
    lines: list[Line] = []
    try:
        for name in arguments.only or PARTS:
            lines += _measured(name, parts[name])
    except (Failure, NoDisk, RuntimeError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return UNAVAILABLE
    print(markdown([HEAD, *(line.cells() for line in lines)]))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(line) | {"met": line.met} for line in lines], indent=1) + "\n")
    return 0


def _measured(name: str, part: Part) -> list[Line]:
    print(f"bench: {name}, of records of {records.size()} bytes", file=sys.stderr, flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="overshootd-bench-") as folder,
        small_memory(Path(folder) / STAGE, STAGE_KB),
    ):
        return asyncio.run(part(Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
