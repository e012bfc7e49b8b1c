"""The first frame of a track."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from overshootd.contracts import Media
from overshootd.errors import Transient

FIRST_SECONDS = 20.0
"""For the first frame after the join, which is paid for: network cameras are sold with 10 s between keyframes."""


async def within_reach(first: Callable[[], Awaitable[Media]]) -> Media:
    """What `first` gives. Raises Transient when that takes too long, and what it does."""
    try:
        async with asyncio.timeout(FIRST_SECONDS):
            return await first()
    except TimeoutError as error:
        raise Transient(
            f"the camera gave nothing to begin with for {FIRST_SECONDS:g} s; "
            "if it encodes, let it send a keyframe every 2 s"
        ) from error
