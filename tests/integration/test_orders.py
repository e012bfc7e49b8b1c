"""`overshootd pause`, `resume` and `prompt`: as users call them, against a daemon that streams."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from overshootd.control.client import ask
from overshootd.control.orders import handlers
from overshootd.control.server import Control
from overshootd.control.wire import Json
from overshootd.controls import KeptControls
from tests.integration import daemon_bed
from tests.integration.daemon_bed import eventually, whole
from tests.integration.test_daemon_end import NOWHERE
from tests.integration.test_status_command import Told, config, overshootd
from tests.remembering import RememberingLog

BOUND = 60.0


@asynccontextmanager
async def daemon(state_dir: Path) -> AsyncIterator[tuple[Path, KeptControls]]:
    """What of a daemon takes orders, and its configuration."""
    state_dir.mkdir()  # noqa: ASYNC240 - of a test
    log = RememberingLog()
    controls = KeptControls({"gate": "Who?"}, state_dir, log, asyncio.to_thread)
    path = state_dir / "control.sock"
    async with asyncio.timeout(BOUND), Control(path, state_dir, handlers(controls), log, str):
        await eventually(path.is_socket, "it listens")
        yield config(state_dir), controls


async def test_orders_are_taken_and_answered_with_what_is_asked_then(tmp_path: Path) -> None:
    async with daemon(tmp_path / "state") as (path, controls):
        assert (await overshootd("pause", "gate", "-c", path)).out.startswith("gate is paused")
        assert controls.paused("gate")
        assert (await overshootd("resume", "gate", "-c", path)).out == "gate is resumed\n"
        assert not controls.paused("gate")
        assert (await overshootd("prompt", "gate", "-c", path)).out == "Who?\n"
        told = await overshootd("prompt", "gate", "What is it?", "-c", path, "--json")
        assert json.loads(told.out) == {"stream": "gate", "paused": False, "prompt": "What is it?"}
        assert controls.prompt("gate") == "What is it?"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["pause", "yard"], "no stream 'yard' runs here; those are: gate\n"),
        (["prompt", "gate", " "], "the prompt is empty: say what the model shall look for\n"),
    ],
)
async def test_an_order_that_cannot_be_taken_says_why(tmp_path: Path, arguments: list[str], why: str) -> None:
    async with daemon(tmp_path / "state") as (path, _):
        assert await overshootd(*arguments, "-c", path) == Told(69, "", why)


async def test_a_paused_stream_is_not_billed_not_even_after_a_restart(tmp_path: Path, media_net: str) -> None:
    """And is there again, with another prompt, when it is resumed."""
    async with daemon_bed.simulator(tmp_path) as gateway:
        configured = daemon_bed.config(tmp_path, gateway.base_url, one={})
        path = tmp_path / "overshootd.yaml"
        async with daemon_bed.daemon(tmp_path, configured) as running:
            await running.more_results(2)
            assert (await overshootd("pause", "one", "-c", path)).code == 0
            await paused(path)
            assert await ended(gateway) == ["client_requested"]
            assert await running.end() == 0
        async with daemon_bed.daemon(tmp_path, configured) as running:
            stream = await paused(path)
            assert (
                stream["today"]["seconds"] > 0 and stream["today"]["received"] >= 2 and stream["today"]["bytes_up"] > 0
            )
            assert await ended(gateway) == ["client_requested"]
            assert (await overshootd("prompt", "one", "Is it raining?", "-c", path)).code == 0
            assert (await overshootd("resume", "one", "-c", path)).code == 0
            await running.more_results(2)
            assert await running.end() == 0
    records = [json.loads(line) for line in (tmp_path / "results" / "one.jsonl").read_text().splitlines()]
    states = [(record["state"], record.get("prompt")) for record in records if record["type"] == "state"]
    assert ("paused", None) in states and ("live", "Is it raining?") in states


async def test_a_pause_over_which_the_process_was_killed_leaves_its_gap(tmp_path: Path, media_net: str) -> None:
    """Twice: once while it is paused, once before the next result comes."""
    async with daemon_bed.simulator(tmp_path) as gateway:
        configured = daemon_bed.config(tmp_path, gateway.base_url, one={})
        path = tmp_path / "overshootd.yaml"
        async with daemon_bed.daemon(tmp_path, configured) as running:
            await running.more_results(2)
            assert (await overshootd("pause", "one", "-c", path)).code == 0
            await paused(path)
            await running.end(signal.SIGKILL)
        await gateway.faults({"fault": "hang"})
        async with daemon_bed.daemon(tmp_path, configured) as running:
            await paused(path)
            assert (await overshootd("resume", "one", "-c", path)).code == 0
            (gap,) = await eventually(lambda: running.records("gap"), "the gap is told")
            await running.end(signal.SIGKILL)
        # What the file had already comes again after a kill, so each is there once or twice.
        told = {record["received_at"] for record in running.records("state") if record["state"] == "paused"}
        first, second = sorted(told)
        assert gap["why"] == "paused" and gap["from"] <= first < second <= gap["to"]


async def test_an_order_that_is_taken_while_the_daemon_ends_holds_at_the_next_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # A receiver that never answers: the sinks are given their last 1.5 s then.
        sink = {"type": "webhook", "url": f"http://127.0.0.1:{silent.getsockname()[1]}/"}
        configured = daemon_bed.config(tmp_path, NOWHERE, one={"sinks": [sink]})
        async with daemon_bed.daemon(tmp_path, configured) as running:
            await eventually(lambda: "camera live" in running.said(), "there is something to deliver")
            ending = asyncio.create_task(running.end())
            await eventually(lambda: "all streams are closed" in running.said(), "it has nothing else to do")
            answer = await asyncio.to_thread(
                ask, [tmp_path / "state" / "control.sock"], "pause", {"name": "one"}, BOUND
            )
            assert answer["paused"] is True
            assert await ending == 0
        async with daemon_bed.daemon(tmp_path, configured) as running:
            await paused(tmp_path / "overshootd.yaml")


async def test_another_prompt_reaches_the_running_stream(tmp_path: Path, media_net: str) -> None:
    async with daemon_bed.simulator(tmp_path) as gateway:
        configured = daemon_bed.config(tmp_path, gateway.base_url, one={})
        async with daemon_bed.daemon(tmp_path, configured) as running:
            await running.more_results(2)
            told = await overshootd("prompt", "one", "Is it raining?", "-c", tmp_path / "overshootd.yaml")
            assert told.code == 0
            await eventually(lambda: len(shas(tmp_path)) == 2, "results to another prompt come")
            assert len((await gateway.ledger())["streams"]) == 1, "of the same stream"
            assert await running.end() == 0


def shas(folder: Path) -> set[str]:
    """Of the prompts to which results came."""
    records = whole(folder / "results" / "one.jsonl")
    return {record["api"]["prompt_sha"] for record in records if record["type"] == "result"}


async def ended(gateway: daemon_bed.Simulator) -> list[Any]:
    return [stream["end_reason"] for stream in (await gateway.ledger())["streams"].values()]


async def paused(path: Path) -> Json:
    """What the daemon says of the stream once it is paused."""
    stream: Json = await eventually(lambda: _paused(path), "it is paused")
    return stream


async def _paused(path: Path) -> Json:
    told = await overshootd("status", "-c", path, "--json")
    stream: Json = json.loads(told.out)["streams"]["one"] if told.code == 0 else {}
    return stream if stream.get("state") == "paused" else {}
