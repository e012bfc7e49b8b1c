"""Two daemons with one state directory: the second touches nothing of the first one's, and is there when that ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from overshootd.statelock import FILE_NAME, Held, take
from tests.integration.daemon_bed import Daemon, Json, config, daemon, eventually, simulator
from tests.integration.sink_lab import remount, small_filesystem
from tests.integration.test_daemon_end import NOWHERE
from tests.integration.test_status_command import overshootd

ENDS_SECONDS = 5.0
"""For a process that has nothing to end; the API and the sinks would be given longer."""


def state_of(folder: Path) -> dict[str, bytes]:
    """The small files, which a daemon writes when a stream begins or ends, or is ordered something."""
    names = ("streams.json", "controls.json", FILE_NAME)
    return {name: (folder / "state" / name).read_bytes() for name in names if (folder / "state" / name).exists()}


async def waits(second: Daemon, first: Daemon) -> None:
    """It has said whom it waits for, and told systemd that it has started."""
    await eventually(lambda: f"is in use by process {first.process.pid}: stop the other" in second.said(), "who has it")
    await eventually(lambda: "READY=1" in second.heard(), "READY=1")
    assert "STATUS=waiting for the state directory " in second.heard()


def other(folder: Path) -> Path:
    """A place for the second one's own log."""
    place = folder / "second"
    place.mkdir()
    return place


@pytest.mark.parametrize("enabled", [True, False], ids=["with a stream", "without any"])
async def test_a_second_daemon_ends_no_stream_of_the_first(enabled: bool, media_net: str, tmp_path: Path) -> None:
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        settings = config(tmp_path, gateway.base_url, one={})
        async with daemon(tmp_path, settings) as first:
            await first.more_results(1)
            before = state_of(tmp_path)
            theirs = config(tmp_path, gateway.base_url, one={"enabled": enabled})
            async with daemon(other(tmp_path), theirs) as second:
                await waits(second, first)
                assert (await asked_pid(tmp_path)) == first.process.pid
                began = time.monotonic()
                assert await second.end() == 0
                assert time.monotonic() - began < ENDS_SECONDS
                assert "camera" not in second.said()
                assert second.said().count("is in use by") == 1
            await first.more_results(2)
            assert [stream["end_reason"] for stream in await gateway.streams()] == [None]
            assert state_of(tmp_path) == before
            assert (await asked_pid(tmp_path)) == first.process.pid


async def test_a_second_daemon_goes_on_with_what_a_killed_one_left(media_net: str, tmp_path: Path) -> None:
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        settings = config(tmp_path, gateway.base_url, one={})
        async with daemon(tmp_path, settings) as first:
            await first.more_results(1)
            place = other(tmp_path)
            async with daemon(place, settings) as second:
                await waits(second, first)
                await first.end(signal.SIGKILL)
                await eventually(lambda: "event=live" in second.said(), "results of its own")
                assert "resumed" in second.said()
                assert (await asked_pid(tmp_path)) == second.process.pid
                assert len(await gateway.streams()) == 1
                assert await second.end() == 0


async def asked_pid(folder: Path, *where: str) -> int:
    """Whose the control socket is."""
    told: Json = await eventually(lambda: answered(folder, *where), "an answer")
    return int(told["pid"])


async def answered(folder: Path, *where: str) -> Json:
    told = await overshootd("status", "-c", folder / "overshootd.yaml", "--json", *where)
    return dict(json.loads(told.out)) if told.code == 0 else {}


async def test_a_socket_that_a_killed_daemon_left_in_its_runtime_directory_is_replaced(tmp_path: Path) -> None:
    """The unit keeps that directory (RuntimeDirectoryPreserve=), for the spool's stage is in it too."""
    place = tmp_path / "run"
    place.mkdir()
    settings = config(tmp_path, NOWHERE)
    for ending in (signal.SIGKILL, signal.SIGTERM):
        async with daemon(tmp_path, settings, RUNTIME_DIRECTORY=str(place)) as running:
            assert await asked_pid(tmp_path, "--socket", str(place / "control.sock")) == running.process.pid
            await running.end(ending)
        assert (place / "control.sock").is_socket() is (ending is signal.SIGKILL)


async def test_a_state_directory_that_is_read_only_ends_no_daemon_and_is_used_once_it_is_not(tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "state", "size=20m,ro") as state:
        async with daemon(tmp_path, config(tmp_path, NOWHERE)) as running:
            await eventually(lambda: "READY=1" in running.heard(), "READY=1")
            await eventually(lambda: "control socket: " in running.said(), "that nobody can ask")
            remount(state, "rw")
            assert await asked_pid(tmp_path) == running.process.pid
            assert await running.end() == 0
        for once in ("a second overshootd there would not be noticed", "control.sock: Read-only file system"):
            assert running.said().count(once) == 1


# -- the lock


async def test_a_read_only_directory_is_had_once_too(tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "card", "size=1m") as card:
        os.close(take(card))
        remount(card, "ro")
        held = take(card)
        with pytest.raises(Held):
            take(card)
        os.close(held)


async def test_each_directory_is_had_once(tmp_path: Path) -> None:
    """Two locks of one process are as those of two: flock(2) goes by the open file."""
    take(tmp_path / "one")
    take(tmp_path / "other")
    with pytest.raises(Held, match="is in use by process"):
        take(tmp_path / "one")


async def test_what_is_made_for_it_is_nobody_elses_business(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        take(tmp_path / "lib" / "state")
    finally:
        os.umask(before)
    made = (tmp_path / "lib", tmp_path / "lib" / "state", tmp_path / "lib" / "state" / FILE_NAME)
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o750, 0o750, 0o600]


async def test_who_has_it_is_told_though_nobody_could_write_who(tmp_path: Path) -> None:
    take(tmp_path)
    (tmp_path / FILE_NAME).write_text("")
    with pytest.raises(Held, match="is in use by another process: stop the other overshootd"):
        await asyncio.to_thread(take, tmp_path)
