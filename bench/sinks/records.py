"""Results as the API sends them, made into records as the daemon makes them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from itertools import cycle

from overshootd.contracts import Inference, Record
from overshootd.sinks.record import Origin, encode, result_record

TEXT = "A person in a yellow jacket stands at the door and holds a parcel; the gate behind is open."


def result(stream: str) -> Record:
    """A new one, of now."""
    api = {
        "id": str(uuid.uuid4()),
        "stream_id": "6c0c2a1e-6d3e-4b63-9a55-5b0a4b2f7f11",
        "mode": "frame",
        "model_backend": "overshoot",
        "model_name": "Qwen/Qwen3.5-9B",
        "prompt": "Is anyone at the door?",
        "result": TEXT,
        "inference_latency_ms": 213.482,
        "total_latency_ms": 388.015,
        "ok": True,
        "error": None,
        "finish_reason": "stop",
    }
    return result_record(
        Origin("gate-pi", stream, {"site": "f12"}), Inference(time.time(), api), with_schema=False, synced=True
    )


def results(stream: str, count: int = 1000) -> Iterator[Record]:
    """For ever, of so many that are made beforehand: what makes them is not measured."""
    return cycle([result(stream) for _ in range(count)])


def size() -> int:
    """Bytes of one as a line."""
    return len(encode(result("front-door"), str(uuid.uuid4()), 1_000_000))
