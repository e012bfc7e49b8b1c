"""asyncio.TaskGroup, of which two more things can be relied on before CPython 3.13."""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType

from overshootd.errors import OvershootdError


class TaskGroup(asyncio.TaskGroup):
    """A group that fails leaves its task as it was, and a cancellation that comes meanwhile counts.

    - asyncio's cancels the task that waits in `__aexit__` and forgets to call `uncancel` there. On 3.11.2, which is
      Debian 12's, the next timeout that expires in that task is then taken for somebody else's cancellation, and the
      task ends without a word.
    - asyncio's tells of its failure alone when somebody cancels its task in the moment in which it fails. Whoever
      catches that and goes on is never ended. Here it raises the cancellation then; what failed gives way to it, and is
      left in the log unless it is an error that we raise on purpose.

    From 3.13 on asyncio does the first itself, and for the second cancels its task once more, which the next `await`
    tells. Before 3.13 that cannot be taken back, so a timeout around the group would leave it behind.
    """

    async def __aenter__(self) -> TaskGroup:
        task = asyncio.current_task()
        assert task is not None
        self._outer_cancellations = task.cancelling()
        await super().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._exit(kind, error, trace)
        except BaseExceptionGroup as group:
            task = asyncio.current_task()
            assert task is not None
            if sys.version_info < (3, 13) and task.cancelling() > self._outer_cancellations:
                _tell(group, task)
                raise asyncio.CancelledError from group
            raise

    async def _exit(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, met = asyncio.current_task(), self._has_cancelled
        assert task is not None
        before = task.cancelling()
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            if sys.version_info < (3, 13) and not met and self._has_cancelled and task.cancelling() > before:
                task.uncancel()

    @property
    def _has_cancelled(self) -> bool:
        """Whether the group has cancelled the task that waits for it, because one of its own failed."""
        return bool(vars(self)["_parent_cancel_requested"])


def _tell(group: BaseExceptionGroup[BaseException], task: asyncio.Task[object]) -> None:
    """What is an error of ours would else be seen by nobody."""
    _, unexpected = group.split(OvershootdError)
    if unexpected is not None:
        message = f"task {task.get_name()} was cancelled while it failed"
        task.get_loop().call_exception_handler({"message": message, "exception": unexpected, "task": task})
