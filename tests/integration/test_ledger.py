"""One run of the ledger with troubles that never change; `make ledger` has those at random."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ledger.disk import NoDisk
from tests.ledger.plan import plan
from tests.ledger.run import run

SEED = 7
"""Has nearly all kinds in it, with `state_dir` on a small disk of its own."""
SPAN = 8.0


async def test_nothing_received_is_lost_whatever_is_killed_or_full(media_net: str, tmp_path: Path) -> None:
    told: list[str] = []
    try:
        wrong = await run(plan(SEED, span=SPAN), tmp_path / "bed", with_broker=True, tell=told.append)
    except NoDisk as error:
        pytest.skip(f"may not mount: {error}")
    assert not wrong, "\n".join(told)
