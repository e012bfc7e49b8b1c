"""The composition root of `overshootd run`: what the daemon is made of is made here, and ended here in reverse."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from overshootd import __version__, proxies
from overshootd.config.device import machine_id
from overshootd.config.load import Loaded, load
from overshootd.config.model import StreamConfig
from overshootd.config.secret import Redactor, Secret
from overshootd.contracts import Api, Log, Paths, Publishers
from overshootd.control.address import listening_at
from overshootd.errors import ConfigError, SpoolError
from overshootd.logs import open_log
from overshootd.paths import Change
from overshootd.resolver import Resolver
from overshootd.resume import ResumeStore
from overshootd.sinks.disk import Disk
from overshootd.sinks.spool import Spool
from overshootd.status import PathState, status_line
from overshootd.systemd import Ending, Notifier, hold_signals, watch_signals

OK, SOFTWARE, AGAIN, CONFIG = 0, 70, 75, 78
"""sysexits.h: EX_OK, EX_SOFTWARE, EX_TEMPFAIL (systemd starts us again), EX_CONFIG."""

END_SECONDS = 9.0
"""Whatever hangs, the process is gone by then: 10 s from the signal are promised."""

DISK_SECONDS = 1.0
JOINS_SECONDS = 0.2


def run(path: Path) -> int:
    """Run until a signal. Returns only when the configuration lets no stream run; else it leaves through os._exit."""
    loaded = load(path, os.environ)
    hold_signals()
    redactor = Redactor((*loaded.secrets, *proxies.passwords(os.environ)))
    log = open_log(redactor)
    for problem in loaded.problems:
        log.error(str(problem))
    if loaded.hopeless:
        log.error("no stream can run with this configuration", mistakes=len(loaded.problems))
        return CONFIG
    code = SOFTWARE
    try:
        code = asyncio.run(_main(path, loaded, redactor, log))
    except ConfigError as error:
        log.error(str(error))
        code = CONFIG
    except Exception as error:  # the last line of defence: said in full, redacted; systemd starts us again
        log.error("overshootd ends because of an error of its own", exc_info=error)
    sys.stdout.flush()
    sys.stderr.flush()
    # Roughly one clean exit in 50 aborted inside the LiveKit library (livekit-notes.md, Traps): none of it may run now.
    os._exit(code)


async def _main(path: Path, loaded: Loaded, redactor: Redactor, log: Log) -> int:
    """Raises ConfigError when results cannot be stored."""
    # Not before the signals are held: it imports NumPy, whose threads would take them.
    from overshootd.control.facts import Status
    from overshootd.control.server import Control
    from overshootd.daemon import Daemon, initial_states

    loop = asyncio.get_running_loop()
    resolver = Resolver(loop)
    asked = _asked(loop, log)
    notifier = Notifier()
    states = initial_states(loaded)
    async with AsyncExitStack() as closing:
        closing.callback(resolver.close)
        disk = Disk()
        closing.push_async_callback(disk.close, DISK_SECONDS)
        spool = Spool(loaded.state_dir, disk, log, sync_seconds=_sync_seconds(loaded))
        closing.push_async_callback(_close_spool, spool, log)
        await _open_spool(spool, log, needed=any(stream.enabled for stream in loaded.streams.values()))
        notifier.status(status_line(states, {}))
        notifier.ready()
        outside = Outside(path, loaded, redactor, log, resolver)
        closing.push_async_callback(outside.close)
        store = ResumeStore(loaded.state_dir, machine_id(), log, disk.run)
        daemon = Daemon(loaded, states, log, disk, spool, store, notifier.status, redactor.redact)
        handlers = {"status": Status(loaded.device, loaded.state_dir, states, daemon.cameras, outside.path_state)}
        path_asked = listening_at(os.environ, loaded.state_dir)
        async with Control(path_asked, loaded.state_dir, handlers, log, redactor.redact):
            await daemon.run(asked, outside)
        notifier.stopping()
    return AGAIN if asked.result() is Ending.RESTART else OK


def _sync_seconds(loaded: Loaded) -> float:
    """The most that any sink's owner wants to lose to a power cut: the spool must not lose more."""
    return min((sink.sync_seconds for stream in loaded.streams.values() for sink in stream.sinks), default=5.0)


