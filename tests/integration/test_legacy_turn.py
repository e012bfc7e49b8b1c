"""A legacy stream over a relay: the simulator names it, and the client reaches the simulator through it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy

from tests.integration import namespace
from tests.integration.daemon_bed import KEY, MODEL, Simulator, simulator
from tests.integration.gateway_lab import FRAME, until
from tests.integration.test_offer_answer import accept, client
from tests.integration.turn_server import CREDENTIAL, USER, relay


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_media_arrives_through_the_relay_that_the_create_response_names(
    transport: str, media_net: str, tmp_path: Path
) -> None:
    async with (
        relay(namespace.ADDRESSES[1], tmp_path) as server,
        simulator(
            tmp_path, "--advertise", media_net, "--turn", f"{server.url(transport)},{USER},{CREDENTIAL}"
        ) as gateway,
    ):
        async with client() as (_, offer):  # whose answer only tells of the relay
            told = (await create(gateway, offer))["turn_servers"]
        assert told == [{"urls": server.url(transport), "username": USER, "credential": CREDENTIAL}]
        configuration = RTCConfiguration([RTCIceServer(**told[0])], RTCIceTransportPolicy.RELAY)
        async with client(configuration) as (connection, offer):
            assert "typ relay" in offer
            assert "typ host" not in offer
            created = await create(gateway, offer)
            await accept(connection, created["webrtc"]["sdp"])

            async def arrived() -> bool:
                return bool((await gateway.ledger())["streams"][created["stream_id"]]["frames_arrived"] > 5)

            await until(arrived)


async def create(gateway: Simulator, offer: str) -> dict[str, Any]:
    """The response to a create request with this offer."""
    body = {
        "source": {"type": "webrtc", "sdp": offer},
        "processing": FRAME,
        "inference": {"prompt": "what?", "model": MODEL},
    }
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as http:
        created = await http.post(f"{gateway.base_url}/streams", json=body)
    assert created.status_code == 201, created.text
    return dict(created.json())
