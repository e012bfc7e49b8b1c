"""The rules that schemas cannot say, and the defaults (api/README.md, v0.2, 6)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.simulator.requests import ClipMode, FrameMode, LiveKit, Native, WebRTC, rule_problems, stream_spec


def body(processing: dict[str, Any] | None = None, /, inference: dict[str, Any] | None = None, **more: Any) -> Any:
    return {
        "processing": processing or {"interval_seconds": 2},
        "inference": {"prompt": "p", "model": "m", **(inference or {})},
        **more,
    }


def clip(**more: Any) -> dict[str, Any]:
    return {"clip_length_seconds": 1, "delay_seconds": 0.5, **more}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (body(inference={"max_output_tokens": 257}), "inference.max_output_tokens"),
        (body(clip(), inference={"max_output_tokens": 65}), "inference.max_output_tokens"),
        (body(clip(target_fps=2)), "processing.clip_length_seconds"),
        (body(clip(target_fps=6, fps=30)), "processing.fps"),
        (body(clip(target_fps=6, sampling_ratio=0.5)), "processing.sampling_ratio"),
        (body(clip(fps=60)), "processing.fps"),
        (body(clip(fps=5, sampling_ratio=0.1)), "processing.fps"),
        (body(mode="clip"), "mode"),
        (body(clip(), mode="frame"), "mode"),
        (body(source={"type": "native"}, webrtc={"type": "offer", "sdp": "o"}), "webrtc"),
        (body(inference={"output_schema_json": {"type": "nonsense"}}), "inference.output_schema_json"),
    ],
)
def test_a_broken_rule_names_its_field(wrong: Any, field: str) -> None:
    assert [problem.field for problem in rule_problems(wrong)] == [field]


@pytest.mark.parametrize(
    "good",
    [
        body(inference={"max_output_tokens": 256}),
        body(clip(target_fps=3), mode="clip"),
        body(clip(fps=30, sampling_ratio=0.1)),
        body(source=None, webrtc={"type": "offer", "sdp": "o"}),
    ],
)
def test_the_edge_of_each_rule_is_allowed(good: Any) -> None:
    assert rule_problems(good) == []


@given(st.floats(0.01, 60, exclude_min=True))
def test_the_servers_own_choice_of_tokens_keeps_the_rule(interval: float) -> None:
    chosen = stream_spec(body({"interval_seconds": interval})).max_output_tokens
    assert chosen == max(1, int(128 * interval))


@pytest.mark.parametrize(
    ("processing", "read"),
    [
        ({"interval_seconds": 2}, FrameMode(2)),
        (clip(), ClipMode(0.5, 1, 6)),
        (clip(target_fps=10, fps=None), ClipMode(0.5, 1, 10)),
        (clip(fps=30, sampling_ratio=0.5), ClipMode(0.5, 1, 15)),
        (clip(fps=15), ClipMode(0.5, 1, 15)),
    ],
)
def test_processing_is_read(processing: dict[str, Any], read: FrameMode | ClipMode) -> None:
    assert stream_spec(body(processing)).processing == read


def test_the_source_is_native_unless_said() -> None:
    assert stream_spec(body()).source == stream_spec(body(source=None)).source == Native()
    assert stream_spec(body(source={"type": "livekit", "url": "u", "token": "t"})).source == LiveKit("u", "t")
    assert stream_spec(body(webrtc={"type": "offer", "sdp": "o"})).source == WebRTC("o")
