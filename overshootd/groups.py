"""asyncio.TaskGroup, of which one more thing can be relied on."""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType


class TaskGroup(asyncio.TaskGroup):
    """A group that fails at its end leaves its task as it was.

    asyncio's cancels the task that waits in `__aexit__` and, before CPython 3.13, forgets to call `uncancel` there. On
    3.11.2, which is Debian 12's, the next timeout that expires in that task is then taken for somebody else's
    cancellation, and the task ends without a word.
    """

    async def __aexit__(
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
