"""The threads that names are resolved in. getaddrinfo cannot be given up: where the resolver is dead, it hangs for as
long as resolv.conf says, 5 to 30 s.

The C library reads an edited resolv.conf again by itself, and nothing of ours keeps its answers: so after a change of
the path it is enough that nobody queues behind the lookups that hang.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
"""For one path. They are started one by one, as lookups are under way at once."""

PATHS = 4
"""So many paths may have lookups that hang; with all their threads busy that is 16."""


class _Threads(ThreadPoolExecutor):
    """Knows whether anything is under way."""

    def __init__(self) -> None:
        super().__init__(THREADS, thread_name_prefix="dns")
        self._under_way: set[Future[Any]] = set()

    @property
    def busy(self) -> bool:
        return bool(self._under_way)

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future = super().submit(function, *args, **kwargs)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future


class Resolver:
    """The event loop's default executor, in which asyncio resolves names, and nothing else may block."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._old: list[_Threads] = []
        self._threads = _Threads()
        loop.set_default_executor(self._threads)

    def renew(self) -> None:
        """The path has changed: new lookups have threads of their own, and those that hang come to their own end.

        Nothing is done where too many paths have lookups that hang already (PATHS).
        """
        self._old = [threads for threads in self._old if threads.busy]
        if self._threads.busy and len(self._old) < PATHS - 1:
            self._old.append(self._threads)
            self._replace()

    def close(self) -> None:
        """Leave lookups that hang behind: the end of the event loop waits for the threads that it has then."""
        if self._threads.busy:
            self._replace()

    def _replace(self) -> None:
        # What waits in there is not cancelled: whoever awaits it would take that for his own cancellation.
        self._threads.shutdown(wait=False)
        self._threads = _Threads()
        self._loop.set_default_executor(self._threads)
