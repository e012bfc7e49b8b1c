"""After a change of the path no request goes over an old connection, and none is lost that could be answered."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from overshootd.api.failures import NoAnswer
from overshootd.api.http import Answer, Http, Success
from overshootd.config.secret import Secret

BOUND = 10.0
PATIENT = 60.0
"""Seconds. Whoever waits for this waits for a test's end."""

KEY = Secret("ovs_test")


class Server:
    """Answers each request with the number of its connection, while `answering` is set."""

    def __init__(self) -> None:
        self.connections = 0
        self.asked: asyncio.Queue[int] = asyncio.Queue()
        self.ended: asyncio.Queue[int] = asyncio.Queue()
        self.answering = asyncio.Event()
        self.answering.set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked.put_nowait(number)
                await self.answering.wait()
                body = b'{"connection": %d}' % number
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.put_nowait(number)
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    one = Server()
    listening = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield one
    one.answering.set()
    listening.close()


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http(ssl.create_default_context(), "overshootd/test")
    yield client
    await client.close()


async def ask(http: Http, server: Server) -> Answer:
    async with asyncio.timeout(BOUND):
        return await http.request("GET", server.url, key=KEY, timeout=PATIENT)


async def connection(http: Http, server: Server) -> object:
    """The number of the connection that a request took."""
    answer = await ask(http, server)
    assert isinstance(answer, Success)
    return answer.body["connection"]


async def next_of(queue: asyncio.Queue[int]) -> int:
    async with asyncio.timeout(BOUND):
        return await queue.get()


async def test_while_the_path_is_the_same_a_connection_is_used_again(server: Server, http: Http) -> None:
    assert [await connection(http, server) for _ in range(3)] == [1, 1, 1]


async def test_after_a_change_the_next_request_has_a_new_connection(server: Server, http: Http) -> None:
    await ask(http, server)
    http.drop_connections()
    assert await connection(http, server) == 2


async def test_an_idle_connection_is_closed_at_the_change(server: Server, http: Http) -> None:
    await ask(http, server)
    http.drop_connections()
    assert await next_of(server.ended) == 1


async def test_a_request_on_a_dead_path_is_given_up_long_before_its_own_bound(server: Server, http: Http) -> None:
    server.answering.clear()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(ask(http, server))
        await next_of(server.asked)
        http.drop_connections()
    assert waiting.result() == NoAnswer("the path has changed")
    server.answering.set()  # what it writes now finds the connection closed
    assert await next_of(server.ended) == 1


async def test_a_request_that_still_connects_is_given_up_too(media_net: str) -> None:
    """Nobody has this address in the test's network, so nothing answers for three seconds."""
    silent = ".".join([*media_net.split(".")[:3], "99"])
    http = Http(ssl.create_default_context(), "overshootd/test")
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(http.request("GET", f"http://{silent}/", key=KEY, timeout=PATIENT))
        await asyncio.sleep(0)  # it begins
        http.drop_connections()
    assert waiting.result() == NoAnswer("the path has changed")
    await http.close()


async def test_an_answer_that_was_on_its_way_still_arrives(server: Server, http: Http) -> None:
    server.answering.clear()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(connection(http, server))
        await next_of(server.asked)
        http.drop_connections()
        server.answering.set()
    assert waiting.result() == 1
    assert await next_of(server.ended) == 1


async def test_requests_that_start_meanwhile_are_answered(server: Server, http: Http) -> None:
    """Ten at a time, and a change of the path before and after each of them."""
    async with asyncio.TaskGroup() as tasks:
        asking = []
        for _ in range(10):
            asking.append(tasks.create_task(connection(http, server)))
            await asyncio.sleep(0)
            http.drop_connections()
    assert sorted(str(task.result()) for task in asking) == sorted(str(n + 1) for n in range(10))


async def test_changes_that_every_stream_tells_of_are_one(server: Server, http: Http) -> None:
    await ask(http, server)
    for _ in range(5):
        http.drop_connections(unless_within=PATIENT)
    assert await connection(http, server) == 2
    http.drop_connections(unless_within=PATIENT)
    assert await connection(http, server) == 2


async def test_at_the_end_no_connection_is_left(server: Server, http: Http) -> None:
    await ask(http, server)
    http.drop_connections()
    await ask(http, server)
    await http.close()
    assert {await next_of(server.ended), await next_of(server.ended)} == {1, 2}


async def test_the_end_does_not_wait_for_a_server_that_is_silent(server: Server) -> None:
    http = Http(ssl.create_default_context(), "overshootd/test")
    server.answering.clear()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(ask(http, server))
        await next_of(server.asked)
        await http.close()
    assert isinstance(waiting.result(), NoAnswer)


async def test_what_was_given_up_is_not_sent_later(http: Http) -> None:
    """The connection is reset: nothing of it is left to a kernel that would try for minutes."""
    ended: asyncio.Future[type[Exception] | None] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            await reader.read()
        except ConnectionError as error:
            ended.set_result(type(error))
        else:
            ended.set_result(None)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        answer = await http.request("GET", url, key=KEY, timeout=0.2)
        assert isinstance(answer, NoAnswer)
        async with asyncio.timeout(BOUND):
            assert await ended is ConnectionResetError
