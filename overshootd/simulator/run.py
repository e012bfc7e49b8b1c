"""The composition root of `overshootd simulate`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import web
from yarl import URL

from overshootd.simulator.adapters import open_media
from overshootd.simulator.contract import Contract
from overshootd.simulator.control import Control
from overshootd.simulator.faults import AnyFault, Faults, OneShot
from overshootd.simulator.gateway import Gateway, Media, RoomServerError, Terms
from overshootd.simulator.ledger import Ledger
from overshootd.simulator.options import Options
from overshootd.simulator.routes import BASE, Routes
from overshootd.simulator.scenario import ScenarioError, Timed, load, play

_MAX_LINE = 32 * 1024  # LiveKit's join request carries its first offer in the URL, up to 8 kB
_SHUTDOWN_SECONDS = 1.0
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where clients on this machine find us when we listen on all addresses, and advertise none that others could use."""

_LOG = logging.getLogger(__name__)


async def serve(options: Options) -> int:
    """Serve until SIGTERM or SIGINT; gives the exit code.

    0; 65 when a publisher did what the API does not ask for; 69 when media or port cannot be had; 78 for a bad file.
    """
    try:
        tls = _tls(options)
        scenario = load(options.faults) if options.faults else []
    except (ScenarioError, OSError) as error:
        return _failed(error, os.EX_CONFIG)
    stop = _stop_on_signals()  # before anything is started that must also be ended, such as a child process
    try:
        async with AsyncExitStack() as stack:
            front = _listen(options, tls, stack)
            media, media_routes = await open_media(options, str(front.url("ws", "wss")), stack)
            ledger = await _run(options, scenario, front, media, media_routes, stop=stop)
    except (OSError, RuntimeError) as error:
        return _failed(error, os.EX_UNAVAILABLE)
    if ledger.violation_count:
        _LOG.error("%d violations, the first kept: %s", ledger.violation_count, ledger.violations[0])
        return os.EX_DATAERR
    return os.EX_OK


@dataclass(frozen=True, slots=True)
class _Front:
    """What we listen on. `host`: where clients find it."""

    host: str
    gateway: socket.socket
    control: socket.socket | None
    tls: ssl.SSLContext | None

    def url(self, plain: str, secure: str) -> URL:
        """The origin under which clients reach the gateway."""
        return URL.build(scheme=secure if self.tls else plain, host=self.host, port=self.gateway.getsockname()[1])


async def _run(
    options: Options,
    scenario: list[Timed],
    front: _Front,
    media: Media,
    media_routes: list[web.RouteDef],
    *,
    stop: asyncio.Event,
) -> Ledger:
    """Serve until `stop`. Servers close before the streams' tasks are awaited, so nothing new begins meanwhile."""
    ledger = Ledger(options.keys)
    async with asyncio.TaskGroup() as group, AsyncExitStack() as servers:
        gateway = Gateway(
            terms=Terms(options.lease_ttl, options.token_ttl),
            contract=Contract.load("v0.2"),
            ledger=ledger,
            faults=Faults(),
            media=media,
            group=group,
        )
        await _start([*Routes(gateway).table(), *media_routes], front.gateway, front.tls, servers)
        if front.control is not None:
            await _start(Control(gateway).table(), front.control, None, servers)
            _LOG.info("control endpoint: http://127.0.0.1:%d", front.control.getsockname()[1])
        playing = group.create_task(play(scenario, _applier(gateway)))
        print(f"ready {front.url('http', 'https')}{BASE}", flush=True)
        await stop.wait()
        playing.cancel()
        gateway.end_all()
    return ledger


def _applier(gateway: Gateway) -> Callable[[AnyFault], Awaitable[None]]:
    async def apply(fault: AnyFault) -> None:
        if isinstance(fault, OneShot):
            try:
                await gateway.act(fault)
            except RoomServerError as error:  # it fails the run: the scenario asked for what did not happen
                gateway.ledger.violated(f"{fault.fault}: {error}")
        else:
            _LOG.info("fault: %s", fault.model_dump(by_alias=True, exclude_none=True))
            gateway.faults.add(fault, time.monotonic())

    return apply


async def _start(
    routes: list[web.RouteDef], listener: socket.socket, tls: ssl.SSLContext | None, stack: AsyncExitStack
) -> None:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, max_line_size=_MAX_LINE, max_field_size=_MAX_LINE
    )
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=tls).start()


def _listen(options: Options, tls: ssl.SSLContext | None, stack: AsyncExitStack) -> _Front:
    """Raises OSError that names the address."""
    gateway = stack.enter_context(_bound(options.host, options.port))
    control = None if options.control is None else stack.enter_context(_bound("127.0.0.1", options.control))
    found_at = _LOOPBACK.get(options.host)
    return _Front((options.advertise or found_at) if found_at else options.host, gateway, control, tls)


def _bound(host: str, port: int) -> socket.socket:
    """`::` takes IPv4 too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, dualstack_ipv6=host == "::")
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while attempting")[0]  # appended by create_server
        raise OSError(f"cannot listen on {host} port {port}: {reason}") from error


def _tls(options: Options) -> ssl.SSLContext | None:
    """Raises OSError (ssl.SSLError is one) that names the file."""
    if options.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    except OSError as error:
        raise OSError(f"--tls-cert {options.tls_cert}, --tls-key {options.tls_key}: {error}") from error
    return context


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _failed(error: Exception, code: int) -> int:
    print(f"overshootd simulate: {error}", file=sys.stderr)
    return code
