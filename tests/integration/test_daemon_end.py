"""How the daemon begins and ends: readiness, signals, and an end within 10 s whatever the network does."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.daemon_bed import config, daemon, eventually, simulator

PROMISED = 10.0
"""Seconds from SIGTERM to the exit."""

NOWHERE = "http://127.0.0.1:9/v0.2"
"""The discard port: refused at once, as an API that is down."""


async def test_ready_does_not_wait_for_any_network(tmp_path: Path) -> None:
    async with daemon(tmp_path, config(tmp_path, NOWHERE, one={})) as running:
        await eventually(lambda: "READY=1" in running.heard(), "READY=1")
        await eventually(lambda: "1 waiting; one: create" in running.heard(), "why nothing is live, in the status")
        assert await running.end() == 0


async def test_no_stream_at_all_is_ready_and_idle(tmp_path: Path) -> None:
    async with daemon(tmp_path, config(tmp_path, NOWHERE)) as running:
        await eventually(lambda: "READY=1" in running.heard(), "READY=1")
        assert "STATUS=idle" in running.heard()
        assert await running.end() == 0


async def test_a_configuration_of_which_nothing_can_run_ends_with_78(tmp_path: Path) -> None:
    settings = config(tmp_path, NOWHERE, one={"processing": {"interval_seconds": 75}})
    async with daemon(tmp_path, settings) as running:
        async with asyncio.timeout(PROMISED):
            assert await running.process.wait() == 78
        assert "READY=1" not in running.heard()
        assert "Traceback" not in running.said()


async def test_a_state_directory_that_cannot_be_ends_with_78_and_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    settings = config(tmp_path, NOWHERE, one={}) | {"state_dir": str(tmp_path / "taken" / "state")}
    async with daemon(tmp_path, settings) as running:
        async with asyncio.timeout(PROMISED):
            assert await running.process.wait() == 78
        assert str(tmp_path / "taken") in running.said()
        assert "Traceback" not in running.said()


async def test_sigusr1_keeps_the_stream_for_the_next_process(media_net: str, tmp_path: Path) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        await running.more_results(1)
        assert await running.end(signal.SIGUSR1) == 75
        (kept,) = await gateway.streams()
        assert kept["end_reason"] is None
        assert "closeStream" not in str((await gateway.ledger())["requests"])


@pytest.mark.parametrize("sender", ["the process itself", "another"])
def test_a_sigterm_of_our_own_means_restart(sender: str) -> None:
    """The SDK sends this process SIGTERM after a panic (livekit-notes.md, Traps)."""
    script = (
        "import os, sys, queue; from overshootd.systemd import hold_signals, watch_signals\n"
        "asked = queue.Queue(); hold_signals(); watch_signals(lambda ending, name: asked.put(ending.value))\n"
        "print(os.getpid(), flush=True)\n"
        "if sys.argv[1] == 'the process itself': os.kill(os.getpid(), 15)\n"
        "print(asked.get(timeout=20), flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", script, sender], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        if sender == "another":
            os.kill(pid, signal.SIGTERM)
        assert process.stdout.readline().strip() == ("restart" if sender == "the process itself" else "end")


async def test_a_create_under_way_at_the_end_leaves_no_stream_behind(media_net: str, tmp_path: Path) -> None:
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        await gateway.faults({"fault": "latency", "seconds": 1.0, "operation": "createStream"})
        async with daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running:
            await eventually(lambda: "camera live" in running.said(), "the camera")
            await eventually(partial(asking, gateway.base_url), "the create request")
            assert await running.end() == 0
        assert all(billed["end_reason"] == "client_requested" for billed in await gateway.streams())


async def test_the_end_is_within_10_s_when_the_api_never_answers(media_net: str, tmp_path: Path) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        await running.more_results(1)
        await gateway.faults({"fault": "hang"})
        began = time.monotonic()
        assert await running.end() == 0
        assert time.monotonic() - began < PROMISED


async def test_the_end_is_within_10_s_in_a_black_hole_with_a_join_under_way(
    media_net: str, tmp_path: Path, black_hole: BlackHole
) -> None:
    # The gateway listens on every address and names one for its rooms: with the API at another, a join is known.
    async with simulator(tmp_path, "--host", "0.0.0.0", "--advertise", media_net) as gateway:
        base_url = gateway.base_url.replace(media_net, "127.0.0.1")
        black_hole.swallow(f"ip daddr {media_net} tcp dport {port(base_url)}")
        async with daemon(tmp_path, config(tmp_path, base_url, one={})) as running:
            await eventually(black_hole.swallowed, "a join")  # it goes on for 20 s, as nobody refuses it
            black_hole.swallow(f"tcp dport {port(base_url)}")
            black_hole.swallow("meta l4proto udp")
            began = time.monotonic()
            assert await running.end() == 0
            assert time.monotonic() - began < PROMISED
            assert "a join is left to end by itself" in running.said().partition("SIGTERM")[2]
        black_hole.fill()
        assert [billed["end_reason"] for billed in await gateway.streams()] == [None], "the DELETE was swallowed too"


def port(base_url: str) -> int:
    return int(base_url.split(":")[2].split("/", maxsplit=1)[0])


def asking(base_url: str) -> bool:
    """Whether a connection to the API is open."""
    established = f":{port(base_url):04X} 01"
    connections = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(f"{remote} {state}".endswith(established) for _, _, remote, state, *_ in connections)


class BlackHole:
    """Drops packets without a word, in the network namespace of the tests."""

    def __init__(self) -> None:
        self._nft("add table inet hole; add chain inet hole out { type filter hook output priority 0; }")

    def swallow(self, what: str) -> None:
        self._nft(f"add rule inet hole out {what} counter drop")

    def swallowed(self) -> bool:
        return "packets" in self._nft("list table inet hole").replace("packets 0 ", "")

    def fill(self) -> None:
        self._nft("flush chain inet hole out")

    def close(self) -> None:
        self._nft("delete table inet hole")

    def _nft(self, rules: str) -> str:
        command = ["nft", "-f", "-"]
        return subprocess.run(command, input=rules, capture_output=True, text=True, check=True, timeout=10).stdout


@pytest.fixture
def black_hole(media_net: str) -> Iterator[BlackHole]:
    hole = BlackHole()
    yield hole
    hole.close()
