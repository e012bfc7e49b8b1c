"""The one thread that touches the disk: a card that stalls for seconds stalls neither media nor keepalives."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar, TypeVarTuple

from overshootd.errors import SpoolError

T = TypeVar("T")
Args = TypeVarTuple("Args")
Job = tuple["Future[object]", Callable[[], object]]

LIMIT = 1024
"""Jobs that may wait. Every caller awaits its own: so many mean a wedged disk and callers that gave up."""


class Disk:
    """Runs blocking functions one after the other in a thread of its own, in the order in which they were asked for.

    Not a ThreadPoolExecutor: the interpreter joins those at exit, and a wedged disk would hang it.
    """

    def __init__(self, name: str = "disk") -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._ended: Future[None] = Future()
        self._closed = False
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def run(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """Run it and return what it returns, or raise what it raises. Raises SpoolError when too many jobs wait.

        Cancelled, a job that waits is dropped, and one under way comes to its own end unseen.
        """
        if self._closed:
            raise SpoolError("the disk's thread is closed")
        if self._jobs.qsize() >= LIMIT:
            raise SpoolError(f"the disk does not answer: {LIMIT} jobs wait for it")
        future: Future[T] = Future()
        self._jobs.put((future, lambda: function(*args)))  # type: ignore[arg-type]  # Future is invariant
        return await asyncio.wrap_future(future)

    async def close(self, within: float) -> bool:
        """Let what waits be done. False when `within` seconds did not suffice; then the thread is left behind."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        ended = asyncio.wrap_future(self._ended)
        done, _ = await asyncio.wait([ended], timeout=within)
        return bool(done)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            _do(*job)
            del job  # or the last result would live until the next job
        self._ended.set_result(None)


def _do(future: Future[object], call: Callable[[], object]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001  # it is raised where the job is awaited
        future.set_exception(error)
    else:
        future.set_result(result)
