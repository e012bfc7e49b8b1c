"""The record contract (design.md, "The record"): what one line of a results file or one MQTT payload holds. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from overshootd.contracts import Inference, Record

SCHEMA = 1

SHA_DIGITS = 16
"""Hex digits of SHA-256 kept in `prompt_sha`: every record carries them, and 64 bits tell a device's prompts apart."""

LINE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
"""Made once: `json.dumps` makes one for each line."""

DEPTH = 64
"""Levels of nesting that are kept; what is deeper is null. A model in a loop writes thousands of brackets."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose records they are: the words that every record of a stream begins with."""

    device: str
    stream: str
    labels: Mapping[str, str]


def result_record(origin: Origin, inference: Inference, *, with_schema: bool, synced: bool) -> Record:
    """One result. What the API left out or sent malformed is null or stays as it came; nothing here raises for it.

    `output` is null unless the stream has an output schema and the text parses.
    """
    api = dict(inference.api)
    text = api.pop("result", None)
    content = {
        "observed_at": _observed(inference.received_at, api.get("total_latency_ms")),
        "clock_synced": synced,
        "ok": api.pop("ok", None),
        "text": text,
        "output": _parsed(text) if with_schema else None,
        "api": dict(_without_prompt(key, value) for key, value in api.items()),
    }
    return _record("result", origin, inference.received_at, content)


def state_record(
    origin: Origin,
    at: float,
    state: str,
    *,
    synced: bool,
    why: str = "",
    stream_id: str | None = None,
    prompt: str | None = None,
    offset: float | None = None,
    camera: str | None = None,
) -> Record:
    """The stream changed its state at `at` (seconds since the epoch); with `camera`, that camera of its did.

    `prompt` is given when it is a new one. `offset`: seconds to add to the times of the stream's earlier records that
    say `clock_synced` false.
    """
    whose = {} if camera is None else {"camera": camera}
    optional = {
        "why": why or None,
        "stream_id": stream_id,
        "prompt_sha": _digest(prompt),
        "prompt": prompt,
        "offset_seconds": None if offset is None else round(offset, 3),
    }
    content = {key: value for key, value in optional.items() if value is not None}
    return _record("state", origin, at, {"clock_synced": synced, **whose, "state": state, **content})


def gap_record(origin: Origin, begin: float, end: float, why: str, *, synced: bool) -> Record:
    """From `begin` to `end` (seconds since the epoch) nothing was watched."""
    content = {"clock_synced": synced, "from": timestamp(begin), "to": timestamp(end), "why": why}
    return _record("gap", origin, end, content)


def timestamp(seconds: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(record: Record, uid: str, seq: int) -> bytes:
    """The line: compact JSON in UTF-8, keys in a fixed order for the human reader, no newline of any kind.

    Raises ValueError for NaN and infinity, which JSON does not have.
    """
    head = {"schema": SCHEMA, "type": record.type, "uid": uid, "seq": seq}
    line = LINE.encode(head | dict(record.body))
    # JSON leaves these three as they are, but str.splitlines and JavaScript take them for the end of a line.
    for separator in ("\x85", "\u2028", "\u2029"):
        line = line.replace(separator, f"\\u{ord(separator):04x}")
    return line.encode()


def _record(kind: str, origin: Origin, at: float, content: Mapping[str, Any]) -> Record:
    body = {
        "device": origin.device,
        "stream": origin.stream,
        "labels": dict(origin.labels),
        "received_at": timestamp(at),
        **content,
    }
    return Record(kind, origin.stream, _plain(body))


def _observed(received_at: float, latency_ms: object) -> str | None:
    if not isinstance(latency_ms, int | float) or isinstance(latency_ms, bool) or latency_ms < 0:
        return None
    try:
        return timestamp(received_at - latency_ms / 1000)
    except (ValueError, OverflowError):  # before the year 1
        return None


def _parsed(text: object) -> Any:
    if not isinstance(text, str):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _without_prompt(key: str, value: object) -> tuple[str, object]:
    return ("prompt_sha", _digest(value)) if key == "prompt" else (key, value)


def _digest(prompt: object) -> str | None:
    if not isinstance(prompt, str):
        return None
    return hashlib.sha256(prompt.encode(errors="surrogatepass")).hexdigest()[:SHA_DIGITS]


def _plain(value: Any, depth: int = DEPTH) -> Any:
    """The same in what every JSON reader takes: no NaN, no infinity, no lone surrogates, bounded depth.

    Every string of every result comes here, its keys too, so no `match`: with it this takes twice as long.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_plain(key): _plain(item, depth - 1) for key, item in value.items()} if depth else None
    if isinstance(value, list):
        return [_plain(item, depth - 1) for item in value] if depth else None
    return value
