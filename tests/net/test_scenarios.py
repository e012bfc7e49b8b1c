"""Each ordeal once, against a real livekit-server, several side by side: most of their time is waiting.

They are tasks of one loop. The first test starts those that were selected; each waits for its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from tests.net.scenarios import narrow, outages, restarts, servers, strange, uplinks

AT_A_TIME = 6
"""A bed takes some 6 % of a core while nothing happens, and all of one for 2 s when it starts."""

BOUND = 110.0
"""Seconds for one scenario, under pytest's own bound for a test."""

Scenario = Callable[[Path], Awaitable[None]]


SCENARIOS: tuple[Scenario, ...] = (
    outages.of_60_s_beyond_the_lease,
    outages.of_30_s_told_by_the_kernel,
    outages.of_30_s_untold,
    outages.of_3_s_told_by_the_kernel,
    outages.of_3_s_untold,
    outages.beyond_the_token_within_the_lease,
    outages.beyond_token_and_lease,
    uplinks.a_switch_by_route_change,
    uplinks.a_switch_by_link_down,
    uplinks.a_black_hole_of_the_old_flows,
    uplinks.a_switch_after_the_old_uplink_died,
    uplinks.there_and_back,
    uplinks.nat_rebinding,
    uplinks.flapping,
    uplinks.noise_that_is_not_ours,
    uplinks.five_streams_at_once,
    narrow.lte,
    narrow.bad_lte,
    narrow.a_small_mtu_and_no_icmp,
    narrow.no_udp,
    narrow.udp_is_blocked_under_way,
    narrow.ipv6_only,
    strange.no_dns_at_the_start,
    strange.no_dns_under_way,
    strange.a_captive_portal,
    strange.a_captive_portal_that_spoils_tls,
    servers.the_room_server_is_killed_and_restarted,
    servers.the_gateway_is_deployed,
    servers.the_api_answers_503,
    servers.the_api_cuts_connections,
    servers.api_and_rooms_are_down_at_once,
    servers.the_results_socket_is_dropped,
    servers.the_server_ends_the_stream,
    restarts.killed_and_restarted_within_the_lease,
    restarts.killed_and_restarted_beyond_the_lease,
    restarts.restarted_on_request,
    restarts.restarted_with_another_configuration,
    restarts.restarted_without_a_stream,
    restarts.ended_for_good,
)


def _name(scenario: Scenario) -> str:
    """Its module and its name, in words."""
    return f"{scenario.__module__.rpartition('.')[2]}: {scenario.__qualname__.replace('_', ' ')}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, net_allowed: None, room_server: None
) -> AsyncIterator[Mapping[Scenario, asyncio.Task[None]]]:
    """The scenarios that were selected, by themselves, AT_A_TIME."""
    turn = asyncio.Semaphore(AT_A_TIME)
    asked_for = {item.name for item in request.session.items}
    selected = [one for one in SCENARIOS if f"{test_it_never_gives_up.__name__}[{_name(one)}]" in asked_for]
    tasks = {one: asyncio.create_task(_run(one, tmp_path_factory.mktemp("net"), turn)) for one in selected}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _run(scenario: Scenario, folder: Path, turn: asyncio.Semaphore) -> None:
    async with turn, asyncio.timeout(BOUND):
        await scenario(folder)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=_name)
async def test_it_never_gives_up(running: Mapping[Scenario, asyncio.Task[None]], scenario: Scenario) -> None:
    await running[scenario]
