"""The fault scenario file: a YAML list of `{at: seconds, fault: …, …}`, played from the moment the simulator serves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from overshootd.simulator.faults import ANY, AnyFault, mistakes

MAX_ENTRIES = 10_000


class ScenarioError(Exception):
    """The file cannot be played; one line a mistake."""


@dataclass(frozen=True, slots=True)
class Timed:
    at: float
    fault: AnyFault


def load(path: Path) -> list[Timed]:
    """The file's entries by time. Raises ScenarioError that names file, entry and key."""
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    return parse(entries, str(path))


def parse(entries: Any, name: str) -> list[Timed]:
    """As `load`, of a value that was read already; `name` stands in messages."""
    if not isinstance(entries, list) or len(entries) > MAX_ENTRIES:
        raise ScenarioError(f"{name}: is not a list of at most {MAX_ENTRIES} entries like {{at: 5, fault: deploy}}")
    timed: list[Timed] = []
    wrong: list[str] = []
    for number, entry in enumerate(entries, 1):
        found = _entry(entry)
        if isinstance(found, Timed):
            timed.append(found)
        else:
            wrong += [f"{name}: entry {number}: {line}" for line in found]
    if wrong:
        raise ScenarioError("\n".join(wrong))
    return sorted(timed, key=lambda one: one.at)


async def play(scenario: Iterable[Timed], apply: Callable[[AnyFault], Awaitable[None]]) -> None:
    """Apply each fault at its time after now; later where the one before took longer."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for timed in scenario:
        await asyncio.sleep(start + timed.at - loop.time())
        await apply(timed.fault)


def _entry(entry: Any) -> Timed | list[str]:
    if not isinstance(entry, dict):
        return ["is not a mapping like {at: 5, fault: deploy}"]
    at = entry.get("at", 0)
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < float("inf"):
        return [f"at: {at!r} is not a number of seconds"]
    try:
        return Timed(float(at), ANY.validate_python({key: value for key, value in entry.items() if key != "at"}))
    except ValidationError as error:
        return mistakes(error)
