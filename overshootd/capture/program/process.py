"""One child program whose output is video: started, read without blocking, ended with all that it has started.

It ends with the daemon, however that ends: nobody reads its pipe then, so the next picture ends it (SIGPIPE), and of
a unit systemd kills what is left (KillMode=mixed). PR_SET_PDEATHSIG would need code between fork and exec, which is
not safe beside threads, and follows the thread that forked, not the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from overshootd.capture.program.launch import environment, refused
from overshootd.capture.program.lines import Bucket, Lines
from overshootd.contracts import Log
from overshootd.errors import CameraLost

PIPE_BYTES = 2**20
"""What any user may ask for (/proc/sys/fs/pipe-max-size). A 720p picture in I420 takes 1.3 of it, and 22 of the usual
64 KiB: as often the writer and we must wake up."""

POLITE_SECONDS = 1.8
KILL_SECONDS = 1.0
"""How long a program may take to end when it is asked, and the kernel to end it: together less than
`feed.Limits.close`. Some drivers let go only after the frame under way: 0.5 s were measured, of one with 1.4 fps."""

CLOSED_SECONDS = 1.0
"""A program that has closed its output is about to end, and its exit code says more."""

TALK_BYTES = 2**16
"""The kernel's usual pipe: what can wait of its standard error."""

LAST_LINES = 20
"""Argus says a dozen when it fails, and the last of them does not tell why."""


class Leftovers:
    """Programs that outlived KILL, for they hang in a driver. One for each camera, over all its openings: else each
    would leave one more behind."""

    def __init__(self) -> None:
        self._left: list[tuple[subprocess.Popen[bytes], str]] = []

    def add(self, process: subprocess.Popen[bytes], sentence: str) -> None:
        self._left.append((process, sentence))

    def check(self) -> None:
        """Raises CameraLost as long as there is one."""
        self._left = [(process, sentence) for process, sentence in self._left if process.poll() is None]
        for _, sentence in self._left:
            raise CameraLost(sentence)


