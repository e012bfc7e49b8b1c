"""A livekit-server of the simulator's own that is killed and started again on request."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.integration.daemon_bed import KEY, MODEL, Simulator, simulator
from tests.integration.room_servers import LIVEKIT

CREATE = {"processing": {"interval_seconds": 1.0}, "inference": {"prompt": "what?", "model": MODEL}}


async def room_server(gateway: Simulator) -> str:
    """Where clients are sent to."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(headers=headers) as http:
        created = await http.post(f"{gateway.base_url}/streams", json=CREATE)
    return str(created.json()["livekit"]["url"]).replace("ws", "http", 1)


@pytest.mark.parametrize("media", [LIVEKIT])
async def test_it_refuses_when_killed_and_serves_again_at_the_same_address(
    media_net: str, media: list[str], tmp_path: Path
) -> None:
    async with simulator(tmp_path, "--advertise", media_net, *media) as gateway, httpx.AsyncClient() as http:
        url = await room_server(gateway)
        for _ in range(2):
            await gateway.act("room_server_kill")
            with pytest.raises(httpx.ConnectError):
                await http.get(url)
            await gateway.act("room_server_start")
            assert (await http.get(url)).status_code == 200


@pytest.mark.parametrize("media", [LIVEKIT])
async def test_one_that_is_started_while_it_runs_goes_on(media_net: str, media: list[str], tmp_path: Path) -> None:
    async with simulator(tmp_path, "--advertise", media_net, *media) as gateway, httpx.AsyncClient() as http:
        url = await room_server(gateway)
        await gateway.act("room_server_start")
        assert (await http.get(url)).status_code == 200


async def test_without_one_of_ours_it_is_said(media_net: str, tmp_path: Path) -> None:
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        refused = await gateway.control.post("/actions/room_server_kill")
        assert refused.status_code == 422
        assert "--media livekit-server" in refused.text
