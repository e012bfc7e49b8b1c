"""A camera's program is started, read and ended as a guest that may misbehave in every way."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from overshootd.capture.program import launch, process
from overshootd.capture.program.lines import BURST
from overshootd.capture.program.process import Leftovers, Program
from overshootd.errors import CameraLost, Permanent

BOUND = 10.0
Start = Callable[..., Program]


class Heard:
    """A log that remembers."""

    def __init__(self) -> None:
        self.capture = structlog.testing.LogCapture()
        self.log: Any = structlog.wrap_logger(None, processors=[self.capture])

    @property
    def lines(self) -> list[str]:
        return [entry["line"] for entry in self.capture.entries if "line" in entry]

    @property
    def left_out(self) -> int:
        return sum(entry.get("left_out", 0) for entry in self.capture.entries)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def start(heard: Heard) -> Iterator[Start]:
    """Start a program; all are ended."""
    started: list[Program] = []

    def start(*argv: str, leftovers: Leftovers | None = None, **options: Any) -> Program:
        started.append(Program(argv, heard.log, leftovers or Leftovers(), **options))
        started[-1].start()
        return started[-1]

    yield start
    for program in started:
        with contextlib.suppress(CameraLost):
            program.stop()


def output(program: Program, size: int) -> bytes:
    """At least so much of it."""
    data, end = b"", time.monotonic() + BOUND
    while len(data) < size:
        assert time.monotonic() < end, f"only {data!r} in {BOUND} s"
        data += program.read(0.2)
    return data


def end_of(program: Program) -> str:
    """What its end is put down to."""
    end = time.monotonic() + BOUND
    while time.monotonic() < end:
        try:
            program.read(0.2)
        except CameraLost as error:
            return str(error)
    raise AssertionError(f"it goes on after {BOUND} s")


def gone(pid: int) -> bool:
    """Whether a process ends within `BOUND` seconds; whose child it is does not matter."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(BOUND * 1000))
    finally:
        os.close(pidfd)


def test_what_it_writes_is_read_as_it_comes(start: Start) -> None:
    program = start("sh", "-c", "printf one; read -r _ || printf two")
    assert output(program, 6) == b"onetwo", "and its standard input is empty"


def test_reading_waits_no_longer_than_told(start: Start) -> None:
    program = start("sleep", "60")
    began = time.monotonic()
    assert program.read(0.2) == b""
    assert program.read(0.0) == b""
    assert 0.2 <= time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("printf x; echo why >&2; exit 3", "sh ended with exit code 3: why"),
        ("printf 'no end of line' >&2", "sh ended with exit code 0: no end of line"),
        ("kill -SEGV $$", "sh was ended by signal 11 (Segmentation fault)"),
        ("sleep 60 & exit 4", "sh ended with exit code 4"),
        ("exec >&-; echo waiting >&2; sleep 60", "sh has closed its output: waiting"),
    ],
    ids=["a code", "in the middle of a line", "a signal", "with a child that goes on", "closed only"],
)
def test_its_end_is_noticed_with_what_it_said_last(start: Start, script: str, sentence: str) -> None:
    assert end_of(start("sh", "-c", script)) == sentence


def test_what_it_wrote_before_its_end_is_read_first(start: Start) -> None:
    program = start("sh", "-c", "head -c 300000 /dev/zero")
    assert len(output(program, 300_000)) == 300_000
    assert end_of(program) == end_of(program) == "sh ended with exit code 0"


@pytest.mark.parametrize(
    "script",
    [
        "sleep 60",
        "trap '' TERM; while :; do sleep 0.1; done",
        "sleep 60 & sleep 60 & wait",
        "cat /dev/zero",
        "sleep 0.1",
    ],
    ids=["at once", "by force", "with its children", "writing", "ended already"],
)
def test_it_is_ended_in_time_with_all_that_it_started(start: Start, script: str, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = start("sh", "-c", f"({script}) & echo $$ $! > {pids}.new; mv {pids}.new {pids}; {script}")
    end = time.monotonic() + BOUND
    while not pids.exists():
        assert time.monotonic() < end
        program.read(0.05)
    began = time.monotonic()
    program.stop()
    program.stop()
    assert time.monotonic() - began < 3.0, "the feed gives no more"
    parent, child = map(int, pids.read_text().split())
    assert not Path(f"/proc/{parent}").exists(), "waited for, no zombie"
    assert gone(child)


def test_it_may_end_in_its_own_way(start: Start, heard: Heard) -> None:
    code = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit("bye"))
