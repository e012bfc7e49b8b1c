"""`overshootd status` as its users call it, against a control socket that answers as the daemon's does."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from overshootd import __version__
from overshootd.cli import main
from overshootd.contracts import Count
from overshootd.control.facts import Status
from overshootd.control.server import Control
from overshootd.control.wire import Json
from overshootd.status import BrokerState, CameraNow, PathState, Rung, SinkNow, SpoolNow, State, StreamState, Switch
from tests.integration import daemon_bed
from tests.integration.daemon_bed import eventually
from tests.remembering import RememberingLog

BOUND = 60.0


@dataclass
class Told:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


def states() -> dict[str, StreamState]:
    now = time.monotonic()
    switch = Switch(time.time() - 60, Rung.REJOIN, 0.44, "the path has changed")
    live = StreamState(
        State.LIVE,
        results=7,
        last_result=time.time(),
        transport="native",
        stream_id="s-1",
        keepalive_sent=now - 5.0,
        lease_until=now + 40.0,
        token_at=now - 100.0,
        switch=switch,
        notes=("the token for publishing expires in 3 days",),
    )
    return {"front-door": live, "garage": StreamState(State.WAITING, "503 for hunter2", rung=Rung.KEEPALIVE)}


@asynccontextmanager
async def daemon(state_dir: Path) -> AsyncIterator[Path]:
    """What of a daemon answers the command, and its configuration."""
    os.mkdir(state_dir)
    paths = PathState()
    paths.changed("the route to the API is now over wlan0", time.monotonic() - 7200.0)
    status = Status(
        "gate-pi",
        state_dir,
        states(),
        {"yard": CameraNow("lost", "unplugged")},
        paths,
        300.0,
        spool=lambda: SpoolNow(2_000_000, 10**9),
        brokers=lambda: {"home": BrokerState(True)},
        today=lambda: {"front-door": Count(3600.0, 72.0, 10**6, 10**5, 1790, 1800.0)},
        sinks=lambda: {
            "front-door": [SinkNow("mqtt:home:t", 12, "not connected")],
            "shed": [SinkNow("mqtt:home:s", 7, "not connected")],
        },
        paused=lambda: {"garage"},
    )
    path = state_dir / "control.sock"
    redact = lambda text: text.replace("hunter2", "***")  # noqa: E731 - it is what one is called with
    async with asyncio.timeout(BOUND), Control(path, state_dir, {"status": status}, RememberingLog(), redact):
        await eventually(path.is_socket, "it listens")
        yield config(state_dir)


def config(state_dir: Path) -> Path:
    path = state_dir.with_name(f"{state_dir.name}.yaml")
    path.write_text(f"state_dir: {state_dir}\n")
    return path


async def overshootd(*arguments: str | Path, columns: int = 80) -> Told:
    """The command as a process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "overshootd", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"COLUMNS": str(columns)},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Told(process.returncode, out.decode(), err.decode())


async def test_it_says_what_the_daemon_and_its_streams_do(tmp_path: Path) -> None:
    async with daemon(tmp_path / "state") as path:
        told = await overshootd("status", "-c", path)
    assert (told.code, told.err) == (0, "")
    assert max(map(len, told.out.splitlines())) <= 80
    for words in (
        f"overshootd {__version__} on gate-pi, up ",
        f"  process       {os.getpid()}, ",
        " of 300 MB of memory",
        "  network       changed 2 h ago: the route to the API is now over wlan0\n",
        "  yard          lost: unplugged",
        "front-door\n  state         live\n  transport     native, steady\n  lease         kept ",
        ": rejoin in 0.4 s (the path has changed)\n",
        "  today         1 h for $0.72, 1790 of 1800 results, 1.0 MB up, 100 kB down\n",
        "  waits         12 records for mqtt:home:t: not connected\n",
        "  spool         2.0 MB of 1.0 GB\n",
        "  home          connected\n",
        "  note          the token for publishing expires in 3 days\n",
        "garage\n  state         waiting: 503 for *** (a pause is asked for)\n",
        "shed (removed from the configuration)\n  waits         7 records for mqtt:home:s: not connected\n",
    ):
        assert words in told.out


async def test_json_is_one_object_with_the_documented_keys(tmp_path: Path) -> None:
    documented = documented_keys()
    async with daemon(tmp_path / "state") as path:
        told = await overshootd("status", "-c", path, "--json")
    report = json.loads(told.out)
    assert told.code == 0
    assert keys(report) == documented
    assert (report["pid"], report["streams"]["front-door"]["last_minute"]) == (os.getpid(), {"frames": 0, "results": 0})


