"""`overshootd demo`: what a stranger sees first."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.integration.daemon_bed import Process, eventually, overshootd

RESULT = re.compile(r"  \d\d:\d\d:\d\d  frame \d+, age \d+ ms, 1280x720")


def demo(*arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-m", "overshootd", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


@dataclass
class Shown(Process):
    """A demo that runs, what it printed so far, and the folder for its temporary files."""

    folder: Path = Path()
    lines: list[str] = field(default_factory=list)

    def results(self) -> int:
        return sum(bool(RESULT.match(line)) for line in self.lines)

    async def more_results(self, count: int) -> None:
        before = self.results()
        await eventually(lambda: self.results() >= before + count, f"{count} more results")

    async def read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode())

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@asynccontextmanager
async def showing(folder: Path) -> AsyncIterator[Shown]:
    """A demo without an end of its own."""
    temporary = folder / "tmp"
    temporary.mkdir()
    async with overshootd(folder / "demo.log", "demo", TMPDIR=str(temporary)) as started:
        shown = Shown(started.process, started.log, temporary)
        reading = asyncio.create_task(shown.read())
        yield shown
    await reading


async def test_results_are_printed_and_summed_up(media_net: str, tmp_path: Path) -> None:
    async with showing(tmp_path) as shown:
        await shown.more_results(2)
        assert await shown.end() == 0, shown.said()
    printed = "".join(shown.lines)
    summed = re.search(r"results    (\d+) received, (\d+) due", printed)
    assert summed is not None
    assert int(summed[1]) == shown.results()
    assert re.search(r"published  [1-9]\d* frames, [1-9]\d* kB", printed)
    assert "of one core" in printed


async def test_results_go_on_after_a_dropped_socket_and_10_s_of_503(media_net: str, tmp_path: Path) -> None:
    async with showing(tmp_path) as shown:
        await shown.more_results(1)
        control = re.search(r"faults can be switched at (\S+),", "".join(shown.lines))
        assert control is not None
        async with httpx.AsyncClient(base_url=control[1]) as simulator:
            fault = {"fault": "status", "status": 503, "for": 10}
            (await simulator.put("/faults", json=[fault])).raise_for_status()
            (await simulator.post("/actions/drop_sockets")).raise_for_status()

            await eventually(lambda: healthy(control[1]), "the end of the 503")
            await shown.more_results(2)
            ledger = (await simulator.get("/ledger")).json()
        assert "503" in str(ledger["requests"]), "the fault was met"
        assert len(ledger["streams"]) == 1, "the same stream"
        assert await shown.end() == 0, shown.said()


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_both_processes_and_removes_what_they_wrote(
    signo: signal.Signals, media_net: str, tmp_path: Path
) -> None:
    async with showing(tmp_path) as shown:
        await shown.more_results(1)
        children = shown.children()
        assert len(children) == 2
        assert any(shown.folder.iterdir())
        assert await shown.end(signo) == 0, shown.said()
        assert not any(map(lives, children))
        assert not any(shown.folder.iterdir())


async def test_a_signal_before_the_first_result_ends_all_too(media_net: str, tmp_path: Path) -> None:
    async with showing(tmp_path) as shown:
        (simulator,) = await eventually(lambda: list(filter(simulates, shown.children())), "the simulator")
        assert await shown.end() == 130
        await eventually(lambda: not lives(simulator), "its end")
        assert shown.said() == ""


async def test_both_processes_end_with_a_demo_that_is_killed(media_net: str, tmp_path: Path) -> None:
    async with showing(tmp_path) as shown:
        await shown.more_results(1)
        children = shown.children()
        assert len(children) == 2
        await shown.end(signal.SIGKILL)
        await eventually(lambda: not any(map(lives, children)), "the end of both")


def healthy(control: str) -> bool:
    """Whether no fault is on."""
    return httpx.get(f"{control}/faults").text == "[]"


def simulates(pid: int) -> bool:
    """Whether it is the simulator already, and no longer the fork of the demo, or setpriv."""
    command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return command[0] == sys.executable and "simulate" in command


def lives(pid: int) -> bool:
    """A zombie does not: in a container perhaps nobody collects it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(("video", "why"), [("nonexistent.mp4", "no such file"), (".", "a directory")])
def test_a_video_that_is_no_file_is_a_usage_error(video: str, why: str, tmp_path: Path) -> None:
    ended = demo("--video", str(tmp_path / video))
    assert ended.returncode == 64
    assert str(tmp_path / video) in ended.stderr
    assert why in ended.stderr


def test_a_file_that_is_no_video_ends_with_69_and_the_reason(media_net: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# No video\n" * 100)
    ended = demo("--video", str(tmp_path / "README.md"))
    assert ended.returncode == 69
    assert re.fullmatch(r"overshootd demo: \S+README.md: Invalid data found .*\n", ended.stderr)


def test_no_result_at_all_ends_with_69_and_shows_why(media_net: str) -> None:
    ended = demo("--seconds", "0.1")
    assert ended.returncode == 69
    assert "no result came" in ended.stderr


def test_without_a_network_it_says_what_to_do_and_ends_with_69(media_net: str) -> None:
    ended = demo("--seconds", "5", prefix=("unshare", "--net"))
    assert ended.returncode == 69
    assert "ip link add" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("arguments", [["fly"], ["run", "--fast"], []])
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "overshootd", *arguments]
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 64
