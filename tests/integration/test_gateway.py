"""API v0.2 as the simulator serves it (api/README.md, v0.2), over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets

from overshootd.simulator.gateway import Terms
from tests.integration.gateway_lab import FRAME, MODEL, Lab, closed, receive, running, until

CLIP = {"target_fps": 10, "clip_length_seconds": 0.5, "delay_seconds": 0.2}


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async for lab in running(Terms()):
        yield lab


@pytest.fixture
async def brief() -> AsyncIterator[Lab]:
    """As `lab`, with leases of one second."""
    async for lab in running(Terms(lease_ttl=1.0)):
        yield lab


async def test_one_stream_from_create_to_delete(lab: Lab) -> None:
    created = (await lab.create()).json()
    stream_id = created["stream_id"]
    assert created["livekit"] == {"url": "ws://rooms", "token": f"publish-{stream_id}-300-1"}
    assert created["lease"] == {"ttl_seconds": 45}
    async with lab.results(stream_id) as socket:
        lab.feed(stream_id, 7)
        result = await receive(socket)
        assert (result["ok"], result["prompt"], result["finish_reason"]) == (True, "what?", "stop")
        assert re.fullmatch(r"frame 7, age \d+ ms, 320x180, brightness \d+\.\d, motion 0\.0", result["result"])
        kept = (await lab.keepalive(stream_id)).json()
        assert (kept["state"], kept["ttl_seconds"], kept["livekit_token"][-2:]) == ("active", 45, "-2")
        assert (await lab.http.delete(f"/streams/{stream_id}")).json() == {"status": "ok"}
        assert await closed(socket) == (1001, "client_requested")
    assert (await lab.http.delete(f"/streams/{stream_id}")).status_code == 204
    assert (await lab.keepalive(stream_id)).status_code == 404

    async def room_closed() -> bool:
        return stream_id not in lab.media.eyes

    await until(room_closed)


@pytest.mark.parametrize("key", [None, "Bearer wrong", "Basic ovs_test"])
async def test_a_bad_key_is_told_before_anything_else(lab: Lab, key: str | None) -> None:
    headers = {"Authorization": key or ""}
    for method, path in [("GET", "/models"), ("POST", "/streams"), ("POST", "/streams/x/keepalive"), ("GET", "/no")]:
        response = await lab.http.request(method, path, headers=headers, content=b"{")
        assert response.status_code == 401, path
        assert response.json()["request_id"] == response.headers["x-request-id"]


async def test_models_have_each_status(lab: Lab) -> None:
    models = (await lab.http.get("/models")).json()
    assert {model["status"]: model["ready"] for model in models} == {
        "ready": True,
        "degraded": True,
        "saturated": False,
        "unavailable": False,
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"processing": {"interval_seconds": 61}}, "processing.interval_seconds"),
        ({"processing": {"clip_length_seconds": 0.1, "delay_seconds": 1}}, "processing.clip_length_seconds"),
        ({"inference": {"prompt": "x", "model": "no/such"}}, "inference.model"),
        ({"mode": "clip"}, "mode"),
    ],
)
async def test_a_request_that_does_not_validate_is_422_and_names_the_field(
    lab: Lab, body: dict[str, Any], field: str
) -> None:
    good = {"processing": FRAME, "inference": {"prompt": "x", "model": MODEL}}
    response = await lab.http.post("/streams", json={**good, **body})
    assert response.status_code == 422
    assert [detail["field"] for detail in response.json()["details"]] == [field]


async def test_a_body_that_is_no_json_is_422(lab: Lab) -> None:
    response = await lab.http.post("/streams", content=b'{"processing": NaN}')
    assert (response.status_code, response.json()["details"][0]["field"]) == (422, "body")


async def test_a_saturated_model_is_503(lab: Lab) -> None:
    assert (await lab.create(inference={"model": "Qwen/Qwen3.5-27B"})).status_code == 503


async def test_a_key_has_five_streams_at_a_time(lab: Lab) -> None:
    streams = [await lab.stream() for _ in range(5)]
    assert (await lab.create()).status_code == 429
    await lab.http.delete(f"/streams/{streams[0]}")
    assert (await lab.create()).status_code == 201


async def test_another_keys_stream_is_forbidden(lab: Lab) -> None:
    stream_id = await lab.stream()
    other = {"Authorization": "Bearer ovs_other"}
    assert (await lab.http.delete(f"/streams/{stream_id}", headers=other)).status_code == 403
    async with lab.results(stream_id, key="ovs_other") as socket:
        assert (await closed(socket))[0] == 1008


async def test_an_unknown_stream_is_404_everywhere(lab: Lab) -> None:
    for method, path in [("DELETE", ""), ("POST", "/keepalive"), ("GET", "/info"), ("POST", "/spectate")]:
        assert (await lab.http.request(method, f"/streams/nobody{path}")).status_code == 404, path
    patched = await lab.http.patch("/streams/nobody/config/prompt", json={"prompt": "x"})
    assert patched.status_code == 404
    with pytest.raises(websockets.InvalidStatus, match="404"):
        async with lab.results("nobody"):
            pass


async def test_a_changed_prompt_goes_into_the_next_inference(lab: Lab) -> None:
    stream_id = await lab.stream()
    config = (await lab.http.patch(f"/streams/{stream_id}/config/prompt", json={"prompt": "who?"})).json()
    assert (config["prompt"], config["model"]) == ("who?", MODEL)
    lab.feed(stream_id)
    async with lab.results(stream_id) as socket:
        assert (await receive(socket))["prompt"] == "who?"
    assert (await lab.http.patch(f"/streams/{stream_id}/config/prompt", json={"prompt": ""})).status_code == 422


async def test_info_tells_what_arrived(lab: Lab) -> None:
    stream_id = await lab.stream()
    assert (await lab.http.get(f"/streams/{stream_id}/info")).json()["state"] == "pending"
    lab.feed(stream_id)
    info = (await lab.http.get(f"/streams/{stream_id}/info")).json()
    assert (info["state"], info["source_type"]) == ("active", "native")
    assert (info["frame_width"], info["frame_height"], info["effective_width"]) == (320, 180, 320)


async def test_only_native_streams_can_be_spectated(lab: Lab) -> None:
    native, legacy = await lab.stream(), await lab.stream(source={"type": "webrtc", "sdp": "offer"})
    access = (await lab.http.post(f"/streams/{native}/spectate")).json()
    assert access == {"livekit": {"url": "ws://rooms", "token": f"spectate-{native}-300"}}
    assert (await lab.http.post(f"/streams/{legacy}/spectate")).status_code == 400


@pytest.mark.parametrize("way", [{"source": {"type": "webrtc", "sdp": "o"}}, {"webrtc": {"type": "offer", "sdp": "o"}}])
async def test_a_legacy_stream_ends_with_its_peer(lab: Lab, way: dict[str, Any]) -> None:
    created = (await lab.create(**way)).json()
    stream_id = created["stream_id"]
    assert created["webrtc"] == {"type": "answer", "sdp": "v=0 answer"}
    assert created["turn_servers"] == []
    assert "livekit" not in created
    async with lab.results(stream_id) as socket:
        lab.feed(stream_id)
        await receive(socket)
        assert (await lab.keepalive(stream_id)).json()["livekit_token"] is None
        lab.media.eyes[stream_id].publisher_left("failed")
        assert await closed(socket) == (1001, "webrtc_disconnected")
    assert (await lab.keepalive(stream_id)).status_code == 404


async def test_an_offer_that_cannot_be_answered_is_400_and_leaves_nothing(lab: Lab) -> None:
    for _ in range(6):
        assert (await lab.create(source={"type": "webrtc", "sdp": "nonsense"})).status_code == 400


async def test_a_users_own_room_is_watched(lab: Lab) -> None:
    created = (await lab.create(source={"type": "livekit", "url": "ws://mine", "token": "t"})).json()
    assert not created.keys() & {"livekit", "webrtc"}
    lab.feed("ws://mine", 3)
    async with lab.results(created["stream_id"]) as socket:
        assert "frame 3" in (await receive(socket))["result"]
    nowhere = await lab.create(source={"type": "livekit", "url": "ws://nowhere", "token": "t"})
    assert nowhere.status_code == 400


async def test_a_users_own_room_that_is_lost_ends_the_stream(lab: Lab) -> None:
    stream_id = await lab.stream(source={"type": "livekit", "url": "ws://mine", "token": "t"})
    async with lab.results(stream_id) as socket:
        lab.media.lost["ws://mine"]("the token ran out")
        assert await closed(socket) == (1001, "livekit_disconnected")
    assert (await lab.keepalive(stream_id)).status_code == 404


async def test_a_lease_runs_out(brief: Lab) -> None:
    stream_id = await brief.stream()
    async with brief.results(stream_id) as socket:
        assert await closed(socket) == (1001, "lease_expired")
    assert (await brief.keepalive(stream_id)).status_code == 404
    assert (await brief.http.delete(f"/streams/{stream_id}")).status_code == 204


async def test_keepalives_renew_the_lease_and_bill(brief: Lab) -> None:
    stream_id = await brief.stream()
    charged = 0.0

    async def outlived_two_leases() -> bool:
        nonlocal charged
        response = await brief.keepalive(stream_id)
        assert response.status_code == 200, "the lease was not renewed"
        charged += float(response.json()["seconds_charged"])
        return charged > 2

    await until(outlived_two_leases)
    entry = (await brief.ledger())["streams"][stream_id]
    assert entry["seconds_charged"] >= charged - 0.1
    assert entry["cost_cents"] == pytest.approx(0.02 * entry["seconds_charged"], rel=0.01)


async def test_the_end_bills_the_rest(lab: Lab) -> None:
    stream_id = await lab.stream()
    await lab.http.delete(f"/streams/{stream_id}")
    entry = (await lab.ledger())["streams"][stream_id]
    assert entry["end_reason"] == "client_requested"
    assert entry["seconds_charged"] > 0


async def test_a_lease_may_be_null() -> None:
    async for lab in running(Terms(lease_ttl=None)):
        created = (await lab.create()).json()
        assert created["lease"] is None
        assert (await lab.keepalive(created["stream_id"])).json()["ttl_seconds"] == 300


async def test_without_credits_keepalive_is_402_and_results_end(lab: Lab) -> None:
    stream_id = await lab.stream()
    async with lab.results(stream_id) as socket:
        await lab.act("credits", cents=0)
        assert (await lab.keepalive(stream_id)).status_code == 402
        assert await closed(socket) == (1001, "insufficient_credits")
    assert (await lab.create()).status_code == 402
    await lab.act("credits", cents=100)
    assert (await lab.keepalive(stream_id)).status_code == 404
    assert (await lab.create()).status_code == 201


async def test_every_open_socket_gets_each_result(lab: Lab) -> None:
    stream_id = await lab.stream()
    async with lab.results(stream_id) as one, lab.results(stream_id) as two:
        lab.feed(stream_id)
        first = {(await receive(one))["id"] for _ in range(5)}
        second = {(await receive(two))["id"] for _ in range(5)}
    assert len(first & second) >= 3  # the two may have been opened between two results


async def test_results_without_a_listener_are_not_replayed(lab: Lab) -> None:
    stream_id = await lab.stream()
    lab.feed(stream_id)

    async def three_unheard() -> bool:
        return bool((await lab.ledger())["streams"][stream_id]["unheard"] >= 3)

    await until(three_unheard)
    lab.feed(stream_id, 99)
    async with lab.results(stream_id) as socket:
        assert "frame 99," in (await receive(socket))["result"]


async def test_a_native_stream_outlives_its_publisher(lab: Lab) -> None:
    stream_id = await lab.stream()
    lab.feed(stream_id)
    lab.media.eyes[stream_id].publisher_left("client_initiated")
    assert (await lab.keepalive(stream_id)).json()["state"] == "idle"
    lab.feed(stream_id)
    assert (await lab.keepalive(stream_id)).json()["state"] == "active"


async def test_a_clip_counts_its_frames(lab: Lab) -> None:
    stream_id = await lab.stream(CLIP)
    async with lab.results(stream_id) as socket:
        feeding = asyncio.create_task(_feed_ten_a_second(lab, stream_id))
        result = await receive(socket)
        feeding.cancel()
    assert result["mode"] == "clip"
    frames = re.search(r", (\d) frames$", result["result"])
    assert frames
    assert 2 <= int(frames[1]) <= 5


async def _feed_ten_a_second(lab: Lab, stream_id: str) -> None:
    for number in range(100):
        lab.feed(stream_id, number)
        await asyncio.sleep(0.1)


async def test_a_schema_makes_the_result_json_that_satisfies_it(lab: Lab) -> None:
    schema = {
        "type": "object",
        "properties": {"frame": {"type": "integer"}, "person": {"type": "boolean"}, "note": {"enum": ["none"]}},
        "required": ["frame", "person", "note"],
        "additionalProperties": False,
    }
    stream_id = await lab.stream(inference={"output_schema_json": schema})
    async with lab.results(stream_id) as socket:
        lab.feed(stream_id, 42)
        result = await receive(socket)
    assert json.loads(result["result"]) == {"frame": 42, "person": False, "note": "none"}


async def test_a_result_ends_where_the_tokens_do(lab: Lab) -> None:
    stream_id = await lab.stream(inference={"max_output_tokens": 4})
    async with lab.results(stream_id) as socket:
        lab.feed(stream_id)
        result = await receive(socket)
    assert (len(result["result"]), result["finish_reason"]) == (16, "length")


@pytest.mark.parametrize("first", ['{"api_key": "wrong"}', "no json", '["ovs_test"]', '{"api_key": 5}'])
async def test_a_socket_without_the_key_is_closed_1008(lab: Lab, first: str) -> None:
    stream_id = await lab.stream()
    async with websockets.connect(f"{lab.base.replace('http', 'ws')}/ws/streams/{stream_id}") as socket:
        await socket.send(first)
        assert (await closed(socket))[0] == 1008


async def test_a_socket_for_an_ended_stream_is_told_why(lab: Lab) -> None:
    stream_id = await lab.stream()
    await lab.http.delete(f"/streams/{stream_id}")
    async with lab.results(stream_id) as socket:
        assert await closed(socket) == (1001, "client_requested")


async def test_browsers_may_call_from_any_page(lab: Lab) -> None:
    origin = {"Origin": "https://page.example"}
    asked = {**origin, "Access-Control-Request-Method": "POST", "Authorization": ""}
    preflight = await lab.http.options("/streams", headers=asked)
    assert preflight.status_code == 204
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    answer = await lab.http.get("/models", headers={**origin, "Authorization": ""})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == "https://page.example"


async def test_every_due_inference_is_accounted_for(lab: Lab) -> None:
    stream_id = await lab.stream()
    async with lab.results(stream_id) as socket:
        for number in range(5):
            lab.feed(stream_id, number)
            await receive(socket)
        entry = (await lab.ledger())["streams"][stream_id]
    assert entry["sent"] >= 5
    assert entry["frames_arrived"] == 5
    assert entry["due"] == entry["inferred"] + entry["idle"] + entry["paused"] + entry["skipped"]
    assert entry["inferred"] == entry["sent"] + entry["unheard"] == len(entry["ages_ms"])


async def test_what_came_and_went_since_a_moment_is_told(lab: Lab) -> None:
    stream_id = await lab.stream()
    async with lab.results(stream_id) as socket:
        lab.feed(stream_id, 1)
        await receive(socket)
        between = time.monotonic()
        lab.feed(stream_id, 2)
        await receive(socket)
        arrivals = (await lab.http.get(f"{lab.control}/arrivals", params={"since": between})).json()
    life = arrivals["streams"][stream_id]
    assert life["created"] < between <= life["frames"][0] <= life["results"][0] <= arrivals["now"]
    assert len(life["frames"]) == 1 and life["ended"] is None
    assert (await lab.http.get(f"{lab.control}/arrivals?since=noon")).status_code == 422


async def test_each_result_that_was_sent_is_told_with_its_number_and_id(lab: Lab) -> None:
    stream_id = await lab.stream()
    async with lab.results(stream_id) as socket:
        lab.feed(stream_id, 1)
        heard = [(await receive(socket))["id"] for _ in range(2)]
        sent = (await lab.http.get(f"{lab.control}/sent")).json()["streams"][stream_id]
    assert [(told["number"], told["id"]) for told in sent[:2]] == list(enumerate(heard, 1))


async def test_what_a_publisher_does_wrong_is_kept(lab: Lab) -> None:
    stream_id = await lab.stream()
    lab.media.eyes[stream_id].violation("simulcast")
    ledger = await lab.ledger()
    assert ledger["violations"] == [f"{stream_id}: simulcast"]
    assert ledger["totals"]["violations"] == ledger["streams"][stream_id]["violations"] == 1
