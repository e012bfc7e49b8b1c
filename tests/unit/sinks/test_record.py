"""The record contract holds for whatever the API sends."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overshootd.contracts import Inference, Record
from overshootd.sinks.record import Origin, encode, gap_record, result_record, state_record

ORIGIN = Origin("gate-pi", "front-door", {"site": "f12"})
AT = 1_784_542_500.25  # 2026-07-20T10:15:00.250Z

ANSWER = {
    "id": "r1",
    "stream_id": "s1",
    "mode": "frame",
    "model_name": "Qwen/Qwen3.5-9B",
    "prompt": "Is anyone at the door?",
    "result": "no",
    "inference_latency_ms": 120.5,
    "total_latency_ms": 250,
    "ok": True,
    "error": None,
    "finish_reason": "stop",
    "brand_new": {"kept": [1, 2]},
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def line(record: Record) -> Any:
    return json.loads(encode(record, "uid", 7), parse_constant=pytest.fail)


def result(api: dict[str, Any], *, with_schema: bool = False) -> Any:
    return line(result_record(ORIGIN, Inference(AT, api), with_schema=with_schema, synced=True))


def test_a_result_has_the_keys_of_the_contract_in_a_fixed_order() -> None:
    record = result(ANSWER)
    assert list(record.items())[:-1] == [
        ("schema", 1),
        ("type", "result"),
        ("uid", "uid"),
        ("seq", 7),
        ("device", "gate-pi"),
        ("stream", "front-door"),
        ("labels", {"site": "f12"}),
        ("received_at", "2026-07-20T10:15:00.250Z"),
        ("observed_at", "2026-07-20T10:15:00.000Z"),
        ("clock_synced", True),
        ("ok", True),
        ("text", "no"),
        ("output", None),
    ]


def test_the_api_keeps_its_other_fields_verbatim_but_for_the_prompt() -> None:
    verbatim = {key: value for key, value in ANSWER.items() if key not in ("result", "ok", "prompt")}
    prompt_sha = hashlib.sha256(b"Is anyone at the door?").hexdigest()[:16]
    assert result(ANSWER)["api"] == verbatim | {"prompt_sha": prompt_sha}


@pytest.mark.parametrize("latency", [None, "250", True, -1, math.nan, math.inf, 1e300, {}])
def test_without_a_usable_latency_the_time_of_observation_is_unknown(latency: object) -> None:
    assert result(ANSWER | {"total_latency_ms": latency})["observed_at"] is None


@pytest.mark.parametrize(
    ("text", "with_schema", "output"),
    [
        ('{"people": 2}', True, {"people": 2}),
        ('{"people": 2}', False, None),
        ('{"people": ', True, None),
        (None, True, None),
        ('{"share": NaN}', True, {"share": None}),
        ("[" * 100_000 + "]" * 100_000, True, None),
    ],
    ids=["parses", "no schema", "cut short", "no text", "not a number", "too deep to parse"],
)
def test_the_output_is_there_when_a_schema_was_given_and_it_parses(
    text: str | None, with_schema: bool, output: object
) -> None:
    assert result(ANSWER | {"result": text}, with_schema=with_schema)["output"] == output


def test_output_that_nests_without_end_is_cut_off() -> None:
    record = result(ANSWER | {"result": "[" * 900 + "]" * 900}, with_schema=True)
    assert json.dumps(record["output"]).count("[") < 100


@settings(deadline=None)
@given(api=st.dictionaries(st.sampled_from([*ANSWER, "other"]), json_values), with_schema=st.booleans())
def test_whatever_the_api_sends_is_one_line_of_strict_json(api: dict[str, Any], with_schema: bool) -> None:
    encoded = encode(result_record(ORIGIN, Inference(AT, api), with_schema=with_schema, synced=True), "uid", 7)
    assert len(encoded.decode().splitlines()) == 1
    assert set(json.loads(encoded, parse_constant=pytest.fail)["api"]) >= set(api) - {"result", "ok", "prompt"}


def test_text_survives_whole_and_a_lone_surrogate_becomes_the_replacement_character() -> None:
    text = 'Grüße 🚪 "quoted" \\ \n \u2028 \u2029 \x85 \x00'
    assert result(ANSWER | {"result": text})["text"] == text
    assert result(ANSWER | {"result": "a\ud800b"})["text"] == "a\ufffdb"


def test_nan_cannot_get_into_a_line() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(Record("result", "front-door", {"x": math.nan}), "uid", 1)


def test_a_state_carries_the_prompt_only_when_it_is_given() -> None:
    with_prompt = line(state_record(ORIGIN, AT, "live", stream_id="s1", prompt="who?", synced=False))
    assert with_prompt["state"] == "live"
    assert with_prompt["stream_id"] == "s1"
    assert with_prompt["prompt"] == "who?"
    assert with_prompt["prompt_sha"] == hashlib.sha256(b"who?").hexdigest()[:16]
    assert with_prompt["clock_synced"] is False
    without = line(state_record(ORIGIN, AT, "waiting", why="no route", synced=True))
    assert without["why"] == "no route"
    assert not {"prompt", "prompt_sha", "stream_id"} & without.keys()


def test_a_gap_says_from_when_to_when_and_why() -> None:
    record = line(gap_record(ORIGIN, AT - 60, AT, "camera lost", synced=True))
    assert record["type"] == "gap"
    assert (record["from"], record["to"]) == ("2026-07-20T10:14:00.250Z", "2026-07-20T10:15:00.250Z")
    assert record["why"] == "camera lost"
