"""The model tells what was in the picture."""

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.marker import draw_marker
from overshootd.simulator.media import Luma
from overshootd.simulator.model import Sample, answer, measure, observe, sentence


def flat(level: int, size: tuple[int, int] = (360, 640)) -> Luma:
    return np.full(size, level, np.uint8)


def sample(number: int = 1, captured: float = 10.0, motion: float = 0.0) -> Sample:
    return Sample(number, captured, captured + 0.1, 640, 360, 50.0, motion)


def test_a_marked_picture_tells_its_own_number_and_time() -> None:
    luma = flat(100)
    draw_marker(luma, 4711, 1_700_000_000_123)
    seen, _ = measure(luma, None, count=1, arrived=5.0)
    assert (seen.number, seen.captured, seen.width, seen.height) == (4711, 1_700_000_000.123, 640, 360)


def test_a_picture_without_marker_has_its_count_and_arrival() -> None:
    seen, _ = measure(flat(100), None, count=9, arrived=5.0)
    assert (seen.number, seen.captured, seen.brightness, seen.motion) == (9, 5.0, 100.0, 0.0)


@given(st.integers(0, 255), st.integers(0, 255))
def test_motion_is_the_mean_difference(before: int, after: int) -> None:
    _, thumb = measure(flat(before), None, 1, 0.0)
    seen, _ = measure(flat(after), thumb, 2, 0.0)
    assert (seen.brightness, seen.motion) == (after, abs(after - before))


def test_a_change_of_size_is_no_error() -> None:
    _, thumb = measure(flat(50), None, 1, 0.0)
    seen, _ = measure(flat(50, (17, 31)), thumb, 2, 0.0)
    assert (seen.width, seen.height, seen.motion) == (31, 17, 0.0)


def test_a_clip_tells_the_newest_frame_their_count_and_their_mean_motion() -> None:
    seen = observe([sample(1, 9.0, motion=2.0), sample(5, 10.0, motion=4.0)], now=10.4, clip=True)
    assert (seen["frame"], seen["age_ms"], seen["frames"], seen["motion"]) == (5, 400, 2, 3.0)


def test_the_sentence_can_be_parsed() -> None:
    text = sentence(observe([sample(123)], now=10.412, clip=False))
    assert re.fullmatch(r"frame 123, age 412 ms, 640x360, brightness 50\.0, motion 0\.0", text)


def test_the_answer_ends_with_the_tokens() -> None:
    seen = observe([sample()], now=10.0, clip=False)
    whole, cut = answer(seen, None, 64), answer(seen, None, 3)
    assert (whole.finish_reason, cut.finish_reason) == ("stop", "length")
    assert cut.text == whole.text[:12]


def test_a_schema_gives_json() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"frame": {"type": "integer"}, "seen": {"type": "array"}}}
    said = answer(observe([sample(3)], now=10.0, clip=False), schema, 64)
    assert json.loads(said.text) == {"frame": 3, "seen": []}


@pytest.mark.parametrize(
    "schema", [{"not": {}}, {"$ref": "http://elsewhere.invalid/x"}, {"pattern": "^x$", "type": "string"}]
)
def test_a_schema_that_cannot_be_satisfied_is_an_error(schema: dict[str, Any]) -> None:
    said = answer(observe([sample()], now=10.0, clip=False), schema, 64)
    assert (said.text, said.finish_reason) == ("", None)
    assert said.error
    assert said.error.startswith("the output schema could not be satisfied")
