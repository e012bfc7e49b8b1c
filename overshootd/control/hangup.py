"""Whoever asks may be gone before the answer comes: then nobody needs it, and it is not worked on any more."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Coroutine
from typing import Any

LOOK_SECONDS = 0.25
"""From one look to the next. The event loop itself tells of an end of input only, which is no goodbye: `socat` closes
its own side once it has asked, and waits."""


async def unless_gone(answering: Coroutine[Any, Any, bytes], writer: asyncio.StreamWriter) -> bytes:
    """What `answering` returns. It is cancelled once the other end has closed both ways; raises
    ConnectionResetError then."""
    tasks = asyncio.create_task(answering), asyncio.create_task(_gone(writer))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise ConnectionResetError("gone before the answer came")
        return tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _gone(writer: asyncio.StreamWriter) -> None:
    """Return once the other end has closed both ways."""
    connection = writer.get_extra_info("socket")
    while not writer.is_closing() and not _hung_up(connection.fileno()):  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(LOOK_SECONDS)


def _hung_up(descriptor: int) -> bool:
    """poll(2): POLLHUP, which is told whatever was asked for, needs both directions of a stream to be closed."""
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))
