"""The network lab makes the trouble that it promises, seen from the device, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.net.lab import SERVER, Lab, lab
from tests.net.weather import Uplink

pytestmark = pytest.mark.usefixtures("net_allowed")

PATIENCE = 0.5
ECHO = 9000


@dataclass
class Flow:
    """UDP from the device, which the server sends back with the address that it came from in front."""

    near: socket.socket
    version: int = 4

    async def round_trip(self, size: int = 100) -> tuple[float, str] | None:
        """Seconds, and the sender as the server sees it; None when nothing came back within PATIENCE."""
        loop, began = asyncio.get_running_loop(), time.monotonic()
        question = os.urandom(8).ljust(size, b".")
        await loop.sock_sendto(self.near, question, (SERVER[self.version], ECHO))
        try:
            async with asyncio.timeout(PATIENCE):
                while True:  # what comes late is not the answer to this
                    answer = await loop.sock_recv(self.near, 4096)
                    if answer.endswith(question):
                        return time.monotonic() - began, answer.removesuffix(question).decode()
        except TimeoutError:
            return None

    async def burst(self, count: int) -> int:
        """How many of so many came back."""
        loop, returned = asyncio.get_running_loop(), 0
        for _ in range(count):
            await loop.sock_sendto(self.near, b"x", (SERVER[self.version], ECHO))
        try:
            async with asyncio.timeout(PATIENCE):
                while returned < count:
                    await loop.sock_recv(self.near, 4096)
                    returned += 1
        except TimeoutError:
            pass  # the others are lost
        return returned

    async def passes(self, size: int = 100) -> bool:
        return await self.round_trip(size) is not None


@asynccontextmanager
async def flow(net: Lab, version: int = 4) -> AsyncIterator[Flow]:
    """A new one, and the server's end for it."""
    family = {4: socket.AF_INET, 6: socket.AF_INET6}[version]
    with net.device.socket(family, socket.SOCK_DGRAM) as near, net.server.socket(family, socket.SOCK_DGRAM) as far:
        near.setblocking(False)
        far.setblocking(False)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        far.bind((SERVER[version], ECHO))
        echoing = asyncio.create_task(_echo(far))
        try:
            yield Flow(near, version)
        finally:
            echoing.cancel()
            await asyncio.gather(echoing, return_exceptions=True)


