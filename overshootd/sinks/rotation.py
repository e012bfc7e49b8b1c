"""When a new file begins and what the older ones are called. Pure.

An older file keeps its name with the moment of rotation (UTC) behind it, as logrotate's `dateext` does:
`front-door.jsonl-20260727T101500Z`, and `.gz` once it is compressed. Such a name never changes again: nothing is moved
when the next one comes, a program that copies them meets none twice, and the listing shows the time one looks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

STAMP = "%Y%m%dT%H%M%SZ"


def plan(size: int, lines: Sequence[bytes], limit: int) -> list[list[bytes]]:
    """Lines for the file that has `size` bytes already, then for each new one; beyond `limit` only a single line."""
    files: list[list[bytes]] = [[]]
    for line in lines:
        if size and size + len(line) + 1 > limit:
            files.append([])
            size = 0
        files[-1].append(line)
        size += len(line) + 1
    return files


def stamps(names: Iterable[str], base: str) -> dict[str, list[str]]:
    """The older files of `base` among `names`: stamp to names (both, where compressing was cut short), oldest first."""
    pattern = re.compile(rf"{re.escape(base)}-(\d{{8}}T\d{{6}}Z)(?:\.gz(?:\.tmp)?)?")
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        if (match := pattern.fullmatch(name)) and _is_time(match[1]):
            found.setdefault(match[1], []).append(name)
    return dict(sorted(found.items()))


def next_stamp(now: datetime, taken: Iterable[str]) -> str:
    """The moment `now`, or a second after the newest, so that names stay in order and apart whatever the clock does."""
    newest = max(taken, default="")
    stamp = now.astimezone(UTC).strftime(STAMP)
    if stamp > newest:
        return stamp
    return (datetime.strptime(newest, STAMP).replace(tzinfo=UTC) + timedelta(seconds=1)).strftime(STAMP)


def _is_time(stamp: str) -> bool:
    try:
        datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        return False
    return True
