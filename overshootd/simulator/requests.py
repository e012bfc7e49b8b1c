"""What a valid create request asks for, and the rules that schemas cannot say (api/README.md, v0.2). Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, SchemaError

from overshootd.simulator.contract import Problem

TOKENS_PER_SECOND = 128
FRAMES_PER_CLIP = 3
DEFAULT_TARGET_FPS = 6
LEGACY_FPS = 30


@dataclass(frozen=True, slots=True)
class Native:
    kind = "native"


@dataclass(frozen=True, slots=True)
class WebRTC:
    sdp: str
    kind = "webrtc"


@dataclass(frozen=True, slots=True)
class LiveKit:
    url: str
    token: str
    kind = "livekit"


@dataclass(frozen=True, slots=True)
class FrameMode:
    """One frame every `interval` seconds."""

    interval: float
    mode = "frame"


@dataclass(frozen=True, slots=True)
class ClipMode:
    """Every `interval` seconds a clip of the last `length` seconds at `target_fps`."""

    interval: float
    length: float
    target_fps: int
    mode = "clip"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    source: Native | WebRTC | LiveKit
    processing: FrameMode | ClipMode
    prompt: str
    model: str
    backend: str
    output_schema: dict[str, Any] | None
    max_output_tokens: int


def rule_problems(body: Mapping[str, Any]) -> list[Problem]:
    """What the schemas cannot see in a body that satisfies them."""
    return [*_source_problems(body), *_processing_problems(body), *_inference_problems(body)]


def stream_spec(body: Mapping[str, Any]) -> StreamSpec:
    """The values of a body without problems, defaults filled in."""
    inference = body["inference"]
    processing = _processing(body["processing"])
    tokens = inference.get("max_output_tokens") or max(1, math.floor(TOKENS_PER_SECOND * processing.interval))
    return StreamSpec(
        source=_source(body),
        processing=processing,
        prompt=inference["prompt"],
        model=inference["model"],
        backend=inference.get("backend", "overshoot"),
        output_schema=inference.get("output_schema_json"),
        max_output_tokens=tokens,
    )


def _source(body: Mapping[str, Any]) -> Native | WebRTC | LiveKit:
    source = body.get("source") or body.get("webrtc") or {"type": "native"}
    match source["type"]:
        case "native":
            return Native()
        case "livekit":
            return LiveKit(source["url"], source["token"])
        case _:
            return WebRTC(source["sdp"])


def _processing(processing: Mapping[str, Any]) -> FrameMode | ClipMode:
    if "interval_seconds" in processing:
        return FrameMode(processing["interval_seconds"])
    return ClipMode(processing["delay_seconds"], processing["clip_length_seconds"], _target_fps(processing))


def _target_fps(processing: Mapping[str, Any]) -> int:
    if processing.get("target_fps") is not None:
        return int(processing["target_fps"])
    fps, ratio = processing.get("fps"), processing.get("sampling_ratio")
    if fps is None and ratio is None:
        return DEFAULT_TARGET_FPS
    return int((fps or LEGACY_FPS) * (ratio or 1.0))


def _source_problems(body: Mapping[str, Any]) -> Iterator[Problem]:
    if body.get("source") and body.get("webrtc"):
        yield Problem("webrtc", "is the older way to say source webrtc: send one of the two")


def _processing_problems(body: Mapping[str, Any]) -> Iterator[Problem]:
    given = body["processing"]
    processing = _processing(given)
    mode = body.get("mode")
    if mode is not None and mode != processing.mode:
        yield Problem("mode", f"is {mode}, but processing is that of mode {processing.mode}")
    if not isinstance(processing, ClipMode):
        return
    legacy = [name for name in ("fps", "sampling_ratio") if given.get(name) is not None]
    if given.get("target_fps") is not None and legacy:
        yield Problem(f"processing.{legacy[0]}", "cannot be given together with target_fps")
    elif not 1 <= processing.target_fps <= 30:
        yield Problem("processing.fps", f"fps x sampling_ratio gives {processing.target_fps}; 1 to 30 is possible")
    elif (frames := processing.target_fps * processing.length) < FRAMES_PER_CLIP:
        yield Problem("processing.clip_length_seconds", f"gives {frames:g} frames a clip; at least 3 are needed")


def _inference_problems(body: Mapping[str, Any]) -> Iterator[Problem]:
    inference = body["inference"]
    interval = _processing(body["processing"]).interval
    tokens = inference.get("max_output_tokens")
    if tokens is not None and tokens > TOKENS_PER_SECOND * interval:
        allowed = math.floor(TOKENS_PER_SECOND * interval)
        yield Problem(
            "inference.max_output_tokens",
            f"{tokens} in {interval:g} s is more than {TOKENS_PER_SECOND} tokens/s; at most {allowed}",
        )
    if inference.get("output_schema_json") is not None:
        try:
            Draft202012Validator.check_schema(inference["output_schema_json"])
        except SchemaError as error:
            yield Problem("inference.output_schema_json", f"is not a JSON Schema: {error.message}")
