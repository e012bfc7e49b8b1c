"""Ordeals, and how they share beds: a bed's start costs three seconds of a core, an ordeal next to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.net.bed import Bed, site

Ordeal = Callable[[Bed], Awaitable[None]]

BOUND = 110.0
"""Seconds for one ordeal, under pytest's own bound for a test."""


@dataclass(frozen=True)
class Group:
    """Ordeals that one bed goes through, one after the other. `how` is what `site` is to make of it."""

    ordeals: tuple[Ordeal, ...]
    how: Mapping[str, Any] = field(default_factory=dict)


async def go_through(
    group: Group, folder: Callable[[], Path], turn: asyncio.Semaphore, done: Mapping[Ordeal, asyncio.Future[None]]
) -> None:
    """Those of the group that are in `done`, whose futures get what came of them. `folder` makes a new one. After a
    failure the next ordeal begins on a new bed."""
    left = [ordeal for ordeal in group.ordeals if ordeal in done]
    while left:
        try:
            async with turn, site(folder(), **group.how) as bed:
                while True:
                    await _endure(bed, left[0])
                    if len(left) == 1:
                        break
                    done[left.pop(0)].set_result(None)
            done[left.pop(0)].set_result(None)  # the last one's, once the bed has ended well
        except Exception as error:  # noqa: BLE001 (raised where the ordeal's test waits for it)
            done[left.pop(0)].set_exception(error)


async def _endure(bed: Bed, ordeal: Ordeal) -> None:
    async with asyncio.timeout(BOUND):
        await bed.home()
        await ordeal(bed)
