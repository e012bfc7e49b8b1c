"""Who goes on where a sink of a stream stopped, when the configuration names another place. Pure.

A sink's name says where records go, so a file's new `path` or a broker's new `topic` is a new sink and an old one that
is gone. Whoever changes it moved the sink: what waits is meant for the new place, and what the old one has stays there.
"""

from __future__ import annotations

from collections.abc import Collection


def heirs(before: Collection[str], now: Collection[str]) -> dict[str, str]:
    """The new sinks that take an old one's cursor, by name, each with the old one's: where of one kind exactly one is
    gone and exactly one is new. Of more nobody knows which became which."""
    gone, new = _by_kind(set(before) - set(now)), _by_kind(set(now) - set(before))
    return {new[kind][0]: gone[kind][0] for kind in gone.keys() & new.keys() if len(gone[kind]) == len(new[kind]) == 1}


def _by_kind(sinks: Collection[str]) -> dict[str, list[str]]:
    """A name begins with the sink's type in the configuration, and then goes on with a colon."""
    found: dict[str, list[str]] = {}
    for sink in sinks:
        found.setdefault(sink.partition(":")[0], []).append(sink)
    return found
