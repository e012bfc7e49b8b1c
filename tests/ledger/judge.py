"""What must be true of a run: nothing that was received is missing anywhere, and what comes twice is the same. Pure.

Times are monotonic seconds, the same in all processes of a machine. A record is a line of JSON, as it was written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

SHOWN = 5
"""Of what is wrong in the same way, so many are told."""


class Window(NamedTuple):
    """From then to then, both included."""

    since: float
    until: float

    def __contains__(self, at: object) -> bool:
        return isinstance(at, float | int) and self.since <= at <= self.until


class Sent(NamedTuple):
    """A result that the simulator sent: the `id` in it, and when."""

    id: str
    at: float


class Acknowledged(NamedTuple):
    """A record that the broker has acknowledged, and when."""

    line: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a run.

    What was sent in `unheard` need not have been received: the daemon was dead, about to die, or could not write the
    spool and was then killed. What the broker acknowledged in `forgotten` it need not have passed on: it was killed
    before that was on its disk, or lost its persistence. Each of `lives` lives of the daemon may have begun with what
    the one before had delivered already. `heard` is None where there is no broker.
    """

    sent: Sequence[Sent]
    files: Mapping[str, Sequence[bytes]]
    """The lines of each stream, in the order of the file."""
    acknowledged: Sequence[Acknowledged] = ()
    heard: Sequence[bytes] | None = None
    unheard: Sequence[Window] = ()
    forgotten: Sequence[Window] = ()
    lives: int = 1


@dataclass(frozen=True, slots=True)
class Line:
    """A record that was read, and where: `file` or `broker`."""

    text: bytes
    where: str
    record: Mapping[str, Any] = field(hash=False)

    @property
    def uid(self) -> str:
        return str(self.record["uid"])

    @property
    def seq(self) -> int:
        return int(self.record["seq"])

    @property
    def stream(self) -> str:
        return str(self.record["stream"])

    @property
    def result(self) -> str | None:
        """The `id` that the simulator gave it; None of a record that is no result."""
        return str(self.record["api"]["id"]) if self.record["type"] == "result" else None

    def __str__(self) -> str:
        return f"{self.stream} {self.seq} ({self.record['type']}, uid {self.uid}) in the {self.where}"


def verdict(evidence: Evidence) -> list[str]:
    """What is wrong, in sentences; empty when all is well."""
    files: dict[str, list[Line]] = {}
    found: list[str] = []
    for stream, texts in evidence.files.items():
        files[stream], torn = _read(texts, "file")
        found += [f"in the file of {stream} is no record: {text[:80]!r}" for text in torn]
    heard, torn = _read(evidence.heard or (), "broker")
    found += [f"the subscriber heard no record: {text[:80]!r}" for text in torn]
    written = [line for lines in files.values() for line in lines]
    found += _few("never reached the file", _lost(evidence, written))
    for lines in files.values():
        found += _few("was stored and is not in the file", _skipped(lines))
        found += _order(lines, evidence.lives)
    found += _few("differ", _twice([*written, *heard]))
    if evidence.heard is not None:
        found += _at_the_broker(evidence, written, heard)
    return found


def _read(texts: Iterable[bytes], where: str) -> tuple[list[Line], list[bytes]]:
    """The records, and what is none."""
    lines, torn = [], []
    for text in texts:
        try:
            line = Line(text, where, json.loads(text))
            _ = (line.uid, line.seq, line.stream, line.result)
        except (ValueError, TypeError, KeyError):
            torn.append(text)
        else:
            lines.append(line)
    return lines, torn


def _lost(evidence: Evidence, written: Iterable[Line]) -> Iterator[str]:
    """What was sent while the daemon lived and could write."""
    there = {line.result for line in written}
    for sent in evidence.sent:
        if sent.id not in there and not any(sent.at in window for window in evidence.unheard):
            yield f"result {sent.id}, sent at {sent.at:.3f}"


def _skipped(lines: Sequence[Line]) -> Iterator[str]:
    """A `seq` that is not there was given to a record that was: the spool counts without a gap as long as the kernel
    lives."""
    there = {line.seq for line in lines}
    for seq in range(1, max(there, default=0)):
        if seq not in there:
            yield f"{lines[0].stream} {seq}"


def _order(lines: Sequence[Line], lives: int) -> Iterator[str]:
    """A new record is never behind a newer one; and only a new life goes back, to what its cursor did not have yet."""
    newest = 0
    for line in _first(lines):
        if line.seq < newest:
            yield f"out of order: {line}, behind {newest}"
        newest = max(newest, line.seq)
    back = sum(after.seq <= before.seq for before, after in pairwise(lines))
    if back >= lives:
        yield f"the file of {lines[0].stream} goes back {back} times, with {lives} lives of the daemon"


def _twice(lines: Iterable[Line]) -> Iterator[str]:
    """What has the same uid is the same record; the same number, or the same result, is never in two."""
    known: dict[tuple[str, ...], Line] = {}
    for line in lines:
        keys = [("uid", line.uid), ("seq", line.stream, str(line.seq))]
        if line.result is not None:
            keys.append(("result", line.result))
        for key in keys:
            before = known.setdefault(key, line)
            if before.text != line.text:
                yield f"{before} and {line} have the same {key[0]}"


def _at_the_broker(evidence: Evidence, written: Sequence[Line], heard: Sequence[Line]) -> Iterator[str]:
    files = {line.text for line in written}
    acknowledged = {line for line, _ in evidence.acknowledged}
    yield from _few("is in the file and not at the broker", _missing(written, acknowledged))
    yield from _few("was heard and is not in the file", _missing(heard, files))
    there = {line.text for line in heard}
    surely = (line for line, at in evidence.acknowledged if not any(at in window for window in evidence.forgotten))
    lines, _ = _read(surely, "broker")
    yield from _few("was acknowledged and not heard", _missing(lines, there))


def _missing(lines: Iterable[Line], there: Iterable[bytes]) -> Iterator[str]:
    known = frozenset(there)
    return (str(line) for line in _first(lines) if line.text not in known)


def _first(lines: Iterable[Line]) -> Iterator[Line]:
    """Each record once."""
    known: set[str] = set()
    for line in lines:
        if line.uid not in known:
            known.add(line.uid)
            yield line


def _few(what: str, whose: Iterable[str]) -> list[str]:
    all_ = list(whose)
    more = [f"… and {len(all_) - SHOWN} more"] if len(all_) > SHOWN else []
    return [f"{what}: {one}" for one in all_[:SHOWN]] + more
