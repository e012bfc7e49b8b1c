"""YAML values that know where they were written, and how one set is merged under another.

Merging keeps each value's own place, so a mistake in `defaults` is told once, where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from overshootd.config.problem import Mark, Problem

Path = tuple[str | int, ...]
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Node:
    """A value as written. `path` is its key in the file, `mark` where it begins, `key_mark` where its key does."""

    value: Scalar | Mapping[str, Node] | tuple[Node, ...]
    mark: Mark
    path: Path = ()
    key_mark: Mark | None = None

    @property
    def map(self) -> Mapping[str, Node]:
        """The entries; none when this is no mapping."""
        return self.value if isinstance(self.value, Mapping) else {}

    @property
    def items(self) -> tuple[Node, ...]:
        """The members; none when this is no list."""
        return self.value if isinstance(self.value, tuple) else ()

    def get(self, *keys: str) -> Node | None:
        """The value at the end of these keys, None when there is none or it is null."""
        node: Node | None = self
        for key in keys:
            node = node.map.get(key) if node else None
        return None if node is None or node.value is None else node

    def plain(self) -> Any:
        """The values alone, as `dict`, `list` and scalars."""
        match self.value:
            case Mapping():
                return {key: child.plain() for key, child in self.value.items()}
            case tuple():
                return [child.plain() for child in self.value]
            case scalar:
                return scalar

    def having(self, **entries: Node) -> Node:
        """The same mapping with these entries set."""
        return replace(self, value={**self.map, **entries})

    def without(self, *keys: str) -> Node:
        """The same mapping but for these entries."""
        return replace(self, value={key: child for key, child in self.map.items() if key not in keys})

    def problem(self, message: str) -> Problem:
        return Problem.at(self.mark, self.path, message)

    def key_problem(self, message: str) -> Problem:
        """A mistake in the key itself, or in what is missing under it."""
        return Problem.at(self.key_mark or self.mark, self.path, message)


WHOLE = {"key", "password", "output_schema_json", "argv", "crop", "credential"} | {
    *("token", "publish_token", "api_key", "api_secret")
}
"""One value each, however many entries: never a mixture of two."""


def merge(under: Node, over: Node) -> Node:
    """`over` where it says something, else `under`: maps merge, lists append. Null takes a default away.

    Two maps that say what they are (`type`, or frame and clip processing) and disagree are alternatives: `over` wins.
    """
    if over.path[-1] in WHOLE:
        return over
    if isinstance(under.value, tuple) and isinstance(over.value, tuple):
        return replace(over, value=under.value + over.value)
    if not (isinstance(under.value, Mapping) and isinstance(over.value, Mapping)):
        return over
    if _alternatives(under, over):
        return over
    merged = {key: merge(child, over.value[key]) if key in over.value else child for key, child in under.value.items()}
    return replace(over, value={**over.value, **merged})


def _alternatives(under: Node, over: Node) -> bool:
    kinds = [node.map["type"].value if "type" in node.map else None for node in (under, over)]
    if None not in kinds and kinds[0] != kinds[1]:
        return True
    frame, clip = {"interval_seconds"}, {"clip_length_seconds", "delay_seconds", "target_fps"}
    return any(a & under.map.keys() and b & over.map.keys() for a, b in ((frame, clip), (clip, frame)))
