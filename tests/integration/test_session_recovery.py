"""A session and the times in which its path, its process or its key changes."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
import structlog

from overshootd.api.failures import HttpAnswer, Operation, decide
from overshootd.api.http import Http
from overshootd.api.v02 import V02
from overshootd.config.secret import Secret
from overshootd.contracts import PublishTarget
from overshootd.errors import Refused, StreamGone, Transient
from overshootd.simulator.gateway import Terms
from tests.integration.daemon_bed import eventually
from tests.integration.gateway_lab import Lab, running
from tests.integration.test_session import SPEC, api, feed

GOOD, BAD = Secret("ovs_test"), Secret("ovs_old_key")


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async for one in running(Terms(lease_ttl=45.0, token_ttl=300.0)):
        yield one


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http(ssl.create_default_context(), "overshootd/test")
    yield client
    await client.close()


@dataclass
class Keys:
    """`written` is found when the key is read again."""

    now: Secret
    written: Secret
    read: int = field(default=0)

    def __call__(self, again: bool) -> Secret:
        if again:
            self.read += 1
            self.now = self.written
        return self.now


def with_keys(http: Http, base: str, keys: Keys) -> V02:
    return V02(http, ssl.create_default_context(), base, keys, structlog.get_logger(), lambda token: None)


async def test_another_process_takes_the_stream_up_with_a_fresh_token(lab: Lab, http: Http) -> None:
    before = await api(http, lab.base).create(SPEC)
    assert isinstance(before.target, PublishTarget)
    session = await api(http, lab.base).resume(before.stream_id, before.target.url)
    assert session.stream_id == before.stream_id
    assert isinstance(session.target, PublishTarget)
    assert session.target.url == before.target.url
    assert session.target.token not in ("", before.target.token)
    assert session.lease.until is not None
    assert len((await lab.ledger())["streams"]) == 1


async def test_what_is_gone_is_not_taken_up(lab: Lab, http: Http) -> None:
    with pytest.raises(StreamGone):
        await api(http, lab.base).resume("of yesterday", "ws://rooms")


async def test_a_stray_is_settled_when_it_is_deleted_or_gone(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    assert await api(http, lab.base).delete(session.stream_id)
    assert await api(http, lab.base).delete(session.stream_id)
    assert not await api(http, "http://127.0.0.1:9/v0.2").delete(session.stream_id)


async def test_what_ended_by_itself_needs_no_delete(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    await lab.act("end_streams", reason="lease_expired")
    with pytest.raises(StreamGone):
        await session.verify()
    before = (await lab.ledger())["requests"].get("closeStream", {})
    assert await session.close()
    assert (await lab.ledger())["requests"].get("closeStream", {}) == before


async def test_a_changed_path_costs_no_result_and_doubles_none(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    async with aclosing(session.results()) as results, asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(feed(lab, session))
        got = [(await anext(results)).api["id"]]
        before = (await lab.ledger())["streams"][session.stream_id]["unheard"]
        for _ in range(3):
            session.path_changed()
            got += [(await anext(results)).api["id"] for _ in range(2)]
        entry = (await lab.ledger())["streams"][session.stream_id]
        feeding.cancel()
    assert len(set(got)) == len(got)
    assert entry["unheard"] == before


async def test_a_changed_path_asks_for_the_lease_at_once(lab: Lab, http: Http) -> None:
    """The next regular keepalive is 15 s away."""
    session = await api(http, lab.base).create(SPEC)
    before = session.lease.sent
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(session.keep_lease())
        session.path_changed()
        await eventually(lambda: session.lease.sent > before, "a keepalive")
        keeping.cancel()


async def test_a_key_that_was_replaced_is_read_again_before_anybody_is_called(lab: Lab, http: Http) -> None:
    keys = Keys(GOOD, GOOD)
    session = await with_keys(http, lab.base, keys).create(SPEC)
    keys.now = BAD
    await session.verify()
    assert keys.read == 1


async def test_a_key_that_is_as_bad_as_before_is_refused(lab: Lab, http: Http) -> None:
    with pytest.raises(Refused):
        await with_keys(http, lab.base, Keys(BAD, BAD)).create(SPEC)


async def test_a_results_socket_takes_the_key_that_is_written_now(lab: Lab, http: Http) -> None:
    keys = Keys(GOOD, GOOD)
    session = await with_keys(http, lab.base, keys).create(SPEC)
    keys.now = BAD
    async with aclosing(session.results()) as results, asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(feed(lab, session))
        assert (await anext(results)).api["ok"]
        feeding.cancel()


async def test_where_credits_are_out_the_key_is_read_again_too(lab: Lab, http: Http) -> None:
    keys = Keys(GOOD, GOOD)
    await lab.faults({"fault": "status", "status": 402, "operation": "createStream"})
    with pytest.raises(Refused):
        await with_keys(http, lab.base, keys).create(SPEC)
    assert keys.read == 1


async def test_a_refused_results_socket_is_tried_no_sooner_than_the_server_wishes(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    await lab.faults({"fault": "status", "status": 503, "retry_after": 2, "operation": "results", "count": 1})
    began = time.monotonic()
    async with aclosing(session.results()) as results, asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(feed(lab, session))
        await anext(results)
        feeding.cancel()
    assert time.monotonic() - began >= 2.0


@pytest.mark.parametrize("body", [{"error": "too_many_streams"}, None])
def test_a_wish_to_wait_is_kept_whoever_tells_it(body: dict[str, str] | None) -> None:
    seen = HttpAnswer(429, error=body["error"] if body else None, retry_after=30.0)
    error = decide(Operation.CREATE, seen).error()
    assert isinstance(error, Transient) and not isinstance(error, Refused)
    assert error.retry_after == 30.0
