"""Files that several streams write: all of them say alike how the file is rotated."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence

from overshootd.config.problem import Problem
from overshootd.config.sinks import FileSink
from overshootd.config.tree import Node, Scalar

ALIKE = ("rotate_bytes", "rotate_seconds", "keep", "gzip")
"""What the sinks of one file may not say differently: the least would count, and delete what another one was to keep.
Of `min_free_mb` the lowest counts, and each sink has its own `sync_seconds`."""


def unlike(sinks: Mapping[str, Sequence[Node]]) -> Iterator[tuple[str, Problem]]:
    """`sinks` are those of each stream, filled in. Yields the stream of a sink that rotates a file in another way than
    the first one that writes it, and what is wrong."""
    first: dict[str, tuple[str, Node]] = {}
    for stream, nodes in sinks.items():
        for sink in nodes:
            if (path := _path(sink)) is not None:
                of, other = first.setdefault(path, (stream, sink))
                yield from ((stream, problem) for problem in _compared(sink, other, of))


def _compared(sink: Node, other: Node, of: str) -> Iterator[Problem]:
    for key in ALIKE:
        here, there = _value(sink, key), _value(other, key)
        if here != there:
            at = (other.get(key) or other.map["path"]).mark
            yield (sink.get(key) or sink.map["path"]).problem(
                f"{key} is {_word(here)} here and {_word(there)} for the same file in stream {of}, at "
                f"{at.file}:{at.line}; say the same in both, or give each a path of its own"
            )


def _path(sink: Node) -> str | None:
    """Where a file sink writes; None for what is none, or is not complete."""
    kind, path = sink.get("type"), sink.get("path")
    if kind is None or kind.value != "file" or path is None or not isinstance(path.value, str):
        return None
    return os.path.normpath(path.value)


def _value(sink: Node, key: str) -> Scalar:
    """What is written, else the default; that also stands for what is no number, which is told elsewhere."""
    node = sink.get(key)
    default: Scalar = FileSink.model_fields[key].default
    return node.value if node and isinstance(node.value, int | float) else default


def _word(value: Scalar) -> str:
    """As YAML has it; only `rotate_seconds` may be nothing."""
    return "never" if value is None else json.dumps(value)
