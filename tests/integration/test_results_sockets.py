"""The results sockets of one stream over a real server: for a moment two where a path is doubted, nothing lost."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.server import ServerConnection, serve

from overshootd.api.socket import ResultsSocket, SocketEnded, Sockets, open_results
from overshootd.config.secret import Secret
from tests.integration.daemon_bed import eventually

BOUND = 10.0
TLS = ssl.create_default_context()


@dataclass
class Server:
    """Sends to every socket that is open, as the API does. While `silent` it takes connections and answers nothing."""

    open: list[ServerConnection] = field(default_factory=list)
    keys: list[str | bytes] = field(default_factory=list)
    url: str = ""
    silent: bool = False
    tried: int = 0

    async def serve(self, connection: ServerConnection) -> None:
        self.keys.append(await connection.recv())
        self.open.append(connection)
        await connection.wait_closed()
        self.open.remove(connection)

    async def hold(self, connection: ServerConnection, _request: object) -> None:
        if self.silent:
            await connection.wait_closed()

    async def send(self, message: str) -> None:
        for connection in self.open:
            await connection.send(message)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    async with serve(made.serve, "127.0.0.1", 0, process_request=made.hold, close_timeout=1) as listening:
        made.url = f"ws://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}"
        yield made


@asynccontextmanager
async def sockets(server: Server) -> AsyncIterator[Sockets]:
    async def one() -> ResultsSocket:
        server.tried += 1
        return await open_results(server.url, Secret("ovs_test"), TLS, 5.0)

    made = Sockets(one)
    try:
        async with asyncio.timeout(BOUND):
            yield made
    finally:
        await made.close()


async def until_open(server: Server, count: int) -> None:
    await eventually(lambda: len(server.open) == count, f"{count} open sockets", BOUND)


@asynccontextmanager
async def receiving_from(server: Server) -> AsyncIterator[tuple[Sockets, asyncio.Task[str | bytes]]]:
    """One socket is open, and its first message waited for."""
    async with sockets(server) as reading:
        receiving = asyncio.create_task(reading.receive())
        await until_open(server, 1)
        yield reading, receiving


async def test_messages_come_in_order_and_the_key_is_the_first_word(server: Server) -> None:
    async with receiving_from(server) as (reading, receiving):
        await server.send("1")
        await server.send("2")
        assert [await receiving, await reading.receive()] == ["1", "2"]
        assert server.keys == ['{"api_key": "ovs_test"}']


async def test_a_renewed_socket_takes_over_and_the_old_one_is_closed(server: Server) -> None:
    async with receiving_from(server) as (reading, receiving):
        reading.renew()
        await eventually(lambda: len(server.keys) == 2, "a second socket", BOUND)
        await until_open(server, 1)
        await server.send("after")
        assert await receiving == "after"


async def test_the_old_socket_gives_results_until_the_new_one_is_there(server: Server) -> None:
    async with receiving_from(server) as (reading, receiving):
        server.silent = True
        reading.renew()
        await server.send("meanwhile")
        assert await receiving == "meanwhile"


async def test_a_newcomer_that_fails_leaves_the_old_one_as_it_is(server: Server) -> None:
    async with receiving_from(server) as (reading, receiving):
        good, server.url = server.url, "ws://127.0.0.1:9"
        reading.renew()
        await server.send("still")
        assert await receiving == "still"
        server.url = good


async def test_while_the_old_one_is_doubted_another_is_tried_for_until_it_is_open(server: Server) -> None:
    async with receiving_from(server) as (reading, receiving):
        good, server.url = server.url, "ws://127.0.0.1:9"
        reading.renew()
        await eventually(lambda: server.tried > 2, "tries", BOUND)
        server.url = good
        await eventually(lambda: len(server.keys) == 2, "a second socket", BOUND)
        await until_open(server, 1)
        await server.send("new")
        assert await receiving == "new"


async def test_the_end_of_the_last_socket_is_told(server: Server) -> None:
    async with receiving_from(server) as (_, receiving):
        await server.open[0].close(1001, "lease_expired")
        with pytest.raises(SocketEnded, match="lease_expired"):
            await receiving


async def test_the_end_of_the_old_socket_is_nothing_while_another_is_on_its_way(server: Server) -> None:
    async with receiving_from(server) as (reading, receiving):
        old = server.open[0]
        reading.renew()
        await old.close()
        await eventually(lambda: len(server.keys) == 2, "a second socket", BOUND)
        await until_open(server, 1)
        await server.send("new")
        assert await receiving == "new"


async def test_a_newcomer_that_was_open_already_is_closed_when_another_is_asked_for(server: Server) -> None:
    async with receiving_from(server) as (reading, receiving):
        await server.send("first")
        await receiving  # nobody reads for a while
        for count in (2, 3):
            reading.renew()
            await eventually(lambda count=count: len(server.keys) == count, "another socket", BOUND)  # type: ignore[misc]
    await until_open(server, 0)


async def test_after_close_nothing_is_left_open(server: Server) -> None:
    async with receiving_from(server) as (reading, receiving):
        reading.renew()
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
    await until_open(server, 0)
