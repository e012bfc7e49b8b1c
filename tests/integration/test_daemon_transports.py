"""The daemon over each transport, and from one to the other."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from overshootd.config.secret import Secret
from overshootd.publish.tokens import publish_token, watch_token
from overshootd.simulator.livekit_child import LiveKitChild
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
            await running.more_results(2, bound=90)  # three failed joins, 20 s from one to the next
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


async def test_results_arrive_from_a_room_of_the_users_own(media_net: str, child: LiveKitChild, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(child.secret)
    own = {"type": "livekit", "url": child.url, "api_key": child.key, "api_secret": {"file": str(tmp_path / "secret")}}
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={"transport": own})) as running,
    ):
        await running.more_results(4)
        assert len(await gateway.streams()) == 1
        assert child.secret not in running.said()


async def test_a_room_that_does_not_let_us_in_is_asked_slowly_and_not_paid_for(
    media_net: str, child: LiveKitChild, tmp_path: Path
) -> None:
    key, room, now = Secret(child.key), "yard", time.time()
    wrong = Secret("a secret that the room server does not have")
    (tmp_path / "watch").write_text(watch_token(key, Secret(child.secret), room, "gateway", now).reveal())
    (tmp_path / "publish").write_text(publish_token(key, wrong, room, "device", now).reveal())
    tokens = {"token": {"file": str(tmp_path / "watch")}, "publish_token": {"file": str(tmp_path / "publish")}}
    own = {"type": "livekit", "url": child.url, **tokens}
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={"transport": own})) as running,
    ):
        await eventually(lambda: "refused: " in running.said(), "the refusal in the log")
        (only,) = await gateway.streams()
        assert only["end_reason"] == "client_requested"
