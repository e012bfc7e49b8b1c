"""The contract judges requests and answers, and names the field that is wrong."""

from typing import Any

import pytest

from overshootd.simulator.contract import Contract, ContractBroken

INFERENCE = {"prompt": "what?", "model": "m"}


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract.load("v0.2")


@pytest.mark.parametrize(
    "body",
    [
        {"processing": {"interval_seconds": 60}},
        {"processing": {"clip_length_seconds": 1, "delay_seconds": 1, "target_fps": None}},
        {"processing": {"interval_seconds": 1}, "source": None, "webrtc": None, "mode": None, "client": None},
        {"processing": {"interval_seconds": 1}, "source": {"type": "livekit", "url": "u", "token": "t"}},
        {"processing": {"interval_seconds": 1}, "unknown_at_top_level": 1},
    ],
)
def test_good_requests_have_no_problems(contract: Contract, body: dict[str, Any]) -> None:
    assert contract.request_problems("createStream", {**body, "inference": INFERENCE}) == []


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"processing": {"interval_seconds": 0}}, ["processing.interval_seconds"]),
        ({"processing": {"interval_seconds": "2"}}, ["processing.interval_seconds"]),
        ({"processing": {"interval_seconds": 2, "fps": 3}}, ["processing.fps"]),
        ({"processing": {"clip_length_seconds": 61, "delay_seconds": 1}}, ["processing.clip_length_seconds"]),
        ({"processing": {"delay_seconds": 1}}, ["processing.clip_length_seconds"]),
        ({"processing": {"clip_length_seconds": 1, "delay_seconds": 1, "target_fps": 31}}, ["processing.target_fps"]),
        ({"source": {"type": "webrtc"}}, ["source.sdp"]),
        ({"source": {"type": "livekit", "url": "", "colour": 1}}, ["source.colour", "source.token", "source.url"]),
        ({"webrtc": {"type": "answer", "sdp": "x"}}, ["webrtc.type"]),
        ({"mode": "both"}, ["mode"]),
        ({"inference": {"prompt": "", "model": "m", "backend": "other"}}, ["inference.backend", "inference.prompt"]),
        ({"inference": {}}, ["inference.model", "inference.prompt"]),
        ({"inference": {**INFERENCE, "max_output_tokens": 0}}, ["inference.max_output_tokens"]),
    ],
)
def test_a_problem_names_its_field(contract: Contract, body: dict[str, Any], fields: list[str]) -> None:
    good = {"processing": {"interval_seconds": 2}, "inference": INFERENCE}
    problems = contract.request_problems("createStream", {**good, **body})
    assert sorted(problem.field for problem in problems) == fields


@pytest.mark.parametrize("body", [None, [], "text", 5, {}])
def test_what_is_no_request_at_all_has_problems(contract: Contract, body: object) -> None:
    assert contract.request_problems("createStream", body)


def test_our_own_answers_are_judged(contract: Contract) -> None:
    contract.check_response("closeStream", 200, {"status": "ok"})
    contract.check_response("closeStream", 204, None)
    with pytest.raises(ContractBroken, match="status"):
        contract.check_response("closeStream", 200, {"status": "fine"})
    with pytest.raises(ContractBroken, match="no body"):
        contract.check_response("closeStream", 204, {"status": "ok"})
    with pytest.raises(ContractBroken, match="never answers 201"):
        contract.check_response("closeStream", 201, {"status": "ok"})


def test_any_error_status_has_an_error_body(contract: Contract) -> None:
    contract.check_response("streamInfo", 403, {"error": "forbidden"})
    with pytest.raises(ContractBroken, match="error"):
        contract.check_response("streamInfo", 403, {"detail": "forbidden"})


def test_a_message_is_judged(contract: Contract) -> None:
    with pytest.raises(ContractBroken, match="stream_id: is required"):
        contract.check_message("InferenceResult", {"id": "1"})
