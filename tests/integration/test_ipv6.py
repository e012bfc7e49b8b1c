"""The simulator where addresses have colons: API, signalling and media."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from overshootd.simulator.media import RoomAccess
from tests.integration.daemon_bed import KEY, MODEL, simulator
from tests.integration.gateway_lab import FRAME, until
from tests.integration.media_bed import publishing
from tests.integration.room_servers import ROOM_SERVERS

ADDRESS = "fd77::1"


@pytest.fixture
def address(media_net: str) -> Iterator[str]:
    """An IPv6 address for media, in the namespace of the tests."""
    ip = ("ip", "-6", "address")
    subprocess.run([*ip, "add", f"{ADDRESS}/64", "dev", "dummy0", "nodad"], check=True, timeout=10)
    yield ADDRESS
    subprocess.run([*ip, "delete", f"{ADDRESS}/64", "dev", "dummy0"], check=True, timeout=10)


@pytest.mark.parametrize("media", ROOM_SERVERS)
async def test_a_native_stream_is_served_at_an_ipv6_address(address: str, media: list[str], tmp_path: Path) -> None:
    async with simulator(tmp_path, "--host", "::", "--advertise", address, *media) as gateway:
        assert gateway.base_url.startswith(f"http://[{address}]:")
        body = {"processing": FRAME, "inference": {"prompt": "what?", "model": MODEL}}
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as http:
            created = (await http.post(f"{gateway.base_url}/streams", json=body)).json()
        assert created["livekit"]["url"].startswith(f"ws://[{address}]:")
        async with publishing(RoomAccess(**created["livekit"])):

            async def arrived() -> bool:
                return bool((await gateway.ledger())["streams"][created["stream_id"]]["frames_arrived"] > 5)

            await until(arrived)
