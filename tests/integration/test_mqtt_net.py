"""A path that goes silent, and one that is narrow. The namespace is this process's own (namespace.py)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from overshootd.contracts import Message
from overshootd.errors import Unreachable
from overshootd.mqtt.broker import Broker
from tests.integration.announce_bed import listening
from tests.integration.mosquitto import Mosquitto, mosquitto
from tests.integration.mqtt_bed import connected, until, url
from tests.remembering import RememberingLog
from tests.unit.attempt_parts import Paths

RECORD = bytes(686)
LIVE_BOUND = 2.0
"""Seconds for a test on a machine that is full. The figure to reach is 1 s."""

pytestmark = pytest.mark.usefixtures("media_net")


def _run(*command: str, stdin: str = "") -> None:
    environment = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=20, env=environment, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


@contextmanager
def silent(server: Mosquitto) -> Iterator[None]:
    """Nothing gets through to it or back, and nobody is told."""
    rules = "\n".join(f"tcp {end}port {server.port} drop;" for end in ("s", "d"))
    _run(
        "nft",
        "-f",
        "-",
        stdin=f"table inet cut {{ chain input {{ type filter hook input priority 0;\n{rules}\n}}\n}}\n",
    )
    try:
        yield
    finally:
        _run("nft", "delete", "table", "inet", "cut")


@contextmanager
def narrow(rate: str) -> Iterator[None]:
    """The loopback carries no more than that, in both directions together, before a buffer of 20 s."""
    _run("ip", "link", "set", "lo", "mtu", "1500")  # a bucket lets no packet through that is larger than itself
    try:
        _run("tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", rate, "burst", "3000", "limit", "250000")
        try:
            yield
        finally:
            _run("tc", "qdisc", "del", "dev", "lo", "root")
    finally:
        _run("ip", "link", "set", "lo", "mtu", "65536")


@contextmanager
def sent_from(address: str) -> Iterator[None]:
    """What goes to 127.0.0.1 from now on."""
    route = ("ip", "route", "replace", "local", "127.0.0.1", "dev", "lo", "table", "local", "src")
    _run(*route, address)
    try:
        yield
    finally:
        _run(*route, "127.0.0.1")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with mosquitto(tmp_path / "mosquitto", persistence=False) as server:
        yield server


@pytest.fixture
def log() -> RememberingLog:
    return RememberingLog()


async def _publish_all(broker: Broker, numbers: range) -> None:
    """As a delivery does: again, until it is acknowledged."""
    for number in numbers:
        while True:
            try:
                await broker.publish([Message("a", b"%d" % number)])
                break
            except Unreachable:
                await asyncio.sleep(0.05)


async def test_a_path_that_goes_silent_is_noticed_and_nothing_is_lost(server: Mosquitto, log: RememberingLog) -> None:
    """Within the keepalive of 5 s, though we go on sending."""
    async with listening(server) as listener, connected(url(server), log) as broker:
        publishing = asyncio.create_task(_publish_all(broker, range(500)))
        await until(lambda: listener.counts["a"] > 100, "some")
        with silent(server):
            began = time.monotonic()
            await until(lambda: not broker.state.connected, "the loss", 30)
            assert time.monotonic() - began < 15
        await until(lambda: broker.state.connections == 2, "the way back", 60)
        async with asyncio.timeout(30):
            await publishing
        await listener.hears("a", b"499")


async def test_a_path_that_goes_silent_is_noticed_by_who_has_nothing_to_say(
    server: Mosquitto, log: RememberingLog
) -> None:
    async with connected(url(server), log) as broker:
        with silent(server):
            await until(lambda: not broker.state.connected, "the loss", 30)
        await until(lambda: broker.state.connections == 2, "the way back", 60)


async def test_another_address_of_ours_is_a_reason_to_connect_anew(server: Mosquitto, log: RememberingLog) -> None:
    """The kernel keeps the old connection, which on another network leads nowhere."""
    paths = Paths()
    async with connected(url(server), log, paths=paths) as broker:
        with sent_from("127.0.0.2"):
            paths.change()
            await until(lambda: broker.state.connections == 2, "another connection")
    assert "broker home: the path to it has changed" in log.lines


async def test_the_same_address_of_ours_is_none(server: Mosquitto, log: RememberingLog) -> None:
    async with connected(url(server), log) as broker:
        connection = broker._connection
        assert connection is not None
        assert not connection.is_astray()
        with sent_from("127.0.0.2"):
            assert connection.is_astray()


async def test_what_is_live_passes_a_backlog_on_a_narrow_link(server: Mosquitto, log: RememberingLog) -> None:
    acknowledged = 0

    async def drain(broker: Broker) -> None:
        nonlocal acknowledged
        while True:
            await broker.publish([Message("a", RECORD)] * 64, backlog=True)
            acknowledged += 64

    with narrow("100kbit"):
        async with connected(url(server), log) as broker:
            draining = asyncio.create_task(drain(broker))
            await until(lambda: acknowledged >= 128, "a backlog under way", 60)
            worst = 0.0
            for _ in range(10):
                began = time.monotonic()
                await broker.publish([Message("b", RECORD)])
                worst = max(worst, time.monotonic() - began)
                await asyncio.sleep(0.3)
            assert acknowledged > 128
            draining.cancel()
            await asyncio.wait([draining])
    assert worst < LIVE_BOUND
