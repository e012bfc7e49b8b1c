"""Past a configured memory the process ends as it does for a restart: its streams are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import CapturingLogger

from overshootd import app, memory
from overshootd.contracts import Log
from overshootd.systemd import Ending


async def test_too_much_memory_asks_for_a_restart_and_not_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(limit_mb: float, restart: Callable[[], None], log: Log) -> None:
        assert limit_mb == 300
        restart()

    bounds: list[int] = []
    monkeypatch.setattr(memory, "run", at_once)
    monkeypatch.setattr(app, "_exit_within", lambda seconds, code: bounds.append(code))
    asked: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
    await app._watch_memory(300, asked, CapturingLogger())
    assert asked.result() is Ending.RESTART
    assert bounds == [app.AGAIN]
