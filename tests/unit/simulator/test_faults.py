"""Which fault strikes when."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from overshootd.simulator.faults import ANY, LASTING, FailedInference, Faults, Malformed, mistakes
from overshootd.simulator.malformed import spoil


def faults(*given: dict[str, Any], now: float = 0.0) -> Faults:
    active = Faults()
    active.replace(LASTING.validate_python(list(given)), now)
    return active


def kinds(active: Faults, operation: str, now: float = 0.0) -> list[str]:
    return [fault.fault for fault in active.on(operation, now)]


def test_a_fault_strikes_its_operation_only() -> None:
    active = faults({"fault": "status", "operation": "keepalive"})
    assert kinds(active, "keepalive") == ["status"]
    assert kinds(active, "createStream") == []


def test_a_fault_without_operation_strikes_all() -> None:
    assert kinds(faults({"fault": "hang"}), "anything") == ["hang"]


def test_a_counted_fault_is_used_up_by_the_operations_it_strikes() -> None:
    active = faults({"fault": "status", "operation": "keepalive", "count": 2})
    assert [kinds(active, operation) for operation in ("spectate", "keepalive", "keepalive", "keepalive")] == [
        [],
        ["status"],
        ["status"],
        [],
    ]


def test_a_timed_fault_ends() -> None:
    active = faults({"fault": "status", "for": 5}, now=100.0)
    assert kinds(active, "x", 104.9) == ["status"]
    assert kinds(active, "x", 105.0) == []
    assert active.to_json(105.0) == []


def test_latency_comes_on_top_of_the_first_other_fault() -> None:
    active = faults({"fault": "status", "count": 1}, {"fault": "hang", "count": 1}, {"fault": "latency", "seconds": 1})
    assert kinds(active, "x") == ["latency", "status"]
    assert kinds(active, "x") == ["latency", "hang"]


def test_equal_faults_count_each_for_itself() -> None:
    active = faults({"fault": "status", "count": 1}, {"fault": "status", "count": 1})
    assert [kinds(active, "x") for _ in range(3)] == [["status"], ["status"], []]


def test_replacing_forgets() -> None:
    active = faults({"fault": "hang"})
    active.replace([], 0.0)
    assert kinds(active, "x") == []


def test_faults_of_no_operation_are_asked_for_by_kind() -> None:
    active = faults({"fault": "malformed", "count": 1})
    assert kinds(active, "results") == []
    assert active.first(FailedInference, 0.0) is None
    assert active.first(Malformed, 0.0) is not None
    assert active.first(Malformed, 0.0) is None


def test_the_report_tells_what_is_left() -> None:
    active = faults({"fault": "status", "for": 10, "count": 3}, now=0.0)
    active.on("x", 4.0)
    assert active.to_json(4.0) == [{"fault": "status", "status": 503, "after": False, "for": 6.0, "count": 2}]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"fault": "status", "status": 302}, "status"),
        ({"fault": "status", "operation": "keepAlive"}, "operation"),
        ({"fault": "latency"}, "seconds"),
        ({"fault": "deploy", "for": 3}, "for"),
        ({"fault": "drop_sockets", "code": 7}, "code"),
        ({}, "fault"),
        ({"fault": "flood"}, "flood"),
    ],
)
def test_a_mistake_is_told_with_its_key(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ANY.validate_python(wrong)
    assert told in " ".join(mistakes(caught.value))


def test_each_way_to_spoil_differs() -> None:
    message = {"id": "1", "stream_id": "s", "ok": True, "result": "r", "total_latency_ms": 1.0}
    kinds = get_args(Malformed.model_fields["kind"].annotation)
    spoilt = {spoil(Malformed(fault="malformed", kind=kind), message) for kind in kinds}
    assert len(spoilt) == len(kinds) == 6
