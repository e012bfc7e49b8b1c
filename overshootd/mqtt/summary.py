"""What a broker is told of the device, out of what `overshootd status --json` prints (docs/sinks.md, "MQTT"). Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from overshootd.mqtt.discovery import Board

Json = Mapping[str, Any]

SCHEMA = 1
"""Rises when a key goes or changes its meaning. New ones may come at any time."""

LONGEST_WHY = 300
"""Characters of a reason. An error of FFmpeg's may have pages."""

MOST_SINKS = 10
"""Sinks of a stream that are told, those in trouble first; and removed streams. `overshootd status` has all."""

OF_STREAM = ("state", "why", "results", "last_result_at")
OF_CAMERA = ("state", "why")
OF_SINK = ("name", "waiting", "why", "passed_over")
OF_TODAY = ("seconds", "cents", "bytes_up", "bytes_down", "received", "due")


class Trouble(NamedTuple):
    """Why something does not work: since when (RFC 3339), what, and the reason."""

    at: str
    of: str
    why: str


def summary(report: Json, trouble: Trouble | None, redact: Callable[[str], str]) -> Json:
    """The message. What is not known, or is not there, is null."""
    said = {
        "schema": SCHEMA,
        **{key: report.get(key) for key in ("at", "version", "device", "uptime_seconds", "clock_synced")},
        "streams": {
            name: {**_part(stream, OF_STREAM), "sinks": _sinks(stream)}
            for name, stream in _map(report, "streams").items()
        },
        "removed_streams": {
            name: {"sinks": _sinks(stream)}
            for name, stream in islice(_map(report, "removed_streams").items(), MOST_SINKS)
        },
        "cameras": {name: _part(camera, OF_CAMERA) for name, camera in _map(report, "cameras").items()},
        "last_error": None if trouble is None else trouble._asdict(),
        "today": _today(_map(report, "streams")),
        **{key: report.get(key) for key in ("credits_remaining_cents", "board", "disk_free_bytes", "spool")},
    }
    masked = _masked(said, redact)
    assert isinstance(masked, dict)
    return masked


def newest(before: Trouble | None, report: Json, last: Json) -> Trouble | None:
    """The trouble that is new in this report, compared with the `last` one; else the one that was before."""
    known = dict(_troubles(last))
    for of, why in _troubles(report):
        if why and why != known.get(of):
            before = Trouble(str(report.get("at", "")), _short(of), _short(why))
    return before


def essence(said: Json) -> Hashable:
    """What a change of is told at once: no number that moves all the time is among it."""
    states = [
        (kind, name, part["state"], part["why"]) for kind in ("streams", "cameras") for name, part in said[kind].items()
    ]
    sinks = [
        (name, sink["name"], sink["why"])
        for kind in ("streams", "removed_streams")
        for name, stream in said[kind].items()
        for sink in stream["sinks"]
    ]
    device = (said["clock_synced"], _map(said, "board").get("undervoltage"), said["version"])
    return (tuple(states), tuple(sinks), device, _map(said, "spool").get("trouble"))


def available(report: Json, stream: str) -> bool:
    """Whether it gives results."""
    return bool(_map(report, "streams").get(stream, {}).get("state") == "live")


def board_of(report: Json, before: Board) -> Board:
    """What the machine tells of itself. What it told before it will tell again: a sensor may fail for a moment."""
    board = _map(report, "board")
    return Board(
        before.temperature or board.get("temperature_celsius") is not None,
        before.undervoltage or board.get("undervoltage") is not None,
    )


def _sinks(stream: Json) -> list[dict[str, Any]]:
    found = stream.get("sinks")
    parts = [_part(sink, OF_SINK) for sink in found] if isinstance(found, list) else []
    return sorted(parts, key=lambda sink: not sink["why"])[:MOST_SINKS]


def _troubles(report: Json) -> Iterator[tuple[str, Any]]:
    """Why each of them does not work, those last that explain the others least."""
    yield "spool", _map(report, "spool").get("trouble")
    for kind in ("removed_streams", "streams"):
        for name, stream in _map(report, kind).items():
            yield from ((f"sink {sink['name']} of stream {name}", sink["why"]) for sink in _sinks(stream))
    for kind in ("cameras", "streams"):
        for name, now in _map(report, kind).items():
            yield f"{kind.removesuffix('s')} {name}", now.get("why")


def _today(streams: Json) -> Json:
    """What all of them took and gave today."""
    parts = [_map(stream, "today") for stream in streams.values()]
    return {key: round(sum(part.get(key) or 0 for part in parts), 3) for key in OF_TODAY}


def _map(report: Json, key: str) -> Json:
    found = report.get(key)
    return found if isinstance(found, Mapping) else {}


def _part(whole: Json, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: _short(whole.get(key)) for key in keys}


def _short(value: Any) -> Any:
    if not isinstance(value, str) or len(value) <= LONGEST_WHY:
        return value
    return value[: LONGEST_WHY - 1] + "…"


def _masked(value: Any, redact: Callable[[str], str]) -> Any:
    """Text by text: a password that is a word of JSON's must not spoil the whole."""
    match value:
        case str():
            return redact(value)
        case Mapping():
            return {key: _masked(inner, redact) for key, inner in value.items()}
        case list() | tuple():
            return [_masked(inner, redact) for inner in value]
    return value
