"""A value that satisfies a JSON Schema, carrying known facts in the properties of those names. Pure.

Small on purpose: what it cannot build (patterns, conditionals) is found by the validation at its end and reported.
`hypothesis-jsonschema` builds any schema, but random values; ours must be the same for the same facts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

_DEPTH = 32


class Unsatisfiable(Exception):
    """No value was found; the text says what is wrong with the best attempt."""


def fill(schema: Mapping[str, Any], facts: Mapping[str, Any]) -> Any:
    """The value. Raises Unsatisfiable. References to other documents are never fetched."""
    value = _Builder(schema, facts).build(schema, 0)
    try:
        error = best_match(_validator(schema).iter_errors(value))
    except Unresolvable as unresolvable:
        raise Unsatisfiable(str(unresolvable)) from unresolvable
    if error is not None:
        raise Unsatisfiable(f"{error.json_path}: {error.message}")
    return value


def _validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    empty: Registry[Any] = Registry()  # jsonschema's own would fetch remote references
    return Draft202012Validator(schema, registry=empty)


class _Builder:
    def __init__(self, root: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        self._root = root
        self._facts = facts

    def build(self, schema: Any, depth: int, fact: Any = None) -> Any:
        """A small value for `schema`: the fact when there is one of a fitting type."""
        if depth > _DEPTH:
            raise Unsatisfiable("it is nested too deeply")
        if not isinstance(schema, Mapping):
            return fact
        schema = self._flattened(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return fact if fact in schema["enum"] else schema["enum"][0]
        kind = _kind(schema, fact)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            items = schema.get("items", {})
            return [self.build(items, depth + 1, fact) for _ in range(min(schema.get("minItems", 0), 1000))]
        return _scalar(kind, schema, fact)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        wanted = [*properties, *(name for name in schema.get("required", []) if name not in properties)]
        if depth:  # deeper down only what must be there, or what is known: a recursive schema ends so
            required = schema.get("required", [])
            wanted = [name for name in wanted if name in required or name in self._facts]
        return {name: self.build(properties.get(name, {}), depth + 1, self._facts.get(name)) for name in wanted}

    def _flattened(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """References, `allOf` and the first `anyOf`/`oneOf` branch that is not null merged into one schema."""
        if depth > _DEPTH:
            raise Unsatisfiable("it refers to itself")
        parts = [*schema.get("allOf", []), *self._first_branch(schema)]
        if "$ref" in schema:
            parts.append(self._resolve(schema["$ref"]))
        merged = {key: value for key, value in schema.items() if key not in {"$ref", "allOf", "anyOf", "oneOf"}}
        for part in parts:
            if isinstance(part, Mapping):
                merged = _merge(merged, self._flattened(part, depth + 1))
        return merged

    @staticmethod
    def _first_branch(schema: Mapping[str, Any]) -> list[Any]:
        branches = schema.get("anyOf") or schema.get("oneOf") or []
        return [branch for branch in branches if branch != {"type": "null"}][:1] or branches[:1]

    def _resolve(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise Unsatisfiable(f"{reference} is not fetched")
        found: Any = self._root
        for part in filter(None, reference[1:].split("/")):
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                raise Unsatisfiable(f"{reference} does not exist")
            found = found[name]
        return found


def _merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *other["required"]]
    return merged


def _kind(schema: Mapping[str, Any], fact: Any) -> str:
    given = schema.get("type")
    kinds = [given] if isinstance(given, str) else given or []
    kinds = [kind for kind in kinds if kind != "null"] or kinds
    if kinds:
        return str(kinds[0])
    if "properties" in schema or "required" in schema:
        return "object"
    if fact is not None:
        return "integer" if isinstance(fact, int) else "number"
    return "null"


def _scalar(kind: str, schema: Mapping[str, Any], fact: Any) -> Any:
    match kind:
        case "null":
            return None
        case "boolean":
            return bool(fact)
        case "string":
            return _string(schema, fact)
        case _:
            return _number(schema, fact, whole=kind == "integer")


def _string(schema: Mapping[str, Any], fact: Any) -> str:
    text = "" if fact is None else str(fact)
    return text[: schema.get("maxLength", len(text))].ljust(min(schema.get("minLength", 0), 10_000), "-")


def _number(schema: Mapping[str, Any], fact: Any, *, whole: bool) -> float:
    """The fact clamped into the schema's range (exclusive bounds by 1 or a small step), on a multiple where asked."""
    step = schema.get("multipleOf", 1 if whole else 0.001)
    low = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf) + step)
    high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf) - step)
    value = min(max(fact or 0, low), high)
    if "multipleOf" in schema:
        value = math.ceil(value / step) * step
    return round(value) if whole else float(value)
