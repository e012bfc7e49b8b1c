"""The report as text for people, on terminals of 80 columns too. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo

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
    parts = [_daemon(report), *_named("cameras", report["cameras"], _because)]
    parts += _named("brokers", report["brokers"], _broker)
    parts += [_stream(name, stream, zone) for name, stream in report["streams"].items()]
    if not report["streams"]:
        parts.append([("", "No stream is configured.")])
    parts += _removed(report["removed_streams"])
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


def size(count: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.1f} {unit}" if count < 9.95 and unit != "B" else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def money(cents: float) -> str:
    """US cents as dollars."""
    return f"${cents / 100:.2f}"


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
        *_board(report),
    ]


def _named(head: str, all_of_them: Mapping[str, Json], say: Callable[[Json], str]) -> Iterator[list[Row]]:
    if all_of_them:
        yield [("", head), *((name, say(one)) for name, one in all_of_them.items())]


def _board(report: Json) -> list[Row]:
    """Only what is told, and of the supply only what is wrong."""
    board, free, left = report["board"], report["disk_free_bytes"], report["credits_remaining_cents"]
    heat = board["temperature_celsius"]
    supply = "too weak now" if board["undervoltage"] else "was too weak since boot"
    weak = board["undervoltage"] or board["undervoltage_since_boot"]
    return [
        ("temperature", "" if heat is None else f"{heat:.0f} °C"),
        ("supply", f"{supply}: a better one, or a shorter cable, is needed" if weak else ""),
        ("disk", "" if free is None else f"{size(free)} free"),
        ("spool", "" if report["spool"] is None else _spool(report["spool"])),
        ("credits", "" if left is None else f"{money(left)} left"),
    ]


def _spool(spool: Json) -> str:
    dropped = f"; {spool['dropped']} records were dropped undelivered so far" if spool["dropped"] else ""
    trouble = f"; trouble: {spool['trouble']}" if spool["trouble"] else ""
    return f"{size(spool['bytes'])} of {size(spool['max_bytes'])}{dropped}{trouble}"


def _broker(broker: Json) -> str:
    since = "" if broker["seconds"] is None else f" for {duration(broker['seconds'])}"
    why = f": {broker['why']}" if broker["why"] else ""
    return f"{'connected' if broker['connected'] else 'not connected'}{since}{why}"


def _today(today: Json) -> str:
    """Nothing of a stream that was not there today."""
    if not (today["seconds"] or today["received"] or today["bytes_up"]):
        return ""
    due = f" of {today['due']:.0f}" if today["due"] else ""
    traffic = f"{size(today['bytes_up'])} up, {size(today['bytes_down'])} down"
    return f"{duration(today['seconds'])} for {money(today['cents'])}, {today['received']}{due} results, {traffic}"


def _sinks(sinks: Sequence[Json]) -> Iterator[Row]:
    """Those that are behind, or lack what they refused."""
    for sink in sinks:
        if sink["passed_over"]:
            yield "passed over", f"{sink['passed_over']} records that {sink['name']} refused, since the start"
        if sink["waiting"] or sink["why"]:
            why = f": {sink['why']}" if sink["why"] else ""
            yield "waits", f"{sink['waiting']} records for {sink['name']}{why}"


def _stream(name: str, stream: Json, zone: tzinfo | None) -> list[Row]:
    minute = stream["last_minute"]
    last = stream["last_result_seconds_ago"]
    runs = bool(stream["transport"])
    return [
        ("", name),
        ("state", _state(stream)),
        ("transport", f"{stream['transport']}, {stream['rung']}" if runs else ""),
        ("lease", _lease(stream)),
        ("token", "" if stream["token_seconds_old"] is None else f"{duration(stream['token_seconds_old'])} old"),
        ("last switch", "" if stream["last_switch"] is None else _switch(stream["last_switch"], zone)),
        ("last minute", f"{minute['frames']} frames, {minute['results']} results" if runs else ""),
        ("last result", "" if last is None else _ago(last)),
        ("today", _today(stream["today"])),
        *_sinks(stream["sinks"]),
        *(("note", note) for note in stream["notes"]),
    ]


def _removed(streams: Mapping[str, Json]) -> Iterator[list[Row]]:
    """Those of which something waits."""
    for name, stream in streams.items():
        if waiting := [*_sinks(stream["sinks"])]:
            yield [("", f"{name} (removed from the configuration)"), *waiting]


def _because(of: Json) -> str:
    return f"{of['state']}: {of['why']}" if of["why"] else str(of["state"])


def _state(stream: Json) -> str:
    """A pause is asked for at once, and there once the stream at the API has ended."""
    asked = " (a pause is asked for)" if stream["paused"] and stream["state"] != "paused" else ""
    return f"{_because(stream)}{asked}"


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
