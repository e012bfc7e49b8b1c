"""What an output schema says of an answer's properties, as far as a display needs to know. Pure.

Any JSON Schema will do: what is not understood is shown as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

PROPERTIES = 50
"""Shown of one stream; the others are in the attributes of its result. A display with more is no display."""

LONGEST_NAME = 80
LONGEST_STATE = 255
"""Characters that a state of Home Assistant's holds (field-notes.md)."""

HOPS = 16
"""References that are followed one after the other: they may go in a circle."""

DEPTH, BREADTH = 2, 16
"""Alternatives within alternatives that are looked at, and how many of each: those may go in a circle too."""


class Kind(StrEnum):
    BOOLEAN = "boolean"
    NUMBER = "number"
    CHOICE = "choice"  # one of the options
    LIST = "list"  # of single values, which are shown themselves
    COUNT = "count"  # a list of anything else, of which the length is shown
    TEXT = "text"  # text, and what is none of these, as JSON


SCALARS = frozenset({"boolean", "number", "integer", "string"})
KINDS = {
    frozenset({"boolean"}): Kind.BOOLEAN,
    frozenset({"number"}): Kind.NUMBER,
    frozenset({"integer"}): Kind.NUMBER,
    frozenset({"number", "integer"}): Kind.NUMBER,
}


@dataclass(frozen=True, slots=True)
class Property:
    """One property of the answer: its name in JSON and for people, and what its values are."""

    name: str
    title: str
    kind: Kind
    options: tuple[str, ...] = ()


def properties(schema: Mapping[str, Any]) -> list[Property]:
    """The top-level properties, in the schema's order; none when answers are no objects."""
    whole = _Within(schema).resolved(schema)
    named = whole.get("properties")
    if not isinstance(named, Mapping):
        return []
    within = _Within(schema)
    return [within.property(str(name), named[name]) for name in list(named)[:PROPERTIES]]


def readable(name: str) -> str:
    """A name of a program's as people write it: person_count and personCount are both "person count"."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_\-]+", " ", name).split()
    return " ".join(word if word.isupper() else word.lower() for word in words) or name.strip() or "output"


@dataclass(frozen=True, slots=True)
class _Within:
    """A schema, whose definitions its parts refer to."""

    root: Mapping[str, Any]

    def property(self, name: str, schema: Any) -> Property:
        written = self.resolved(schema)
        title = written.get("title")
        shown = " ".join(title.split()) if isinstance(title, str) else ""
        alternatives = [part for part in self._alternatives(schema) if _types(part) != {"null"}]
        options = _options(alternatives)
        return Property(name, (shown or readable(name))[:LONGEST_NAME], self._kind(alternatives, options), options)

    def resolved(self, schema: Any) -> Mapping[str, Any]:
        """What a schema refers to, and an `allOf` of one. A schema that is none, such as true, says nothing."""
        for _ in range(HOPS):
            match schema:
                case {"$ref": str(where)}:
                    beside = {key: value for key, value in schema.items() if key != "$ref"}
                    schema = {**self._referred(where), **beside}
                case {"allOf": [only], **beside}:
                    schema = {**only, **beside} if isinstance(only, Mapping) else beside
                case Mapping():
                    return schema
                case _:
                    break
        return {}

    def _referred(self, where: str) -> Mapping[str, Any]:
        """What is at a JSON pointer within the same schema (RFC 6901); nothing for what is elsewhere."""
        found: Any = self.root if where.startswith("#") else None
        for part in where.removeprefix("#").split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def _alternatives(self, schema: Any, depth: int = DEPTH) -> Iterator[Mapping[str, Any]]:
        """Each of which a value may follow: `{anyOf: [{type: string}, {type: "null"}]}` is text that may be missing."""
        schema = self.resolved(schema)
        among = next((schema[word] for word in ("anyOf", "oneOf") if isinstance(schema.get(word), list | tuple)), None)
        if among is None or not depth:
            yield schema
            return
        for one in among[:BREADTH]:
            yield from self._alternatives(one, depth - 1)

    def _kind(self, alternatives: list[Mapping[str, Any]], options: tuple[str, ...]) -> Kind:
        if options:
            return Kind.CHOICE
        each = [_types(schema) for schema in alternatives]
        types = frozenset[str]().union(*each) - {"null"} if all(each) else frozenset[str]()
        if types != {"array"}:
            return KINDS.get(types, Kind.TEXT)
        items = [part for schema in alternatives for part in self._alternatives(schema.get("items"))]
        single = all(_types(item) and _types(item) <= SCALARS for item in items)
        return Kind.LIST if single else Kind.COUNT


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    """The JSON types that are said or follow from the values; none when it may be anything."""
    said = schema.get("type")
    if isinstance(said, str):
        return frozenset({said})
    if isinstance(said, list | tuple):
        return frozenset(word for word in said if isinstance(word, str))
    values = _values(schema)
    return frozenset(map(_type_of, values)) if values is not None else frozenset()


def _type_of(value: object) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case None:
            return "null"
    return "array" if isinstance(value, list | tuple) else "object"


def _values(schema: Mapping[str, Any]) -> list[Any] | None:
    """All that are allowed, None when that is not said."""
    enum = schema.get("enum")
    if isinstance(enum, list | tuple):
        return list(enum)
    return [schema["const"]] if "const" in schema else None


def _options(alternatives: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """The texts among which the value is one, none when it may be another, or one that no state holds."""
    options: dict[str, None] = {}
    for schema in alternatives:
        values = _values(schema)
        if values is None:
            return ()
        for value in values:
            if value is None:
                continue
            if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_STATE:
                return ()
            options[value] = None
    return tuple(options)
