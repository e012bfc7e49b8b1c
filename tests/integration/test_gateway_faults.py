"""The simulator misbehaves as it is told (docs/simulator.md), over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import websockets

from overshootd.simulator.gateway import Terms
from tests.integration.gateway_lab import Lab, closed, receive, running, until


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async for lab in running(Terms()):
        yield lab


@pytest.mark.parametrize("status", [401, 402, 404, 422, 429, 500, 503])
async def test_an_error_status_for_one_operation_and_a_number_of_times(lab: Lab, status: int) -> None:
    stream_id = await lab.stream()
    await lab.faults({"fault": "status", "status": status, "operation": "keepalive", "count": 2, "retry_after": 7})
    assert (await lab.http.get("/models")).status_code == 200
    answers = [await lab.keepalive(stream_id) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert answers[0].json()["error"] == "injected_fault"


async def test_an_operation_may_be_done_and_its_answer_lost(lab: Lab) -> None:
    await lab.faults({"fault": "status", "operation": "createStream", "after": True})
    assert (await lab.create()).status_code == 503
    assert (await lab.ledger())["totals"]["streams"] == 1


async def test_a_fault_ends_by_itself(lab: Lab) -> None:
    await lab.faults({"fault": "status", "for": 0.3})
    assert (await lab.http.get("/models")).status_code == 503

    async def well_again() -> bool:
        return (await lab.http.get("/models")).status_code == 200

    await until(well_again)
    assert (await lab.http.get(f"{lab.control}/faults")).json() == []


async def test_a_captive_portal_answers(lab: Lab) -> None:
    await lab.faults({"fault": "not_json", "count": 1}, {"fault": "redirect"})
    page = await lab.http.get("/models")
    assert page.headers["content-type"].startswith("text/html")
    assert "log in" in page.text
    redirected = await lab.http.get("/models")
    assert (redirected.status_code, redirected.headers["location"][:5]) == (302, "http:")


async def test_a_request_hangs_and_others_do_not(lab: Lab) -> None:
    await lab.faults({"fault": "hang", "count": 1})
    with pytest.raises(httpx.ReadTimeout):
        await lab.http.get("/models", timeout=0.3)
    assert (await lab.http.get("/models")).status_code == 200


async def test_a_connection_is_cut(lab: Lab) -> None:
    await lab.faults({"fault": "cut", "count": 1})
    with pytest.raises(httpx.RemoteProtocolError):
        await lab.http.get("/models")
    assert (await lab.http.get("/models")).status_code == 200


async def test_an_answer_comes_late(lab: Lab) -> None:
    await lab.faults({"fault": "latency", "seconds": 0.5, "count": 2})
    with pytest.raises(httpx.ReadTimeout):
        await lab.http.get("/models", timeout=0.2)
    assert (await lab.http.get("/models")).status_code == 200


async def test_the_results_handshake_fails_too(lab: Lab) -> None:
    stream_id = await lab.stream()
    await lab.faults({"fault": "status", "status": 502, "operation": "results", "count": 1})
    with pytest.raises(websockets.InvalidStatus, match="502"):
        async with lab.results(stream_id):
            pass
    lab.feed(stream_id)
    async with lab.results(stream_id) as socket:
        await receive(socket)


@pytest.mark.parametrize(("code", "reason"), [(None, None), (1000, ""), (1011, "internal error"), (4000, "x")])
async def test_dropped_sockets_may_reconnect(lab: Lab, code: int | None, reason: str | None) -> None:
    stream_id = await lab.stream()
    lab.feed(stream_id)
    async with lab.results(stream_id) as socket:
        await receive(socket)
        await lab.act("drop_sockets", **({} if code is None else {"code": code, "reason": reason}))
        assert await closed(socket) == (code, reason)
    async with lab.results(stream_id) as socket:
        await receive(socket)


@pytest.mark.parametrize(
    "kind", ["not_json", "not_object", "missing_fields", "unknown_fields", "wrong_types", "binary"]
)
async def test_a_message_is_malformed_and_the_next_is_well(lab: Lab, kind: str) -> None:
    stream_id = await lab.stream()
    lab.feed(stream_id)
    async with lab.results(stream_id) as socket:
        good = await receive(socket)
        await lab.faults({"fault": "malformed", "kind": kind, "count": 1})
        spoilt: Any = good
        while _is_well(spoilt, good):
            spoilt = await socket.recv()
        assert (await receive(socket)).keys() == good.keys()


def _is_well(message: Any, good: dict[str, Any]) -> bool:
    if isinstance(message, bytes):
        return False
    try:
        read = json.loads(message) if isinstance(message, str) else message
    except ValueError:
        return False
    return isinstance(read, dict) and {k: type(v) for k, v in read.items()} == {k: type(v) for k, v in good.items()}


async def test_leases_expire_on_request(lab: Lab) -> None:
    stream_id = await lab.stream()
    async with lab.results(stream_id) as socket:
        await lab.act("expire_leases")
        assert await closed(socket) == (1001, "lease_expired")
    assert (await lab.keepalive(stream_id)).status_code == 404


async def test_the_server_ends_one_stream_and_leaves_the_other(lab: Lab) -> None:
    ended, left = await lab.stream(), await lab.stream()
    async with lab.results(ended) as socket:
        await lab.act("end_streams", stream_id=ended, reason="livekit_disconnected")
        assert await closed(socket) == (1001, "livekit_disconnected")
    assert (await lab.keepalive(left)).status_code == 200


async def test_after_a_deploy_nothing_is_inferred_until_the_next_keepalive(lab: Lab) -> None:
    stream_id = await lab.stream()
    legacy = await lab.stream(source={"type": "webrtc", "sdp": "offer"})
    lab.feed(stream_id, 1)
    async with lab.results(stream_id) as socket:
        await receive(socket)
        await lab.act("deploy")
        assert await closed(socket) == (None, None)
    assert stream_id in lab.media.eyes, "the room lives on"
    async with lab.results(stream_id) as socket:
        lab.feed(stream_id, 2)

        async def paused() -> bool:
            return bool((await lab.ledger())["streams"][stream_id]["paused"] >= 2)

        await until(paused)
        lab.feed(stream_id, 3)
        assert (await lab.keepalive(stream_id)).status_code == 200
        assert "frame 3," in (await receive(socket))["result"]
    assert (await lab.keepalive(legacy)).status_code == 404


async def test_the_model_fails_and_is_slow(lab: Lab) -> None:
    stream_id = await lab.stream()
    await lab.faults({"fault": "failed_inference", "error": "boom"}, {"fault": "slow_inference", "seconds": 0.5})
    async with lab.results(stream_id) as socket:
        lab.feed(stream_id)
        result = await receive(socket)
        assert (result["ok"], result["error"], result["finish_reason"]) == (False, "boom", None)
        assert result["inference_latency_ms"] >= 500
        await receive(socket)
        entry = (await lab.ledger())["streams"][stream_id]
    assert entry["failed"] >= 2
    assert entry["skipped"] >= 1


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        ([{"fault": "nonsense"}], "nonsense"),
        ([{"fault": "status", "status": 200}], "0.status.status"),
        ([{"fault": "status", "colour": 1}], "colour"),
        ({"fault": "status"}, "array"),
    ],
)
async def test_a_wrong_fault_is_refused_and_changes_nothing(lab: Lab, faults: Any, told: str) -> None:
    await lab.faults({"fault": "hang", "operation": "spectate"})
    refused = await lab.http.put(f"{lab.control}/faults", json=faults)
    assert refused.status_code == 422
    assert told in refused.json()["mistakes"][0]
    assert [fault["fault"] for fault in (await lab.http.get(f"{lab.control}/faults")).json()] == ["hang"]


async def test_a_wrong_action_is_refused(lab: Lab) -> None:
    assert (await lab.http.post(f"{lab.control}/actions/nonsense")).status_code == 422
    assert (await lab.http.post(f"{lab.control}/actions/credits", json={"cents": -1})).status_code == 422
    assert (await lab.http.post(f"{lab.control}/actions/deploy", content=b"[1]")).status_code == 422
    nobody = await lab.http.post(f"{lab.control}/actions/drop_sockets", json={"stream_id": "nobody"})
    assert "nobody" in nobody.json()["mistakes"][0]
