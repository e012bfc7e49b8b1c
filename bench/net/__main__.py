"""`make bench-net`: for how long nothing arrives in each kind of trouble, of the daemon and of the SDK alone beside it,
and what recoveries leave behind. Exit code 0, or 69 when it could not measure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.figures import markdown
from bench.net.figures import HEAD, Line, held
from bench.net.pair import pair
from bench.net.troubles import ALL, Measured
from bench.process import Failure
from overshootd.simulator.livekit_child import find_binary
from tests.integration import namespace

RECOVERIES, HURRIED_RECOVERIES = 300, 90
RECOVERIES_SECONDS = 600.0
UNAVAILABLE = 69


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.net", description=__doc__)
    parser.add_argument("--only", action="append", choices=[*ALL, "memory"], help="may be repeated (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer of each: five minutes instead of half an hour")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there too")
    arguments = parser.parse_args()
    if os.geteuid() != 0 and (refused := namespace.refusal()) is not None:
        print(f"bench: it needs network namespaces: {refused}", file=sys.stderr)
        return UNAVAILABLE
    try:
        find_binary()
        lines = asyncio.run(_measured(arguments.only or [*ALL, "memory"], arguments.quick))
    except (Failure, RuntimeError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return UNAVAILABLE
    print(markdown([HEAD, *(line.cells() for line in lines)]))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(line) | {"met": line.met} for line in lines], indent=1) + "\n")
    return 0


async def _measured(what: Sequence[str], hurried: bool) -> list[Line]:
    lines = []
    with tempfile.TemporaryDirectory(prefix="overshootd-bench-") as folder:
        for name, group in ALL.items():
            if name in what:
                wanted = [one for one in group if _times(one, hurried)]
                lines += await asyncio.gather(*(_line(one, _times(one, hurried), Path(folder)) for one in wanted))
    if "memory" in what:
        lines += [line async for line in _memory(HURRIED_RECOVERIES if hurried else RECOVERIES)]
    return lines


def _times(one: Measured, hurried: bool) -> int:
    return one.hurried if hurried else one.times


async def _line(one: Measured, times: int, folder: Path) -> Line:
    beds = min(one.beds, times)
    shares = [times * (number + 1) // beds - times * number // beds for number in range(beds)]
    both = await asyncio.gather(*(_on_bed(one, share, folder) for share in shares))
    took = [pair for share in both for pair in share]
    return Line(one.name, [ours for ours, _ in took], [theirs for _, theirs in took], one.target)


async def _on_bed(one: Measured, times: int, parent: Path) -> list[tuple[float, float]]:
    took = []
    folder = Path(tempfile.mkdtemp(dir=parent))
    async with pair(folder) as bed:
        async for ours, theirs in one.on(bed, times):
            _say(f"{one.name}: {ours:.2f} s, the SDK alone {theirs:.2f} s")
            took.append((ours, theirs))
    return took


async def _memory(count: int) -> AsyncIterator[Line]:
    """One process after the other."""
    _say(f"{count} recoveries by a new Room, {count} in the same Room, {count} Rooms of the SDK alone")
    told = {way: await _recoveries(way, count) for way in ("new-room", "rejoin", "alone")}
    for line in held(told, count):
        yield line


async def _recoveries(way: str, count: int) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.net.recoveries", way, str(count)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(RECOVERIES_SECONDS):
            said, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise Failure(f"recoveries by {way}: {log.decode().splitlines()[-1]}")
    grown: dict[str, float] = json.loads(said)
    return grown


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
