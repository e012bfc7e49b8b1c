"""The composition root of `overshootd run`: everything is made here, handed to what needs it, and ended in reverse."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from overshootd import __version__
from overshootd.config.load import Loaded, load
from overshootd.config.secret import Redactor
from overshootd.contracts import Log
from overshootd.logs import open_log
from overshootd.systemd import Ending, Notifier, hold_signals, watch_signals

OK, SOFTWARE, AGAIN, CONFIG = 0, 70, 75, 78
"""sysexits.h: EX_OK, EX_SOFTWARE, EX_TEMPFAIL (systemd restarts us), EX_CONFIG."""

END_SECONDS = 9.0
"""Whatever hangs, the process is gone by then: the contract is 10 s from the signal."""


def run(path: Path) -> int:
    """Run until a signal. Leaves through os._exit once anything was started, so it returns only for a bad configuration."""
    hold_signals()
    loaded = load(path, os.environ)
    log = open_log(Redactor(loaded.secrets))
    for problem in loaded.problems:
        log.error(str(problem))
    if loaded.hopeless:
        log.error("no stream can run", problems=len(loaded.problems))
        return CONFIG
    code = SOFTWARE
    try:
        code = asyncio.run(_main(loaded, log))
    except Exception as error:  # noqa: BLE001 - the last line of defence: say it, redacted, and let systemd restart us
        log.error("overshootd ends because of an error of its own", exc_info=error)
    sys.stdout.flush()
    sys.stderr.flush()
    # Roughly one clean exit in 50 aborted inside the LiveKit library (livekit-notes.md, Traps): nothing of it may run now.
    os._exit(code)


async def _main(loaded: Loaded, log: Log) -> int:
    loop = asyncio.get_running_loop()
    # asyncio resolves names in its default executor, and nothing else may block there.
    loop.set_default_executor(ThreadPoolExecutor(2, thread_name_prefix="dns"))
    asked: asyncio.Future[Ending] = loop.create_future()

    def ask(ending: Ending, name: str) -> None:
        if asked.done():
            return
        log.info(f"{name}: {ending.value}")
        asked.set_result(ending)
        # From here on even a loop that hangs must not keep the process: systemd would kill it, and 10 s are promised.
        _exit_within(END_SECONDS, AGAIN if ending is Ending.RESTART else OK)

    watch_signals(lambda ending, name: loop.call_soon_threadsafe(ask, ending, name))
    notifier = Notifier()
    # Imported after the signals are held and the configuration stands; httpx and the sinks are no part of a failed start.
    from overshootd.daemon import Daemon

    daemon = Daemon(loaded, log, notifier, ssl.create_default_context(), f"overshootd/{__version__}")
    ending = await daemon.run(asked)
    notifier.stopping()
    return AGAIN if ending is Ending.RESTART else OK


def _exit_within(seconds: float, code: int) -> None:
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()
