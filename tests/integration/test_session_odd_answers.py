"""The v0.2 session when what answers is not the API as published: whatever comes is told, and no stream is left."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from overshootd.api.http import LONGEST_ANSWER, Http
from overshootd.errors import Refused, Transient
from tests.integration.test_session import SPEC, api, http

__all__ = ["http"]  # the fixture

ROOM = {"url": "ws://room", "token": "jwt"}


@dataclass
class Odd:
    """A server that gives one answer to every POST, and remembers what was asked."""

    answer: Callable[[], web.StreamResponse] = web.Response
    asked: list[str] = field(default_factory=list)
    base_url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        return self.answer() if request.method == "POST" else web.json_response({"status": "ok"})


@pytest.fixture
async def odd() -> AsyncIterator[Odd]:
    one = Odd()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", one.handle)
    async with TestServer(app) as server:
        one.base_url = str(server.make_url("/v0.2"))
        yield one


def created(**changes: object) -> Callable[[], web.StreamResponse]:
    body = {"stream_id": "s1", "livekit": ROOM, "lease": {"ttl_seconds": 45}} | changes
    return lambda: web.Response(status=201, text=json.dumps(body), content_type="application/json")


@pytest.mark.parametrize("livekit", [None, [], "room", {}, {"url": None, "token": "t"}, {"url": "ws://r", "token": ""}])
async def test_a_stream_without_a_room_is_deleted(livekit: object, odd: Odd, http: Http) -> None:
    odd.answer = created(livekit=livekit)
    with pytest.raises(Transient, match="names no room"):
        await api(http, odd.base_url).create(SPEC)
    assert odd.asked == ["POST /v0.2/streams", "DELETE /v0.2/streams/s1"]


@pytest.mark.parametrize("stream_id", [None, "", 7, {}])
async def test_an_answer_without_a_stream_is_told(stream_id: object, odd: Odd, http: Http) -> None:
    odd.answer = created(stream_id=stream_id)
    with pytest.raises(Transient, match="names no stream"):
        await api(http, odd.base_url).create(SPEC)


@pytest.mark.parametrize("ttl", [None, "45", -1, 0, True, float("inf"), float("nan"), 10**400, [45]])
async def test_a_ttl_that_makes_no_sense_is_as_none(ttl: object, odd: Odd, http: Http) -> None:
    odd.answer = created(lease={"ttl_seconds": ttl})
    session = await api(http, odd.base_url).create(SPEC)
    assert session.stream_id == "s1"


@pytest.mark.parametrize("lease", [None, [], "45", 45])
async def test_a_lease_of_any_shape_is_borne(lease: object, odd: Odd, http: Http) -> None:
    odd.answer = created(lease=lease)
    assert (await api(http, odd.base_url).create(SPEC)).stream_id == "s1"


@pytest.mark.parametrize("text", ["[" * 100_000, "", "null", "[]", '"text"', "\x00", "{"])
async def test_a_body_that_is_no_object_is_not_the_api(text: str, odd: Odd, http: Http) -> None:
    odd.answer = lambda: web.Response(status=201, text=text, content_type="application/json")
    with pytest.raises(Refused, match="not the API"):
        await api(http, odd.base_url).create(SPEC)


async def test_an_answer_without_end_is_not_read_to_the_end(odd: Odd, http: Http) -> None:
    odd.answer = lambda: web.Response(status=200, body=b" " * (LONGEST_ANSWER + 1_000_000) + b"{}")
    with pytest.raises(Refused, match="not the API"):
        await api(http, odd.base_url).create(SPEC)
