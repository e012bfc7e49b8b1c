"""Values that satisfy a schema and carry the facts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.simulator.schema_fill import Unsatisfiable, fill

FACTS = {"frame": 7, "age_ms": 12, "brightness": 118.2}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"properties": {"frame": {"type": "integer"}}}, {"frame": 7}),
        ({"properties": {"frame": {"type": "string"}}}, {"frame": "7"}),
        ({"properties": {"frame": {"type": "boolean"}}}, {"frame": True}),
        ({"properties": {"frame": {}}}, {"frame": 7}),
        ({"properties": {"frame": {"type": "array", "items": {"type": "integer"}, "minItems": 1}}}, {"frame": [7]}),
        ({"properties": {"brightness": {"type": "integer"}}}, {"brightness": 118}),
        ({"properties": {"brightness": {"type": ["null", "number"]}}}, {"brightness": 118.2}),
        ({"properties": {"brightness": {"type": "number", "maximum": 1}}}, {"brightness": 1.0}),
        ({"properties": {"x": {"type": "number", "exclusiveMinimum": 3}}}, {"x": 3.001}),
        ({"properties": {"x": {"type": "integer", "multipleOf": 5, "minimum": 7}}}, {"x": 10}),
        ({"properties": {"x": {"type": "string", "minLength": 2}}}, {"x": "--"}),
        ({"properties": {"x": {"enum": ["a", "b"]}, "y": {"const": 3}}}, {"x": "a", "y": 3}),
        ({"properties": {"frame": {"enum": [1, 7]}}}, {"frame": 7}),
        ({"properties": {"x": {"anyOf": [{"type": "null"}, {"type": "string"}]}}}, {"x": ""}),
        ({"required": ["frame"]}, {"frame": 7}),
        ({"allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "boolean"}}}]}, {"a": False}),
        ({"properties": {"x": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"type": "integer"}}}, {"x": 0}),
        (
            {"type": "object", "properties": {"in": {"type": "object", "properties": {"frame": {"type": "integer"}}}}},
            {"in": {"frame": 7}},
        ),
        ({"type": "array", "items": {"type": "object", "required": ["frame"]}, "minItems": 1}, [{"frame": 7}]),
        ({}, None),
    ],
)
def test_facts_and_minimal_values(schema: dict[str, Any], value: Any) -> None:
    assert fill(schema, FACTS) == value


def test_an_optional_recursion_ends() -> None:
    node = {
        "type": "object",
        "properties": {"frame": {"type": "integer"}, "child": {"$ref": "#"}},
        "required": ["frame"],
    }
    assert fill(node, FACTS) == {"frame": 7, "child": {"frame": 7}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"child": {"$ref": "#"}}, "required": ["child"]},
        {"$ref": "#"},
        {"$ref": "#/$defs/nothing"},
        {"$ref": "http://elsewhere.invalid/schema"},
        {"type": "string", "pattern": "^x+$"},
        {"type": "integer", "minimum": 5, "maximum": 4},
    ],
)
def test_what_cannot_be_built_is_said(schema: dict[str, Any]) -> None:
    with pytest.raises(Unsatisfiable):
        fill(schema, FACTS)


@given(st.integers(-1000, 1000), st.integers(0, 1000), st.booleans())
def test_numbers_keep_to_their_range(low: int, width: int, exclusive: bool) -> None:
    high = low + width + 2
    bounds = {"exclusiveMinimum": low, "exclusiveMaximum": high} if exclusive else {"minimum": low, "maximum": high}
    value = fill({"type": "object", "properties": {"frame": {"type": "integer", **bounds}}}, FACTS)["frame"]
    assert low <= value <= high
