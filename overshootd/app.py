"""The composition root of `overshootd run`: what the daemon is made of is made here, and ended here in reverse."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from overshootd import memory, proxies
from overshootd.board import board
from overshootd.clock import clock_synced
from overshootd.config.device import machine_id
from overshootd.config.load import Loaded, load
from overshootd.config.reveal import revealer
from overshootd.config.secret import Redactor
from overshootd.contracts import Log, Paths
from overshootd.control.address import listening_at
from overshootd.control.wire import Handler
from overshootd.controls import KeptControls
from overshootd.errors import ConfigError, SpoolError
from overshootd.groups import TaskGroup
from overshootd.logs import open_log
from overshootd.outlets import Outlets
from overshootd.resolver import Resolver
from overshootd.resume import ResumeStore
from overshootd.sinks.choose import Ways
from overshootd.sinks.disk import Disk
from overshootd.sinks.space import Space
from overshootd.sinks.spool import Spool
from overshootd.sinks.stdout import Output
from overshootd.sinks.tally import DayTally
from overshootd.statelock import alone_in
from overshootd.status import status_line
from overshootd.systemd import Ending, Notifier, hold_signals, watch_signals

OK, SOFTWARE, AGAIN, CONFIG = 0, 70, 75, 78
"""sysexits.h: EX_OK, EX_SOFTWARE, EX_TEMPFAIL (systemd starts us again), EX_CONFIG."""

END_SECONDS = 9.0
"""Whatever hangs, the process is gone by then: 10 s from the signal are promised."""

STAGE = "OVERSHOOTD_STAGE"
"""A directory on a tmpfs that outlives the process: the spool keeps there what is new (sinks/stage.py). The unit sets
it; without it all goes to the disk."""

STARTED_SECONDS = 2.0
"""A predecessor that is about to exit keeps the state directory no longer; systemd is not made to wait for another."""

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
    for warning in loaded.warnings:
        log.warning(str(warning))
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
    from overshootd.control import orders
    from overshootd.control.facts import Status
    from overshootd.control.server import Control
    from overshootd.daemon import Daemon, initial_states
    from overshootd.pictures import Pictures

    loop = asyncio.get_running_loop()
    resolver = Resolver(loop)
    asked = _asked(loop, log)
    notifier = Notifier()
    states = initial_states(loaded)
    async with AsyncExitStack() as closing:
        closing.callback(resolver.close)
        disk = Disk()
        closing.push_async_callback(disk.close, DISK_SECONDS)
        if not await _alone(loaded.state_dir, disk, asked, notifier, log):
            return _code(asked.result())
        spool = _spool(loaded, disk, log)
        closing.push_async_callback(_close_spool, spool, log)
        await _open_spool(spool, log, needed=any(stream.enabled for stream in loaded.streams.values()))
        notifier.status(status_line(states, {}))
        notifier.ready()
        # Imported once the service counts as started: the SDK takes a second on a slow board.
        from overshootd.outside import Outside

        outside = Outside(path, loaded, redactor, log, resolver)
        closing.push_async_callback(outside.close)
        store = ResumeStore(loaded.state_dir, machine_id(), log, disk.run)
        controls = KeptControls(_prompts(loaded), loaded.state_dir, log, disk.run, clock_synced)
        await controls.load()
        closing.push_async_callback(controls.close)  # orders are taken to the very end
        zone = None if loaded.timezone is None else ZoneInfo(loaded.timezone)
        tally = DayTally(spool.within, zone, clock_synced, log)
        spool.before_sync = tally.flush
        closing.push_async_callback(_last_counts, tally, log)
        await tally.load()
        output = Output.of_process()
        closing.push_async_callback(output.close, DISK_SECONDS)
        outlets = _outlets(loaded, spool, disk, output, redactor, outside.paths, log)
        daemon = Daemon(loaded, states, log, spool, outlets, store, controls, tally, notifier.status, redactor.redact)
        limit = loaded.limits.memory_mb or None
        status = Status(
            loaded.device,
            loaded.state_dir,
            states,
            daemon.cameras,
            outside.path_state,
            limit,
            board=lambda: disk.run(board, loaded.state_dir),
            today=tally.today,
            spool=lambda: spool.now,
            brokers=lambda: outlets.broker_states,
            sinks=lambda: outlets.sinks,
            paused=controls.paused_ones,
        )
        outlets.announce(status, controls, redactor.redact)
        controls.on_change(lambda _: outlets.changed())
        handlers: dict[str, Handler] = {
            "status": status,
            "snapshot": Pictures(loaded, daemon.feeds, daemon.cameras),
            **orders.handlers(controls),
        }
        path_asked = listening_at(os.environ, loaded.state_dir)
        async with (
            Control(path_asked, loaded.state_dir, handlers, log, redactor.redact),
            TaskGroup() as tasks,
        ):
            watching = tasks.create_task(_watch_memory(limit, asked, log), name="memory")
            counting = tasks.create_task(tally.run(), name="counts")
            await daemon.run(asked, outside)
            watching.cancel()
            counting.cancel()
        notifier.stopping()
    return _code(asked.result())


def _code(ending: Ending) -> int:
    return AGAIN if ending is Ending.RESTART else OK


async def _alone(state_dir: Path, disk: Disk, asked: asyncio.Future[Ending], notifier: Notifier, log: Log) -> bool:
    """Return once no other daemon has it; False when this one was asked to end before."""
    taking = asyncio.create_task(alone_in(state_dir, disk.run, log), name="state directory")
    either: list[asyncio.Future[Any]] = [taking, asked]
    try:
        done, _ = await asyncio.wait(either, timeout=STARTED_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            notifier.status(f"waiting for the state directory {state_dir}")
            notifier.ready()
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        taking.cancel()
        await asyncio.wait([taking])
    if taking.cancelled():
        return False
    taking.result()
    return True


def _prompts(loaded: Loaded) -> dict[str, str]:
    """What the configuration asks of each stream that runs."""
    return {name: config.inference.prompt for name, config in loaded.streams.items() if config.enabled}


def _outlets(
    loaded: Loaded, spool: Spool, disk: Disk, output: Output, redactor: Redactor, paths: Paths, log: Log
) -> Outlets:
    reveal = revealer(os.environ, redactor.add)
    brokers = {}
    if loaded.brokers:
        from overshootd.mqtt.broker import Broker  # aiomqtt, where it is needed

        brokers = {
            name: Broker(name, config, loaded.device, reveal, log, paths=paths)
            for name, config in loaded.brokers.items()
        }
    ways = Ways(disk, Space(log), output, brokers, reveal)
    return Outlets(loaded, spool, ways, brokers, redactor.add, log)


def _spool(loaded: Loaded, disk: Disk, log: Log) -> Spool:
    return Spool(
        loaded.state_dir,
        disk,
        log,
        sync_seconds=loaded.sync_seconds,
        max_bytes=loaded.spool.max_mb * 1_000_000,
        max_seconds=loaded.spool.max_days * 86400,
        synced=clock_synced,
        stage_dir=Path(stage) if (stage := os.environ.get(STAGE)) else None,
    )


def _asked(loop: asyncio.AbstractEventLoop, log: Log) -> asyncio.Future[Ending]:
    """Done when a signal asks for the end."""
    asked: asyncio.Future[Ending] = loop.create_future()

    def ask(ending: Ending, name: str) -> None:
        if not asked.done():
            log.info(f"{name}: {ending.value}")
            asked.set_result(ending)

    def on_signal(ending: Ending, name: str) -> None:
        # Set in the signals' thread: also a loop that hangs must not keep the process.
        _exit_within(END_SECONDS, _code(ending))
        loop.call_soon_threadsafe(ask, ending, name)

    watch_signals(on_signal)
    return asked


async def _watch_memory(limit_mb: float | None, asked: asyncio.Future[Ending], log: Log) -> None:
    def restart() -> None:
        if not asked.done():
            _exit_within(END_SECONDS, AGAIN)
            asked.set_result(Ending.RESTART)

    if limit_mb is not None:
        await memory.run(limit_mb, restart, log)


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


async def _last_counts(tally: DayTally, log: Log) -> None:
    try:
        async with asyncio.timeout(DISK_SECONDS):
            await tally.flush()
    except TimeoutError:
        log.error("what was counted last is lost: the disk does not answer")


async def _close_spool(spool: Spool, log: Log) -> None:
    try:
        await spool.close(DISK_SECONDS)
    except (SpoolError, TimeoutError) as error:
        log.error(f"the spool was not closed in order: {str(error) or 'no answer'}")