print(1, flush=True)
time.sleep(60)
"""
    program = start(sys.executable, "-c", code, polite=signal.SIGINT)
    output(program, 1)
    program.stop()
    assert heard.lines == ["bye"]
    assert program.code == 1


def test_what_it_says_is_logged_up_to_a_rate(start: Start, heard: Heard) -> None:
    program = start("sh", "-c", "for n in $(seq 1 500); do echo line $n >&2; done")
    end_of(program)
    program.stop()
    assert heard.lines[:BURST] == [f"line {n}" for n in range(1, BURST + 1)]
    assert len(heard.lines) + heard.left_out == 500
    assert len(heard.lines) <= BURST + 5, "one for each second that this took"
    assert list(program.said)[-1] == "line 500", "remembered all the same"


def test_what_it_says_never_holds_it_up(start: Start) -> None:
    program = start("sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x >&2; printf done")
    assert output(program, 4) == b"done"


@pytest.mark.parametrize("argument", ["{fd}", "fd={fd}"])
def test_a_program_that_prints_may_have_a_descriptor_of_its_own_for_video(
    start: Start, heard: Heard, argument: str
) -> None:
    code = "import os, sys; print('chatter', flush=True); os.write(int(sys.argv[1].removeprefix('fd=')), b'video')"
    program = start(sys.executable, "-c", code, argument, aside=True)
    assert output(program, 5) == b"video"
    end_of(program)
    assert heard.lines == ["chatter"]


def test_one_that_listens_hears_what_is_said_to_it(start: Start) -> None:
    program = start("head", "-n", "1", listens=True)
    program.say(b"keyframe\n")
    assert output(program, 9) == b"keyframe\n"
    for _ in range(3):
        program.say(b"nobody hears this\n")
    end_of(program)
    program.stop()
    program.say(b"nor this\n")


def test_saying_never_blocks(start: Start) -> None:
    program = start("sleep", "60", listens=True)
    began = time.monotonic()
    for _ in range(200):
        program.say(b"x" * 1000)
    assert time.monotonic() - began < 2.0


def test_it_does_not_see_the_daemons_secrets(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = ["OVERSHOOT_API_KEY", "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "WATCHDOG_USEC", "LISTEN_FDS"]
    for name in (*hidden, "GST_DEBUG"):
        monkeypatch.setenv(name, "value")
    program = start("sh", "-c", "env; echo last=")
    seen = b""
    while b"last=" not in seen:
        seen += output(program, 1)
    names = {line.partition("=")[0] for line in seen.decode().splitlines()}
    assert {"PATH", "GST_DEBUG"} <= names
    assert not names & set(hidden)


def test_what_is_no_program_needs_another_configuration(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo\n")
    with pytest.raises(Permanent, match=r"^no-such-thing: no such program; install it, or give its whole path$"):
        start("no-such-thing")
    with pytest.raises(Permanent, match=r"/missing: no such program; install it$"):
        start(f"{tmp_path}/missing")
    with pytest.raises(Permanent, match=r"script: may not be executed by this user; is chmod \+x missing\?$"):
        start(str(script))
    script.chmod(0o755)
    with pytest.raises(Permanent, match=r"script: is no program; .*#!/bin/sh$"):
        start(str(script))
    script.write_text("#!/no/such/interpreter\n")
    with pytest.raises(Permanent, match=r"script: the interpreter that its first line names is not there$"):
        start(str(script))


def test_a_machine_that_is_full_is_tried_again() -> None:
    error = launch.refused("ffmpeg", OSError(errno.EAGAIN, "x"))
    assert isinstance(error, CameraLost)
    assert str(error) == "ffmpeg cannot be started: Resource temporarily unavailable"


def test_none_of_its_descriptors_is_left(start: Start) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(Permanent):
        start("no-such-thing")
    start("sleep", "60", listens=True).stop()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_one_that_cannot_be_killed_is_told_and_nothing_is_started_beside_it(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a driver can do that to a process; here the signals are withheld."""
    monkeypatch.setattr(process, "POLITE_SECONDS", 0.1)
    leftovers = Leftovers()
    program = start("sh", "-c", "echo $$; exec sleep 60", leftovers=leftovers)
    pid = int(output(program, 2))
    with monkeypatch.context() as withheld:
        withheld.setattr(os, "killpg", lambda *_: None)
        with pytest.raises(CameraLost, match=rf"^sh \(process {pid}\) cannot be ended \(state S\)$"):
            program.stop()
    with pytest.raises(CameraLost, match="cannot be ended"):
        start("sleep", "60", leftovers=leftovers)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    start("sleep", "60", leftovers=leftovers)


def test_it_ends_with_a_daemon_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import structlog, time
from overshootd.capture.program.process import Leftovers, Program
program = Program(["sh", "-c", "echo $$ > {tmp_path}/pid; exec cat /dev/zero"], structlog.get_logger(), Leftovers())
program.start()
program.read(10)
print("started", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"started\n"
        daemon.kill()
    assert gone(int((tmp_path / "pid").read_text()))
