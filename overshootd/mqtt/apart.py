"""A thread for what blocks as long as a resolver likes: asyncio's default executor is a small pool for everybody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def apart(function: Callable[[], T], undo: Callable[[], None] = lambda: None) -> T:
    """Run it in a thread of its own. Raises what it raises.

    Cancelled, it is left behind; once it comes to its end, `undo` is called in the event loop.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def returned(value: T) -> None:
        if future.cancelled():
            undo()
        else:
            future.set_result(value)

    def raised(error: BaseException) -> None:
        if not future.cancelled():
            future.set_exception(error)

    def work() -> None:
        with suppress(RuntimeError):  # the loop is closed: the process ends
            try:
                value = function()
            except BaseException as error:  # noqa: BLE001 (raised where it is awaited)
                loop.call_soon_threadsafe(raised, error)
            else:
                loop.call_soon_threadsafe(returned, value)

    threading.Thread(target=work, name="mqtt connect", daemon=True).start()
    return await future