def documented_keys() -> set[str]:
    """Those of the table in docs/commands.md, dotted; a name that somebody gave is NAME there."""
    lines = (Path(__file__).parents[2] / "docs" / "commands.md").read_text().splitlines()
    return {key.strip("` ") for line in lines if line.startswith("| `") for key in line.split("|")[1].split(",")}


def keys(value: object, path: Sequence[str] = ()) -> set[str]:
    if isinstance(value, list):
        return {".".join(path)}.union(*(keys(inner, path) for inner in value if isinstance(inner, dict)))
    if not isinstance(value, dict) or not value:
        return {".".join(path)}
    named = path in (["cameras"], ["streams"], ["removed_streams"], ["brokers"])
    return {found for key, inner in value.items() for found in keys(inner, [*path, "NAME" if named else key])}


async def test_a_daemon_that_streams_tells_of_its_stream(tmp_path: Path, media_net: str) -> None:
    """Not what answers as it does, but the daemon itself."""
    async with daemon_bed.simulator(tmp_path) as gateway:
        configured = daemon_bed.config(tmp_path, gateway.base_url, one={})
        async with daemon_bed.daemon(tmp_path, configured) as running:
            await running.more_results(2)
            report: Json = await eventually(lambda: with_lease(tmp_path / "overshootd.yaml"), "its lease is looked at")
            (stream_id,) = (await gateway.ledger())["streams"]
            assert await running.end() == 0
    stream = report["streams"]["one"]
    assert (stream["state"], stream["transport"], stream["rung"]) == ("live", "native", "steady")
    assert stream["stream_id"] == stream_id
    assert stream["lease_seconds_left"] > 0
    assert stream["keepalive_seconds_ago"] >= 0 and stream["token_seconds_old"] >= 0
    assert stream["last_minute"]["frames"] >= 2 and stream["last_minute"]["results"] >= 2
    assert [camera["state"] for camera in report["cameras"].values()] == ["live"]
    assert report["pid"] == running.process.pid
    assert "control.sock" not in os.listdir(tmp_path / "state")


async def with_lease(path: Path) -> Json:
    """The report of the daemon with this configuration, empty before it tells of the lease: it looks once a second."""
    report: Json = json.loads((await overshootd("status", "-c", path, "--json")).out)
    return {} if report["streams"]["one"]["lease_seconds_left"] is None else report


async def test_without_a_daemon_it_says_where_it_looked_and_how_to_go_on(tmp_path: Path) -> None:
    told = await overshootd("status", "-c", config(tmp_path / "state"))
    assert (told.code, told.out) == (69, "")
    assert "no daemon answers. It was looked for at\n" in told.err
    assert f"  {tmp_path}/state/control.sock: not there\n" in told.err
    assert "  /run/overshootd/control.sock: " in told.err
    assert told.err.endswith("systemctl status overshootd\n")


async def test_the_socket_may_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with daemon(tmp_path / "state"):
        arguments = ["status", "--json", "--socket", str(tmp_path / "state" / "control.sock")]
        assert await asyncio.to_thread(main, arguments) == 0
    assert json.loads(capsys.readouterr().out)["device"] == "gate-pi"


async def test_the_daemon_of_another_configuration_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it is the one that systemd runs, which is where a command looks last."""
    async with daemon(tmp_path / "run"):
        monkeypatch.setattr("overshootd.control.address.RUNTIME_DIRECTORY", tmp_path / "run")
        assert await asyncio.to_thread(main, ["status", "-c", str(config(tmp_path / "other"))]) == 69
    assert f"another configuration: its state_dir is {tmp_path}/run" in capsys.readouterr().err


def test_a_configuration_that_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "-c", str(tmp_path / "none.yaml")]) == 78
    said = capsys.readouterr().err
    assert str(tmp_path / "none.yaml") in said and "--socket PATH" in said


@pytest.mark.parametrize("answer", [{"schema": 2, "version": "9.9"}, {"schema": 1, "version": "9.9"}, {}])
async def test_a_daemon_of_another_version_is_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Json
) -> None:
    async def status(_request: Json) -> Json:
        return answer

    path = tmp_path / "control.sock"
    async with asyncio.timeout(BOUND), Control(path, tmp_path, {"status": status}, RememberingLog(), str):
        await eventually(path.is_socket, "it listens")
        assert await asyncio.to_thread(main, ["status", "--socket", str(path)]) == 69
        said = capsys.readouterr().err
        assert f"{answer.get('version', 'of an unknown version')} runs, and this is {__version__}: restart it" in said
        assert await asyncio.to_thread(main, ["status", "--json", "--socket", str(path)]) == 0


def test_a_wrong_command_line_is_64(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["status", "front-door"])
    assert left.value.code == 64
    assert "unrecognized arguments: front-door" in capsys.readouterr().err
