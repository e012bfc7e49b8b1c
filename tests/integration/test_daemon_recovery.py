"""The daemon and what it shall outlive: a crash, a restart, a room server that dies, a room that is closed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.daemon_bed import Json, Simulator, config, daemon, eventually, simulator
from tests.integration.test_passthrough import camera


async def one_stream(gateway: Simulator) -> Json:
    (only,) = await gateway.streams()
    return only


async def test_a_daemon_that_was_killed_resumes_its_stream(media_net: str, tmp_path: Path) -> None:
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        settings = config(tmp_path, gateway.base_url, one={})
        async with daemon(tmp_path, settings) as first:
            await first.more_results(1)
            await first.end(signal.SIGKILL)
        async with daemon(tmp_path, settings) as second:
            await second.more_results(2)
            assert "resumed" in second.said()
            await one_stream(gateway)
            assert await second.end() == 0
        assert (await one_stream(gateway))["end_reason"] == "client_requested"


async def test_a_restart_keeps_the_stream(media_net: str, tmp_path: Path) -> None:
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        settings = config(tmp_path, gateway.base_url, one={})
        async with daemon(tmp_path, settings) as first:
            await first.more_results(1)
            assert await first.end(signal.SIGUSR1) == 75
        async with daemon(tmp_path, settings) as second:
            await second.more_results(2)
            await one_stream(gateway)


async def test_another_configuration_ends_the_old_stream_before_a_new_one_is_made(
    media_net: str, tmp_path: Path
) -> None:
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        async with daemon(tmp_path, config(tmp_path, gateway.base_url, one={}, gone={})) as first:
            await first.more_results(1)
            await first.more_results(1, "gone")
            await first.end(signal.SIGKILL)
        changed = config(tmp_path, gateway.base_url, one={"processing": {"interval_seconds": 0.3}})
        async with daemon(tmp_path, changed) as second:
            await eventually(lambda: "event=live" in second.said(), "its own results")
            ended = [stream["end_reason"] for stream in await gateway.streams()]
            assert ended == ["client_requested", "client_requested", None]


@pytest.mark.parametrize("encoded", [False, True], ids=["pictures", "passed on"])
async def test_the_room_server_is_killed_and_started_again(
    encoded: bool, media_net: str, livekit_binary: Path, tmp_path: Path
) -> None:
    one: Json = {"camera": camera(tmp_path, fps=6, keyframe_distance=12)} if encoded else {}
    async with (
        simulator(tmp_path, "--advertise", media_net, "--media", "livekit-server") as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one=one)) as running,
    ):
        await running.more_results(1)
        await gateway.act("room_server_kill")
        await eventually(lambda: "video:" in running.said(), "the trouble in the log")
        await gateway.act("room_server_start")
        await eventually(lambda: "video arrives again" in running.said(), "the recovery in the log")
        await running.more_results(2)
        await one_stream(gateway)
