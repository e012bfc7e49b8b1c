"""A running gateway on real sockets; only its media is replaced, by frames that a test hands in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import websockets
from aiohttp import web
from aiohttp.test_utils import TestServer
from websockets.asyncio.client import ClientConnection

from overshootd.marker import draw_marker
from overshootd.simulator.contract import Contract
from overshootd.simulator.control import Control
from overshootd.simulator.faults import Faults
from overshootd.simulator.gateway import Gateway, Media, Terms
from overshootd.simulator.ledger import Ledger
from overshootd.simulator.media import ArrivedFrame, Eye, RoomAccess
from overshootd.simulator.routes import Routes

BOUND = 10.0
FRAME = {"interval_seconds": 0.2}
MODEL = "Qwen/Qwen3.5-9B"


@dataclass
class HandFedMedia:
    """Rooms, peer connections and foreign rooms, all of them an Eye that the test feeds."""

    eyes: dict[str, Eye] = field(default_factory=dict)
    lost: dict[str, Callable[[str], None]] = field(default_factory=dict)
    tokens: int = 0

    async def start(self) -> None: ...

    async def open_room(self, stream_id: str, eye: Eye) -> None:
        self.eyes[stream_id] = eye

    def publish_access(self, stream_id: str, ttl: float) -> RoomAccess:
        self.tokens += 1
        return RoomAccess("ws://rooms", f"publish-{stream_id}-{ttl:g}-{self.tokens}")

    def spectate_access(self, stream_id: str, ttl: float) -> RoomAccess:
        return RoomAccess("ws://rooms", f"spectate-{stream_id}-{ttl:g}")

    async def close_room(self, stream_id: str) -> None:
        self.eyes.pop(stream_id, None)

    async def answer(self, stream_id: str, sdp: str, eye: Eye) -> str:
        if sdp == "nonsense":
            raise ValueError("no SDP")
        self.eyes[stream_id] = eye
        return "v=0 answer"

    async def close(self, stream_id: str = "") -> None:
        self.eyes.pop(stream_id, None)

    async def close_all(self) -> None: ...

    async def watch(self, url: str, token: str, eye: Eye, lost: Callable[[str], None]) -> HandFedMedia:
        if url == "ws://nowhere":
            raise OSError("nobody there")
        self.eyes[url] = eye
        self.lost[url] = lost
        return self


class Lab:
    """A running gateway and a client of it."""

    def __init__(self, gateway: Gateway, media: HandFedMedia, http: httpx.AsyncClient, base: str, control: str) -> None:
        self.gateway, self.media, self.http, self.base, self.control = gateway, media, http, base, control

    async def create(self, processing: dict[str, Any] = FRAME, /, **more: Any) -> httpx.Response:
        inference = {"prompt": "what?", "model": MODEL, **more.pop("inference", {})}
        return await self.http.post("/streams", json={"processing": processing, "inference": inference, **more})

    async def stream(self, processing: dict[str, Any] = FRAME, /, **more: Any) -> str:
        response = await self.create(processing, **more)
        assert response.status_code == 201, response.text
        return str(response.json()["stream_id"])

    async def keepalive(self, stream_id: str) -> httpx.Response:
        return await self.http.post(f"/streams/{stream_id}/keepalive")

    @contextlib.asynccontextmanager
    async def results(self, stream_id: str, key: str = "ovs_test") -> AsyncIterator[ClientConnection]:
        async with websockets.connect(f"{self.base.replace('http', 'ws')}/ws/streams/{stream_id}") as socket:
            await socket.send(json.dumps({"api_key": key}))
            yield socket

    def feed(self, stream_id: str, number: int = 1, *, age: float = 0.0, level: int = 100) -> None:
        now = time.time()
        luma = np.full((180, 320), level, np.uint8)
        draw_marker(luma, number, round((now - age) * 1000))
        self.media.eyes[stream_id].frame(ArrivedFrame(320, 180, now, lambda: luma))

    async def act(self, name: str, **parameters: Any) -> None:
        response = await self.http.post(f"{self.control}/actions/{name}", json=parameters)
        assert response.status_code == 200, response.text

    async def faults(self, *faults: dict[str, Any]) -> None:
        response = await self.http.put(f"{self.control}/faults", json=list(faults))
        assert response.status_code == 200, response.text

    async def ledger(self) -> dict[str, Any]:
        return dict((await self.http.get(f"{self.control}/ledger")).json())


async def _serve(terms: Terms, media: HandFedMedia, ready: asyncio.Future[Lab], stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group, contextlib.AsyncExitStack() as stack:
        gateway = Gateway(
            terms=terms,
            contract=Contract.load("v0.2"),
            ledger=Ledger(["ovs_test", "ovs_other"]),
            faults=Faults(),
            media=Media(media, media, media.watch),
            group=group,
        )
        urls = []
        for table in (Routes(gateway).table(), Control(gateway).table()):
            app = web.Application()
            app.add_routes(table)
            server = TestServer(app)
            await server.start_server(shutdown_timeout=0.5)
            stack.push_async_callback(server.close)
            urls.append(str(server.make_url("")).rstrip("/"))
        base = f"{urls[0]}/v0.2"
        headers = {"Authorization": "Bearer ovs_test"}
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, headers=headers, timeout=BOUND))
        ready.set_result(Lab(gateway, media, http, base, urls[1]))
        await stop.wait()
        gateway.end_all()


async def running(terms: Terms) -> AsyncIterator[Lab]:
    """For fixtures: one Lab, ended afterwards."""
    ready: asyncio.Future[Lab] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(_serve(terms, HandFedMedia(), ready, stop))
    serving.add_done_callback(lambda _: ready.cancel())
    yield await ready
    stop.set()
    await serving


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(BOUND):
        while not await condition():  # noqa: ASYNC110 (the condition is on the other side of a socket)
            await asyncio.sleep(0.02)


async def receive(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(BOUND):
        return dict(json.loads(await socket.recv()))


async def closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Wait for the server to close; (code, reason), the code None without a close frame."""
    async with asyncio.timeout(BOUND):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await socket.recv()
    received = socket.protocol.close_rcvd
    return (received.code, received.reason) if received else (None, None)
