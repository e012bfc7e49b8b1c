"""Each ordeal once, against a real livekit-server, several beds side by side: most of their time is waiting.

The beds are tasks of one loop. The first test starts those that were asked for; each test waits for its own ordeal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial

import pytest
import pytest_asyncio

from tests.net.ordeals import Group, Ordeal, go_through
from tests.net.scenarios import narrow, outages, restarts, servers, strange, uplinks

AT_A_TIME = 6
"""A bed takes some 6 % of a core while nothing happens, and all of one for three seconds when it starts."""

GROUPS: tuple[Group, ...] = (
    *outages.GROUPS,  # the longest first
    *uplinks.GROUPS,
    *strange.GROUPS,
    *narrow.GROUPS,
    *servers.GROUPS,
    *restarts.GROUPS,
)
ORDEALS = [ordeal for group in GROUPS for ordeal in group.ordeals]


def _name(ordeal: Ordeal) -> str:
    """Its module and its name, in words."""
    return f"{ordeal.__module__.rpartition('.')[2]}: {ordeal.__qualname__.replace('_', ' ')}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def done(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, net_allowed: None, room_server: None
) -> AsyncIterator[Mapping[Ordeal, asyncio.Future[None]]]:
    """What comes of the ordeals that were asked for."""
    asked_for = {item.name for item in request.session.items}
    loop, turn = asyncio.get_running_loop(), asyncio.Semaphore(AT_A_TIME)
    futures: dict[Ordeal, asyncio.Future[None]] = {
        one: loop.create_future() for one in ORDEALS if f"{test_it_never_gives_up.__name__}[{_name(one)}]" in asked_for
    }
    folder = partial(tmp_path_factory.mktemp, "net")
    beds = [asyncio.create_task(go_through(one, folder, turn, futures)) for one in GROUPS]
    yield futures
    for bed in beds:
        bed.cancel()
    await asyncio.gather(*beds, return_exceptions=True)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("ordeal", ORDEALS, ids=_name)
async def test_it_never_gives_up(done: Mapping[Ordeal, asyncio.Future[None]], ordeal: Ordeal) -> None:
    await done[ordeal]
