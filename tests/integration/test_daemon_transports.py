"""The daemon over each transport, and from one to the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.daemon_bed import Json, config, daemon, eventually, simulator
from tests.integration.test_passthrough import camera


@pytest.mark.parametrize("encoded", [False, True], ids=["pictures", "passed on"])
async def test_results_arrive_over_legacy_webrtc(encoded: bool, media_net: str, tmp_path: Path) -> None:
    one: Json = {"transport": {"type": "webrtc", "ice_servers": []}}
    if encoded:
        one["camera"] = camera(tmp_path, fps=6, keyframe_distance=12)
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one=one)) as running,
    ):
        await running.more_results(4)
        assert await running.end() == 0
        (only,) = await gateway.streams()
        assert only["end_reason"] == "client_requested"


async def test_auto_falls_back_where_rooms_cannot_be_joined_and_the_api_answers(
    media_net: str, livekit_binary: Path, tmp_path: Path
) -> None:
    one: Json = {"transport": {"type": "auto", "ice_servers": []}}
    async with simulator(tmp_path, "--advertise", media_net, "--media", "livekit-server") as gateway:
        await gateway.act("room_server_kill")
        async with daemon(tmp_path, config(tmp_path, gateway.base_url, one=one)) as running:
            await running.more_results(2)
            assert "the transport is legacy WebRTC" in running.said()
            living = [stream for stream in await gateway.streams() if stream["end_reason"] is None]
            assert len(living) == 1


async def test_a_legacy_stream_that_the_api_ends_is_made_anew(media_net: str, tmp_path: Path) -> None:
    one: Json = {"transport": {"type": "webrtc", "ice_servers": []}}
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one=one)) as running,
    ):
        await running.more_results(1)
        await gateway.act("deploy")
        await eventually(lambda: running.records("gap"), "a gap record")
        await running.more_results(2)
