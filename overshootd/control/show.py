"""The report as text for people, on terminals of 80 columns too. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any

from overshootd.control.wire import Json

NARROWEST, WIDEST = 40, 110
"""Columns. Longer lines are not read more easily."""

UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))

KEY_COLUMNS = 13


def text(report: Json, width: int, zone: tzinfo | None = None) -> str:
    """What `report` says, times of day in `zone` (None: this machine's).

    Raises KeyError, TypeError, ValueError or AttributeError for a report of another version.
    """
    columns = min(max(width, NARROWEST), WIDEST)
    parts = [_daemon(report), *_cameras(report["cameras"])]
    parts += [_stream(name, stream, zone) for name, stream in report["streams"].items()]
    if not report["streams"]:
        parts.append([("", "No stream is configured.")])
    return "\n\n".join("\n".join(line for row in part for line in _row(*row, columns)) for part in parts) + "\n"


def duration(seconds: float) -> str:
    """A span as people say it: its two largest units, tenths of a second only below ten."""
    if seconds < 60:
        return f"{max(seconds, 0.0):.1f} s" if seconds < 9.95 else f"{min(round(seconds), 59)} s"
    left = int(seconds)
    words: list[str] = []
    for unit, size in UNITS:
        count, left = divmod(left, size)
        if count or words:
            words.append(f"{count} {unit}" if count else "")
    return " ".join(filter(None, words[:2]))


Row = tuple[str, str]
"""A key, empty for a head, and what it says; a row that says nothing is left out."""


def _row(key: str, value: str, columns: int) -> list[str]:
    value = plain(value)
    if not key:
        return textwrap.wrap(value, columns, subsequent_indent="  ", break_on_hyphens=False)
    head = f"  {key:<{KEY_COLUMNS}} "
    return textwrap.wrap(value, columns, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)


def plain(text: str) -> str:
    """One line of it: what servers and cameras say moves no terminal's cursor."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))


def _daemon(report: Json) -> list[Row]:
    memory, network = report["memory"], report["network"]
    limit = "" if memory["limit_mb"] is None else f" of {memory['limit_mb']:.0f}"
    changed = network["changed_seconds_ago"]
    return [
        ("", f"overshootd {report['version']} on {report['device']}, up {duration(report['uptime_seconds'])}"),
        ("process", f"{report['pid']}, {memory['used_mb']:.0f}{limit} MB of memory"),
        ("clock", "synced" if report["clock_synced"] else "not synced since boot: times may be wrong"),
        ("network", "no change so far" if changed is None else f"changed {_ago(changed)}: {network['what']}"),
    ]


def _cameras(cameras: Mapping[str, Any]) -> Iterator[list[Row]]:
    if cameras:
        yield [("", "cameras"), *((name, _because(camera)) for name, camera in cameras.items())]


def _stream(name: str, stream: Json, zone: tzinfo | None) -> list[Row]:
    minute = stream["last_minute"]
    last = stream["last_result_seconds_ago"]
    runs = bool(stream["transport"])
    return [
        ("", name),
        ("state", _because(stream)),
        ("transport", f"{stream['transport']}, {stream['rung']}" if runs else ""),
        ("lease", _lease(stream)),
        ("token", "" if stream["token_seconds_old"] is None else f"{duration(stream['token_seconds_old'])} old"),
        ("last switch", "" if stream["last_switch"] is None else _switch(stream["last_switch"], zone)),
        ("last minute", f"{minute['frames']} frames, {minute['results']} results" if runs else ""),
        ("last result", "" if last is None else _ago(last)),
        *(("note", note) for note in stream["notes"]),
    ]


def _because(of: Json) -> str:
    return f"{of['state']}: {of['why']}" if of["why"] else str(of["state"])


def _lease(stream: Json) -> str:
    sent, left = stream["keepalive_seconds_ago"], stream["lease_seconds_left"]
    parts = [] if sent is None else [f"kept {_ago(sent)}"]
    if left is not None:
        parts.append(f"{duration(left)} left" if left > 0 else f"ran out {_ago(-left)}")
    return ", ".join(parts)


def _switch(switch: Json, zone: tzinfo | None) -> str:
    at = datetime.fromisoformat(switch["at"]).astimezone(zone)
    return f"{at:%Y-%m-%d %H:%M:%S}: {switch['rung']} in {duration(switch['seconds'])} ({switch['why']})"


def _ago(seconds: float) -> str:
    return f"{duration(seconds)} ago"
