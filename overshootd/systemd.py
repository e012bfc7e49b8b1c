"""The service protocol: what systemd is told, and what its signals ask of us (systemd.service(5), sd_notify(3))."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from enum import Enum

import sdnotify

ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1})

SEND_SECONDS = 0.5
"""A service manager that does not read must not hold the event loop."""


class Ending(Enum):
    """How to end. Both flush everything; only `END` deletes the streams."""

    END = "end"
    RESTART = "restart"


def meaning(signo: int, sender: int, ourselves: int) -> Ending:
    """What a signal asks for. Pure.

    SIGUSR1 is the unit's RestartKillSignal. A SIGTERM that this process sent to itself comes from the LiveKit SDK
    after a
    panic (livekit-notes.md, Traps): the library is unusable, the streams are not.
    """
    if signo == signal.SIGUSR1 or (signo == signal.SIGTERM and sender == ourselves):
        return Ending.RESTART
    return Ending.END


def hold_signals() -> None:
    """Block the ending signals. Must run before any thread exists: threads inherit the mask, and so never take one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def watch_signals(on_signal: Callable[[Ending, str], None]) -> None:
    """Call `on_signal` (from a thread) for every ending signal. Needs `hold_signals` first.

    A handler set by `signal.signal` is not told who sent the signal; `sigwaitinfo` is.
    """

    def wait() -> None:
        while True:
            info = signal.sigwaitinfo(ENDING)
            ending = meaning(info.si_signo, info.si_pid, os.getpid())
            on_signal(ending, signal.Signals(info.si_signo).name)

    threading.Thread(target=wait, name="signals", daemon=True).start()


class Notifier:
    """sd_notify; silent where no service manager listens."""

    def __init__(self) -> None:
        self._manager = sdnotify.SystemdNotifier()
        if self._manager.socket is not None:
            self._manager.socket.settimeout(SEND_SECONDS)
        self._status = ""

    def ready(self) -> None:
        self._send("READY=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def status(self, line: str) -> None:
        """One line, sent when it changes."""
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def _send(self, message: str) -> None:
        # sdnotify encodes as Latin-1 and drops, without a word, what that cannot say; systemd takes UTF-8.
        self._manager.notify(message.encode().decode("latin-1"))
