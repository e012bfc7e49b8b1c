"""A client that this project did not write: the official JavaScript SDK, in a browser with a camera."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from tests.integration.browser import missing, publishing_page
from tests.integration.daemon_bed import KEY, Simulator, simulator
from tests.integration.gateway_lab import until

RESULTS = 2


@pytest.fixture
def browser() -> None:
    if (reason := missing()) is not None:
        decide = pytest.fail if os.environ.get("CI") else pytest.skip
        decide(reason)


async def test_the_official_sdk_publishes_a_camera_and_gets_results(
    browser: None, media_net: str, tmp_path: Path
) -> None:
    """It offers before it has candidates, says `webrtc` and fps x sampling_ratio, and sends credentials; at its end it
    closes the peer connection and deletes nothing. That it did nothing that the API does not ask for is the
    simulator's exit code."""
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        publishing_page(tmp_path, api=gateway.base_url, key=KEY, results=RESULTS) as page,
    ):
        stream_id = await page.hear("started")
        results = [await page.hear("result") for _ in range(RESULTS)]
        await page.hear("stopped")
        await until(partial(ended, gateway, stream_id))
        entry = (await gateway.ledger())["streams"][stream_id]
    assert entry["frames_arrived"] > 0
    assert all(result["ok"] and result["stream_id"] == stream_id for result in results)
    assert "640x480" in results[-1]["result"]
    assert (entry["source"], entry["mode"], entry["end_reason"]) == ("webrtc", "clip", "webrtc_disconnected")


async def ended(gateway: Simulator, stream_id: str) -> bool:
    return (await gateway.ledger())["streams"][stream_id]["end_reason"] is not None