class Program:
    """For one thread, save `say` and `abort`. Started once."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Log,
        leftovers: Leftovers,
        *,
        name: str = "",
        listens: bool = False,
        aside: bool = False,
        polite: signal.Signals = signal.SIGTERM,
    ) -> None:
        """`name` is for errors, the program's own unless given. `listens`: it reads what `say` writes.

        `aside`: it prints, so its video goes to a descriptor of its own, whose number replaces {fd} in `argv`.
        `polite` asks it to end.
        """
        self.name = name or Path(argv[0]).name
        self.said: deque[str] = deque(maxlen=LAST_LINES)
        """The last lines of its standard error."""
        self.code: int | None = None
        """Its exit code once it has ended; minus the signal, when one ended it."""
        self._argv, self._log, self._leftovers = argv, log.bind(program=self.name), leftovers
        self._listens, self._aside, self._polite = listens, aside, polite
        self._process: subprocess.Popen[bytes] | None = None
        self._saying = threading.Lock()
        self._poll = select.poll()
        self._video = self._talk = self._alive = self._wake = -1
        self._aborted = False
        self._open: set[int] = set()
        """Which of the first three descriptors still have something to wait for."""
        self._closed_at = 0.0
        self._ahead = b""
        self._lines, self._bucket = Lines(), Bucket()

    def start(self) -> None:
        """Raises Permanent when there is no such program, CameraLost when it cannot be started now."""
        self._leftovers.check()
        (self._video, video), (self._talk, talk) = os.pipe(), os.pipe()
        try:
            self._listen_for_abort()
            process = self._spawn(video, talk)
            self._alive = _watched(process)
        except OSError as error:
            self._close()
            raise refused(self._argv[0], error) from error
        finally:
            os.close(video)
            os.close(talk)
        self._open = {self._video, self._talk, self._alive}
        for fd in self._open:
            os.set_blocking(fd, False)
            self._poll.register(fd, select.POLLIN)
        with contextlib.suppress(OSError):  # this user has many large pipes already: it goes with a small one too
            fcntl.fcntl(self._video, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._process = process

    def read(self, timeout: float) -> bytes:
        """What it has written, as soon as there is something; nothing after `timeout` seconds.

        Raises CameraLost when it has ended or closed its output, and after `abort`.
        """
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            return ahead
        end = time.monotonic() + timeout
        while True:
            # Once it has ended, only what waits in the pipe will come.
            video = self._wait(end - time.monotonic() if self.code is None else 0.0)
            if self._aborted:
                raise CameraLost(self.explained("is given up"))
            if video:
                if data := self._take(self._video, PIPE_BYTES):
                    return data
            elif self.code is not None:
                self._hear_out()
                raise CameraLost(self.explained(_ended(self.code)))
            now = time.monotonic()
            if self._video not in self._open and now > self._closed_at + CLOSED_SECONDS:
                raise CameraLost(self.explained("has closed its output"))
            if now >= end:
                return b""

    def unread(self, data: bytes) -> None:
        """Let `read` give this again."""
        self._ahead = data + self._ahead

    def explained(self, what: str) -> str:
        """A sentence about the program, with what it said last."""
        return f"{self.name} {what}" + (f": {self.said[-1]}" if self.said else "")

    def say(self, line: bytes) -> None:
        """Write to its standard input. From any thread; never blocks, never raises, before and after its life too."""
        with self._saying:
            if self._process is not None and self._process.stdin is not None:
                # These are wishes: of one that is lost because the program does not read, there will be another.
                with contextlib.suppress(OSError):
                    os.write(self._process.stdin.fileno(), line)

    def abort(self) -> None:
        """Let `read` raise, now and from now on. From any thread, before and after its life too; never blocks."""
        with self._saying:
            self._aborted = True
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        """End it, and what it has started. Idempotent. Raises CameraLost when not even KILL ends it."""
        with self._saying:
            process, self._process = self._process, None
        if process is None:
            return
        self._poll.unregister(self._wake)
        _signal(process, self._polite)
        self._await(POLITE_SECONDS, lambda: self.code is not None and self._video not in self._open)
        # Until it is waited for, its number is nobody else's: this reaches what is left of its own group.
        _signal(process, signal.SIGKILL)
        self._await(KILL_SECONDS, lambda: self.code is not None)
        self._hear_out()
        self._close()
        if process.stdin is not None:
            process.stdin.close()
        if self.code is None:
            sentence = _unkillable(self.name, process.pid)
            self._log.error(sentence)
            self._leftovers.add(process, sentence)
            raise CameraLost(sentence)
        process.wait()

    def _spawn(self, video: int, talk: int) -> subprocess.Popen[bytes]:
        argv = [argument.replace("{fd}", str(video)) if self._aside else argument for argument in self._argv]
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if self._listens else subprocess.DEVNULL,
            stdout=talk if self._aside else video,
            stderr=talk,
            pass_fds=(video,) if self._aside else (),
            env=environment(os.environ),
            start_new_session=True,
            bufsize=0,
        )
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
        return process

    def _listen_for_abort(self) -> None:
        with self._saying:
            self._wake = os.eventfd(int(self._aborted), os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._wake, select.POLLIN)

    def _wait(self, seconds: float) -> bool:
        """Until something happens, `seconds` at most; True when there is video to read, or its end."""
        ready = {fd for fd, _ in self._poll.poll(max(seconds, 0.0) * 1000)}
        if self._talk in ready:
            self._hear(self._lines.feed(self._take(self._talk, TALK_BYTES)))
        if self._alive in ready:
            self._forget(self._alive)
            self.code = _exit_code(self._alive)
        return self._video in ready

    def _await(self, seconds: float, done: Callable[[], bool]) -> None:
        """Until `done`, `seconds` at most. Meanwhile nobody wants its video."""
        end = time.monotonic() + seconds
        while not done() and (left := end - time.monotonic()) > 0:
            if self._wait(left):
                self._take(self._video, PIPE_BYTES)

    def _take(self, fd: int, size: int) -> bytes:
        try:
            data = os.read(fd, size)
        except BlockingIOError:
            return b""
        if not data:
            self._forget(fd)
            self._closed_at = time.monotonic() if fd == self._video else self._closed_at
        return data

    def _forget(self, fd: int) -> None:
        self._open.discard(fd)
        self._poll.unregister(fd)

    def _hear(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.said.append(line)
            if self._bucket.take(time.monotonic()):
                left_out = self._bucket.told()
                self._log.info("a camera's program says", line=line, **({"left_out": left_out} if left_out else {}))

    def _hear_out(self) -> None:
        """What it said last is in the pipe, and may lack the end of a line."""
        if self._talk in self._open:
            self._hear(self._lines.feed(self._take(self._talk, TALK_BYTES)))
        self._hear(self._lines.rest())
        if left_out := self._bucket.told():
            self._log.info("a camera's program said more", left_out=left_out)

    def _close(self) -> None:
        for fd in (self._video, self._talk, self._alive):
            if fd >= 0:
                os.close(fd)
        self._video = self._talk = self._alive = -1
        self._open.clear()
        with self._saying:  # what has its number next must not be written to
            if self._wake >= 0:
                os.close(self._wake)
            self._wake = -1


class ProgramCamera:
    """What cameras that are programs have in common: how theirs is begun, given up and ended."""

    def __init__(self) -> None:
        self._program: Program | None = None
        self._given_up = False

    def abort(self) -> None:
        self._given_up = True
        if self._program is not None:
            self._program.abort()

    def close(self) -> None:
        if self._program is not None:
            self._program.stop()

    def _start(self, program: Program) -> None:
        self._program = program
        if self._given_up:  # `abort` may have found no program
            raise CameraLost(program.explained("is given up"))
        program.start()


def _watched(process: subprocess.Popen[bytes]) -> int:
    """A descriptor that can be read once the process has ended."""
    try:
        return os.pidfd_open(process.pid)
    except OSError:
        process.kill()
        process.wait()
        raise


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(PermissionError):  # it runs as another user (sudo): the end of its pipe must do
        os.killpg(process.pid, number)


def _exit_code(pidfd: int) -> int:
    """Without waiting for it in the kernel's sense: its number stays taken."""
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    assert result is not None, "its pidfd says that it has ended"
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def _ended(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code} ({signal.strsignal(-code)})"


def _unkillable(name: str, pid: int) -> str:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        state = "?"
    driver = ", for it hangs in a driver: only a reboot helps" if state == "D" else f" (state {state})"
    return f"{name} (process {pid}) cannot be ended{driver}"