async def _echo(far: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        data, client = await loop.sock_recvfrom(far, 4096)
        await loop.sock_sendto(far, f"{client[0]} {client[1]}".encode() + data, client)


async def _resolves(net: Lab) -> bool:
    found = await net.device.run("sh", "-c", "RES_OPTIONS='timeout:1 attempts:1' getent ahosts api.lab || true")
    return SERVER[net.versions[0]] in found


async def test_both_uplinks_reach_the_server_by_either_version(tmp_path: Path) -> None:
    async with lab(tmp_path, versions=(4, 6)) as net, flow(net, 4) as four, flow(net, 6) as six:
        for uplink in ("a", "b"):
            await net.route(uplink)
            assert await four.passes() and await six.passes()
        assert await _resolves(net)


async def test_a_black_hole_is_of_one_uplink_and_ends(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, flow(net) as one:
        await net.weather(a=Uplink(dead=True))
        assert not await one.passes()
        await net.route("b")
        assert await one.passes()
        await net.route("a")
        await net.weather()
        assert await one.passes()


async def test_flows_that_are_stranded_stay_so_and_new_ones_pass(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, flow(net) as old:
        assert await old.passes()
        await net.strand()
        async with flow(net) as new:
            assert not await old.passes()
            assert await new.passes()
            await net.weather()
            assert not await old.passes()


async def test_rebinding_gives_a_udp_flow_another_port_and_kills_tcp(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, flow(net) as udp, _tcp(net) as (near, far):
        before = await udp.round_trip()
        assert await _carries(near, far)
        await net.rebind()
        after = await udp.round_trip()
        assert before is not None and after is not None and before[1] != after[1]
        assert not await _carries(near, far)


@asynccontextmanager
async def _tcp(net: Lab) -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    """A connection from the device to the server; both ends."""
    loop = asyncio.get_running_loop()
    kind = socket.AF_INET, socket.SOCK_STREAM
    with net.server.socket(*kind) as listener, net.device.socket(*kind) as near:
        listener.bind((SERVER[4], ECHO))
        listener.listen()
        for one in (listener, near):
            one.setblocking(False)
        await loop.sock_connect(near, (SERVER[4], ECHO))
        far, _ = await loop.sock_accept(listener)
        with far:
            yield near, far


async def _carries(near: socket.socket, far: socket.socket) -> bool:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(near, b"x")
    try:
        async with asyncio.timeout(PATIENCE):
            return await loop.sock_recv(far, 1) == b"x"
    except TimeoutError:
        return False


async def test_delay_is_what_was_asked_for_both_ways_and_goes_again(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, flow(net) as one:
        assert await one.passes()
        await net.weather(a=Uplink(delay=0.05))
        trips = [trip[0] for _ in range(5) if (trip := await one.round_trip())]
        assert 0.1 <= statistics.median(trips) < 0.2
        await net.weather()
        trip = await one.round_trip()
        assert trip is not None and trip[0] < 0.05


async def test_loss_is_roughly_what_was_asked_for(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, flow(net) as one:
        await net.weather(a=Uplink(loss=0.5))
        assert 8 <= await one.burst(100) <= 45  # a quarter comes back; else, once in 100 000 runs
        await net.weather()
        assert await one.burst(100) == 100


async def test_a_narrow_uplink_takes_its_time(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, flow(net) as one:
        await net.weather(a=Uplink(kbps=100))
        for _ in range(6):  # the burst that goes at once
            await one.round_trip(1400)
        trip = await one.round_trip(1400)
        assert trip is not None and trip[0] > 0.1  # 11 kbit at 100 kbit/s
        await net.weather()
        trip = await one.round_trip(1400)
        assert trip is not None and trip[0] < 0.1


async def test_what_is_too_large_is_lost_silently(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, flow(net) as one:
        await net.weather(a=Uplink(largest=1280))
        assert await one.passes(1200)
        assert not await one.passes(1300)


async def test_without_udp_names_are_still_found(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, flow(net) as one:
        await net.weather(a=Uplink(udp=False))
        assert not await one.passes()
        assert await _resolves(net)


async def test_without_dns_all_else_passes(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, flow(net) as one:
        await net.weather(dns=False)
        assert await one.passes()
        assert not await _resolves(net)


async def test_a_captive_portal_redirects_and_spoils_tls(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, flow(net) as one:
        await net.weather(a=Uplink(portal=True))
        assert await _portal_says(net, b"GET / HTTP/1.1\r\nHost: api.lab\r\n\r\n") == b"HTTP/1.1 302"
        assert (await _portal_says(net, bytes([0x16, 3, 1, 0, 1, 0])))[:1] == bytes([21])  # an alert
        assert await _resolves(net)
        assert not await one.passes()


async def _portal_says(net: Lab, hello: bytes) -> bytes:
    """The first twelve bytes."""
    loop = asyncio.get_running_loop()
    with net.device.socket(socket.AF_INET, socket.SOCK_STREAM) as near:
        near.setblocking(False)
        async with asyncio.timeout(5):
            await loop.sock_connect(near, (SERVER[4], 8900))
            await loop.sock_sendall(near, hello)
            return await loop.sock_recv(near, 12)


async def test_the_other_uplinks_address_does_not_leave(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, flow(net) as one:
        one.near.bind(("10.81.1.2", 0))
        assert await one.passes()
        await net.route("b")
        assert not await one.passes()


async def test_a_link_that_goes_down_leaves_the_way_to_the_spare(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, flow(net) as one:
        await net.spare("b")
        await net.link("a", up=False)
        assert await one.passes()


async def test_nothing_of_it_is_left(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        await net.weather(a=Uplink(delay=0.01))
        holders = [Path("/proc", str(one.pid)) for one in (net.device, net.router, net.server)]
        assert _there(holders) == holders
    assert _there(holders) == []


def _there(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]
