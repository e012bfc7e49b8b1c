"""`overshootd demo`: simulator and daemon side by side, the results as they come, then what it cost.

Both run as their users would run them: as processes, from a configuration file, over real sockets.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

READY_SECONDS = 20.0
END_SECONDS = 12.0
POLL_SECONDS = 0.1
USAGE, UNAVAILABLE, INTERRUPTED = 64, 69, 130
KEY = "ovs_demo"


class Unavailable(Exception):
    """The demo cannot go on; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used: seconds of CPU, and the most memory it ever had in MB."""

    cpu: float
    memory: float


def demo(seconds: float | None, video: Path | None) -> int:
    """Run until `seconds` are over, Ctrl-C, SIGTERM or SIGHUP.

    Returns 0; 69 when no result came or the stream was stopped; 130 when it was ended before there was anything to see.
    """
    if video is not None and not video.is_file():
        wrong = "not a video file, but a directory or a device" if video.exists() else "there is no such file"
        print(f"overshootd demo: {video}: {wrong}", file=sys.stderr)
        return USAGE
    _end_as_at_ctrl_c()
    try:
        with tempfile.TemporaryDirectory(prefix="overshootd-demo-") as folder:
            _demo(Path(folder), seconds, video)
    except Unavailable as error:
        print(f"overshootd demo: {error}", file=sys.stderr)
        return UNAVAILABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _end_as_at_ctrl_c() -> None:
    """Have SIGTERM and SIGHUP unwind the stack too, so that both processes and the folder go."""

    def interrupt(signo: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for signo in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signo) is not signal.SIG_IGN:  # nohup stays nohup
            signal.signal(signo, interrupt)


def _demo(folder: Path, seconds: float | None, video: Path | None) -> None:
    """Raises Unavailable."""
    with _simulator(folder) as (base_url, control):
        config = _write_config(folder, base_url, video)
        print(f"{video or 'A test picture'} goes to a simulated Overshoot at {base_url};")
        print(f"faults can be switched at {control}, see docs/simulator.md. One result every 2 s:", flush=True)
        began = time.monotonic()
        with _process(folder, "daemon", "run", "-c", str(config)) as daemon:
            count = _show_results(folder / "results.jsonl", daemon, began + seconds if seconds else None)
            if daemon.poll() is not None:
                raise Unavailable(f"the daemon has ended. Its log:\n{_log(folder, 'daemon')}")
            elapsed = time.monotonic() - began
            usage = _usage(daemon.pid)
            ledger = _ledger(control)
        if not count:
            raise Unavailable(f"no result came. The daemon's log:\n{_log(folder, 'daemon')}")
        _print_summary(count, elapsed, usage, ledger, _bytes_sent(_log(folder, "daemon")))


def _write_config(folder: Path, base_url: str, video: Path | None) -> Path:
    (folder / "key").write_text(KEY)
    camera = {"type": "file", "path": str(video.resolve())} if video else {"type": "test"}
    config = {
        "version": 1,
        "state_dir": str(folder / "state"),
        "api": {"base_url": base_url, "key": {"file": str(folder / "key")}},
        "streams": {
            "demo": {
                "camera": camera,
                "processing": {"interval_seconds": 2.0},
                "inference": {"prompt": "What do you see?", "model": "Qwen/Qwen3.5-9B"},
                "sinks": [{"type": "file", "path": str(folder / "results.jsonl")}],
            }
        },
    }
    path = folder / "overshootd.yaml"
    path.write_text(json.dumps(config, indent=2))  # JSON is YAML
    return path


# -- the two processes


@contextmanager
def _simulator(folder: Path) -> Iterator[tuple[str, str]]:
    """Its base URL and the URL of its control endpoint. Raises Unavailable when it cannot serve."""
    with _process(folder, "simulator", "simulate", "--port", "0", "--control", "0", "--key", KEY) as process:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], READY_SECONDS)
        line = process.stdout.readline() if readable else ""
        control = re.search(r"control endpoint: (\S+)", _log(folder, "simulator"))
        if not line.startswith("ready ") or control is None:
            raise Unavailable(f"the simulator does not serve. {_log(folder, 'simulator')}")
        yield line.split()[1], control[1]


@contextmanager
def _process(folder: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`overshootd ARGUMENTS`, its log in a file of the folder; ended in order, and not waited for without a bound."""
    # In a session of its own: Ctrl-C is for the demo, which ends the two one after the other.
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            [*_tied_to_us(), sys.executable, "-m", "overshootd", *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            env={key: value for key, value in os.environ.items() if not key.startswith("OVERSHOOT_")},
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _tied_to_us() -> list[str]:
    """What ends a process with us even when we are killed; from util-linux, and only lacking if that is."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def _log(folder: Path, name: str) -> str:
    return (folder / f"{name}.log").read_text()


# -- what is seen


def _show_results(path: Path, daemon: subprocess.Popen[str], until: float | None) -> int:
    """Print each result as it is appended to the file, until the time or Ctrl-C. Returns how many there were.

    Raises Unavailable when the daemon has stopped the stream: no result will come any more.
    """
    count = 0
    try:
        for record in _records(path, daemon, until):
            if record["type"] == "result":
                count += 1
                print(f"  {record['received_at'][11:19]}  {record['text']}", flush=True)
            elif record["type"] == "state" and record["state"] == "stopped":
                raise Unavailable(record["why"])
    except KeyboardInterrupt:
        print()
    return count


def _records(path: Path, daemon: subprocess.Popen[str], until: float | None) -> Iterator[Mapping[str, Any]]:
    rest = b""
    position = 0
    while daemon.poll() is None and (until is None or time.monotonic() < until):
        if path.exists():
            with path.open("rb") as file:
                file.seek(position)
                rest += file.read()
                position = file.tell()
        *lines, rest = rest.split(b"\n")
        yield from map(json.loads, lines)
        time.sleep(POLL_SECONDS)


def _usage(pid: int) -> Usage:
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    return Usage((int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"), int(peak[1]) / 1024 if peak else 0.0)


def _ledger(control: str) -> Mapping[str, Any]:
    with urllib.request.urlopen(f"{control}/ledger", timeout=5) as answer:
        totals: Mapping[str, Any] = json.load(answer)["totals"]
    return totals


def _bytes_sent(log: str) -> int:
    """What the daemon said when it left its rooms."""
    return sum(int(count) for count in re.findall(r"\bbytes_sent=(\d+)", log))


def _print_summary(count: int, elapsed: float, usage: Usage, ledger: Mapping[str, Any], sent: int) -> None:
    print(f"\nin {elapsed:.0f} s:")
    print(f"  results    {count} received, {ledger['due']} due")
    print(f"  published  {ledger['frames_arrived']} frames, {sent / 1000:.0f} kB of media")
    if ledger["age_p50_ms"] is not None:  # real footage carries no capture time
        p50, p95 = ledger["age_p50_ms"], ledger["age_p95_ms"]
        print(f"  age        p50 {p50:.0f} ms, p95 {p95:.0f} ms, from capture to the sampling")
    print(f"  daemon     {usage.cpu / elapsed:.1%} of one core, {usage.memory:.0f} MB of memory at most")
