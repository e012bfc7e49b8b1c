"""Is this a JSON Schema? The structure only, so that no validator has to be loaded in the daemon.

Keywords we do not know are let through: whether the model honours them is the API's to say.
Source: JSON Schema draft 2020-12, core and validation vocabularies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from overshootd.config.explain import not_known
from overshootd.config.problem import Problem
from overshootd.config.tree import Node

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
ONE_SCHEMA = {"items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else"}
SCHEMA_LISTS = {"anyOf", "allOf", "oneOf", "prefixItems"}
SCHEMA_MAPS = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
COUNTS = {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
TEXTS = {"title", "description", "$ref", "$id", "$schema", "$comment", "format"}


def schema_problems(schema: Node) -> Iterator[Problem]:
    """Everything that makes this mapping no JSON Schema."""
    if isinstance(schema.value, dict):
        yield from _schema(schema)
        yield from _not_json(schema)


def _schema(node: Node) -> Iterator[Problem]:
    if isinstance(node.value, dict):
        for key, value in node.value.items():
            yield from _keyword(key, value)
    elif not isinstance(node.value, bool):
        yield node.problem("expected a JSON Schema (a mapping, such as {type: string})")


def _keyword(key: str, node: Node) -> Iterator[Problem]:
    if key == "type":
        yield from _type(node)
    elif key in ONE_SCHEMA:
        yield from _schema(node)
    elif key in SCHEMA_LISTS:
        yield from _filled_list(node, "JSON Schemas")
        for child in node.items:
            yield from _schema(child)
    elif key in SCHEMA_MAPS:
        if not isinstance(node.value, dict):
            yield node.problem("expected a mapping of names to JSON Schemas, such as {person: {type: boolean}}")
        for child in node.map.values():
            yield from _schema(child)
    elif key == "required":
        yield from _required(node)
    elif key == "enum":
        yield from _filled_list(node, "values")
    elif key == "pattern":
        yield from _pattern(node)
    else:
        yield from _plain_keyword(key, node)


def _plain_keyword(key: str, node: Node) -> Iterator[Problem]:
    value = node.value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if key in COUNTS and not (isinstance(value, int) and number and value >= 0):
        yield node.problem("expected a whole number, 0 or more")
    elif key in NUMBERS and not number:
        yield node.problem("expected a number")
    elif key == "multipleOf" and isinstance(value, int | float) and value <= 0:
        yield node.problem("expected a number above 0")
    elif key in TEXTS and not isinstance(value, str):
        yield node.problem("expected text")


def _type(node: Node) -> Iterator[Problem]:
    if isinstance(node.value, tuple):
        yield from _filled_list(node, "types")
        words = [word.value for word in node.items if isinstance(word.value, str)]
        if len(set(words)) < len(words):
            yield node.problem("a type is named twice")
    for word in node.items if isinstance(node.value, tuple) else (node,):
        if word.value not in TYPES:
            shown = "null" if word.value is None else word.value if isinstance(word.value, str) else "this"
            yield word.problem(
                'null is a word of YAML; write "null" in quotes'
                if word.value is None
                else not_known("JSON Schema type", str(shown), TYPES)
            )


def _required(node: Node) -> Iterator[Problem]:
    names = [child.value for child in node.items]
    if not isinstance(node.value, tuple) or not all(isinstance(name, str) for name in names):
        yield node.problem("expected a list of property names, such as [person, colour]")
    elif len(set(names)) < len(names):
        yield node.problem("a property is named twice")


def _filled_list(node: Node, of: str) -> Iterator[Problem]:
    if not node.items:
        yield node.problem(f"expected a list of {of} with at least one in it")


def _pattern(node: Node) -> Iterator[Problem]:
    if not isinstance(node.value, str):
        yield node.problem("expected a regular expression, in quotes")
        return
    try:
        re.compile(node.value)
    except re.error as error:
        yield node.problem(f"no regular expression: {error.msg}")


def _not_json(node: Node) -> Iterator[Problem]:
    """YAML has numbers that JSON has not."""
    if isinstance(node.value, float) and not math.isfinite(node.value):
        yield node.problem("JSON has no such number")
    for child in (*node.map.values(), *node.items):
        yield from _not_json(child)