def _asked(loop: asyncio.AbstractEventLoop, log: Log) -> asyncio.Future[Ending]:
    """Done when a signal asks for the end."""
    asked: asyncio.Future[Ending] = loop.create_future()

    def ask(ending: Ending, name: str) -> None:
        if not asked.done():
            log.info(f"{name}: {ending.value}")
            asked.set_result(ending)

    def on_signal(ending: Ending, name: str) -> None:
        # Set in the signals' thread: also a loop that hangs must not keep the process.
        _exit_within(END_SECONDS, AGAIN if ending is Ending.RESTART else OK)
        loop.call_soon_threadsafe(ask, ending, name)

    watch_signals(on_signal)
    return asked


def _exit_within(seconds: float, code: int) -> None:
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()


async def _open_spool(spool: Spool, log: Log, *, needed: bool) -> None:
    """Raises ConfigError when results cannot be stored before somebody acts, and there will be results."""
    try:
        await spool.open()
    except SpoolError as error:
        log.error(f"{error}; the first results wait in memory until it can be written")
    except ConfigError as error:
        if needed:
            raise
        log.error(str(error))


async def _close_spool(spool: Spool, log: Log) -> None:
    try:
        await spool.close(DISK_SECONDS)
    except (SpoolError, TimeoutError) as error:
        log.error(f"the spool was not closed in order: {str(error) or 'no answer'}")


class Key:
    """An API key that may be another by the time it is refused: whoever replaced it need not restart us."""

    def __init__(self, key: Secret, read: Callable[[], Secret | None], hide: Callable[[Secret], None]) -> None:
        self._key, self._read, self._hide = key, read, hide

    def __call__(self, again: bool) -> Secret:
        """The key; `again`: as it is written now, which takes some milliseconds."""
        if again and (key := self._read()) is not None and key != self._key:
            self._key = key
            self._hide(key)
        return self._key


class Outside:
    """What connects the streams to the world: one HTTP pool, one TLS truth, one SDK. Satisfies daemon.Outside."""

    def __init__(self, path: Path, loaded: Loaded, redactor: Redactor, log: Log, resolver: Resolver) -> None:
        # Imported once the service counts as started: the SDK takes a second on a slow board.
        from overshootd.api.http import Http
        from overshootd.network import Network
        from overshootd.publish.choose import Encoders
        from overshootd.publish.livekit import LiveKit

        self._path = path
        self._loaded = loaded
        self._redactor = redactor
        self._resolver = resolver
        self._log = log
        proxies.tell(os.environ, log)
        self._tls = ssl.create_default_context()  # the system's authorities, or SSL_CERT_FILE's
        self._http = Http(self._tls, f"overshootd/{__version__}")
        self._livekit = LiveKit()
        self._encoders = Encoders(log)
        self.path_state = PathState()
        self._network = Network(self._hosts, log, self._path_changed)

    @property
    def paths(self) -> Paths:
        return self._network

    async def watch(self) -> NoReturn:
        await self._network.run()

    def _hosts(self) -> frozenset[str]:
        """Whom we talk to: the API, signalling, and where media goes."""
        return self._livekit.peers() | {urlsplit(self._loaded.api.base_url).hostname or ""}

    def _path_changed(self, change: Change) -> None:
        if change.text != self.path_state.what:  # one that had to wait for its turn comes twice
            self.path_state.changed(change.text, time.monotonic())
        if change.start:
            self._resolver.renew()
            self._http.drop_connections()

    def api(self, name: str, config: StreamConfig) -> Api:
        return self._api(name, config.key or self._loaded.key)

    def ender(self, name: str) -> Api | None:
        config = self._loaded.streams.get(name)
        key = config.key if config is not None and config.key is not None else self._loaded.key
        return None if key is None else self._api(name, key)

    def _api(self, name: str, key: Secret | None) -> Api:
        from overshootd.api.v02 import V02

        assert key is not None, "the loader breaks a stream that has no key"
        log = self._log.bind(stream=name)
        read = Key(key, lambda: self._key_of(name), self._redactor.remember)
        return V02(self._http, self._tls, self._loaded.api.base_url, read, log, self._redactor.remember)

    def _key_of(self, name: str) -> Secret | None:
        """The stream's key as the configuration has it now."""
        loaded = load(self._path, os.environ)
        config = loaded.streams.get(name)
        return config.key if config is not None and config.key is not None else loaded.key

    def publishers(self, name: str, config: StreamConfig) -> Publishers:
        from overshootd.publish.choose import StreamPublishers

        log = self._log.bind(stream=name)
        return StreamPublishers(config.transport.type, self._livekit, self._encoders, log)

    async def close(self) -> None:
        await self._encoders.close()
        await self._livekit.close(JOINS_SECONDS)
        await self._http.close()
