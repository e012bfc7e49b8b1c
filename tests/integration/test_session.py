"""The v0.2 session against the gateway over real sockets: every operation, token refresh, and its failures."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import structlog

from overshootd.api.http import Http
from overshootd.api.v02 import V02, V02Session
from overshootd.config.secret import Redactor, Secret
from overshootd.contracts import PublishTarget, Session, Spent, StreamSpec
from overshootd.errors import Permanent, Refused, StreamGone, Transient, Unreachable
from overshootd.simulator.gateway import Terms
from tests.integration.gateway_lab import FRAME, MODEL, Lab, running

NATIVE = {"type": "native"}
SPEC = StreamSpec(NATIVE, "frame", FRAME, {"prompt": "what?", "model": MODEL})


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async for one in running(Terms(lease_ttl=45.0, token_ttl=300.0)):
        yield one


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http(ssl.create_default_context(), "overshootd/test")
    yield client
    await client.close()


def api(http: Http, base_url: str, key: str = "ovs_test", redactor: Redactor | None = None) -> V02:
    hide = (redactor or Redactor()).remember
    return V02(http, ssl.create_default_context(), base_url, lambda again: Secret(key), structlog.get_logger(), hide)


def room(session: Session) -> PublishTarget:
    """The room that the session names."""
    assert isinstance(session.target, PublishTarget)
    return session.target


async def info(lab: Lab, stream_id: str) -> int:
    return (await lab.http.get(f"/streams/{stream_id}/info")).status_code


async def test_a_session_lives_from_create_to_delete(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    assert await info(lab, session.stream_id) == 200
    await session.close()
    assert await info(lab, session.stream_id) == 404


async def test_deleting_what_is_gone_is_no_error(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    await session.close()
    await session.close()


async def test_a_keepalive_brings_a_fresh_token(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    before = room(session)
    await session.verify()
    assert room(session).token != before.token
    assert room(session).url == before.url


async def test_every_token_is_known_to_the_redactor(lab: Lab, http: Http) -> None:
    redactor = Redactor()
    session = await api(http, lab.base, redactor=redactor).create(SPEC)
    first = room(session).token
    await session.verify()
    for token in (first, room(session).token):
        assert token not in redactor.redact(f"wss://room/rtc?access_token={token}")


async def test_results_arrive_in_order(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    async with aclosing(session.results()) as results, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(feed(lab, session))
        texts = [(await anext(results)).api["result"] for _ in range(3)]
        feeding.cancel()
    numbers = [int(text.split()[1].rstrip(",")) for text in texts]
    assert numbers == sorted(numbers)


async def feed(lab: Lab, session: V02Session) -> None:
    for number in range(1, 1000):
        lab.feed(session.stream_id, number)
        await asyncio.sleep(0.02)


async def test_the_prompt_of_a_running_stream_changes(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    await session.set_prompt("And now?")
    async with aclosing(session.results()) as results, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(feed(lab, session))
        assert (await anext(results)).api["prompt"] == "And now?"
        feeding.cancel()


async def test_what_a_stream_cost_is_what_the_server_charged(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    assert session.lease.spent == Spent()
    for _ in range(3):
        await asyncio.sleep(0.1)  # that costs something
        await session.verify()
    entry, spent = lab.gateway.ledger.streams[session.stream_id], session.lease.spent
    assert spent.seconds == pytest.approx(entry.seconds_charged, abs=0.01)
    assert spent.cents == pytest.approx(entry.cost_cents, abs=1e-4)
    assert spent.left == math.floor(entry.account.cents)
    await asyncio.sleep(0.1)
    await session.close()
    assert session.lease.spent.seconds == pytest.approx(entry.seconds_charged, abs=0.05), "the rest is charged too"


async def test_a_result_knows_how_many_bytes_it_had(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    async with aclosing(session.results()) as results, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(feed(lab, session))
        result = await anext(results)
        feeding.cancel()
    assert result.size == pytest.approx(len(json.dumps(result.api)), abs=50)


async def test_the_servers_view_of_a_stream(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    assert (await session.info())["state"] == "pending"


async def test_a_wrong_key_is_refused(lab: Lab, http: Http) -> None:
    with pytest.raises(Refused, match="does not accept the key"):
        await api(http, lab.base, key="ovs_wrong").create(SPEC)


async def test_a_sixth_stream_is_told_and_tried_again(lab: Lab, http: Http) -> None:
    one = api(http, lab.base)
    for _ in range(5):
        await one.create(SPEC)
    with pytest.raises(Transient, match="five streams") as raised:
        await one.create(SPEC)
    assert type(raised.value) is Transient


async def test_a_wrong_configuration_is_permanent_and_names_the_field(lab: Lab, http: Http) -> None:
    with pytest.raises(Permanent, match="interval_seconds"):
        await api(http, lab.base).create(StreamSpec(NATIVE, "frame", {"interval_seconds": 75}, SPEC.inference))


async def test_a_stream_that_the_server_forgot_is_gone(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    await lab.act("expire_leases")
    with pytest.raises(StreamGone):
        await session.verify()


async def test_a_lease_that_no_keepalive_reaches_runs_out(http: Http) -> None:
    """Only then: until its end the stream may live."""
    async for lab in running(Terms(lease_ttl=6.0, token_ttl=300.0)):
        session = await api(http, lab.base).create(SPEC)
        await lab.faults({"fault": "status", "status": 503, "operation": "keepalive"})
        with pytest.raises(StreamGone, match="lease ran out"):
            async with asyncio.timeout(20):
                await session.keep_lease()
        assert str((await lab.ledger())["requests"]).count("keepalive") >= 1


async def test_a_key_that_may_not_use_a_stream_never_deletes_it(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    await lab.faults({"fault": "status", "status": 403, "operation": "keepalive"})
    with pytest.raises(Refused):
        await session.verify()
    await session.close()
    assert await info(lab, session.stream_id) == 200


@pytest.mark.parametrize("fault", ["not_json", "redirect"])
async def test_a_captive_portal_is_told_from_the_api(fault: str, lab: Lab, http: Http) -> None:
    portal = {"fault": fault} | ({"location": "http://login.example/"} if fault == "redirect" else {})
    await lab.faults(portal)
    with pytest.raises(Refused, match="captive portal"):
        await api(http, lab.base).create(SPEC)


async def test_nobody_at_the_other_end_is_a_network_failure(http: Http) -> None:
    with pytest.raises(Transient) as raised:
        await api(http, "http://127.0.0.1:9/v0.2").create(SPEC)
    assert type(raised.value) is Unreachable


async def test_a_stream_that_is_somebody_elses_by_its_results_socket_is_not_deleted_either(
    lab: Lab, http: Http
) -> None:
    session = await api(http, lab.base).create(SPEC)
    await lab.faults({"fault": "status", "status": 403, "operation": "results"})
    with pytest.raises(Refused):
        async with aclosing(session.results()) as results, asyncio.timeout(10):
            await anext(results)
    await session.close()
    assert await info(lab, session.stream_id) == 200


async def test_a_portal_that_answers_the_results_socket_ends_nothing(lab: Lab, http: Http) -> None:
    session = await api(http, lab.base).create(SPEC)
    await lab.faults({"fault": "not_json", "operation": "results", "count": 2})
    async with aclosing(session.results()) as results, asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(feed(lab, session))
        assert (await anext(results)).api["ok"]
        feeding.cancel()
