"""What is read off an output schema."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.mqtt.properties import LONGEST_NAME, PROPERTIES, Kind, properties, readable


def kind(schema: Any, **definitions: Any) -> Kind:
    return properties({"properties": {"x": schema}, "$defs": definitions})[0].kind


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "boolean"}, Kind.BOOLEAN),
        ({"type": "integer"}, Kind.NUMBER),
        ({"type": "number"}, Kind.NUMBER),
        ({"type": ["integer", "number"]}, Kind.NUMBER),
        ({"type": "string"}, Kind.TEXT),
        ({"type": "object"}, Kind.TEXT),
        ({"type": ["string", "integer"]}, Kind.TEXT),
        ({}, Kind.TEXT),
        (True, Kind.TEXT),
        ({"enum": ["red", "green"]}, Kind.CHOICE),
        ({"const": "red"}, Kind.CHOICE),
        ({"enum": [1, 2]}, Kind.NUMBER),
        ({"enum": ["red", 1]}, Kind.TEXT),
        ({"enum": ["x" * 256]}, Kind.TEXT),
        ({"enum": ["red", ""]}, Kind.TEXT),
        ({"type": "array", "items": {"type": "string"}}, Kind.LIST),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, Kind.LIST),
        ({"type": "array", "items": {"type": "object"}}, Kind.COUNT),
        ({"type": "array"}, Kind.COUNT),
        ({"type": "null"}, Kind.TEXT),
    ],
)
def test_each_type_has_its_kind(schema: Any, expected: Kind) -> None:
    assert kind(schema) is expected


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["boolean", "null"]},
        {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/answer"}]},
        {"allOf": [{"$ref": "#/$defs/answer"}]},
        {"$ref": "#/$defs/answer", "title": "Anyone?"},
        {"anyOf": [{"anyOf": [{"type": "boolean"}]}]},
    ],
)
def test_what_may_be_missing_or_is_defined_elsewhere_is_what_it_is_otherwise(schema: Any) -> None:
    assert kind(schema, answer={"type": "boolean"}) is Kind.BOOLEAN


def test_what_may_also_be_anything_is_text() -> None:
    assert kind({"anyOf": [{"type": "number"}, {}]}) is Kind.TEXT


def test_the_options_of_a_choice_are_its_texts() -> None:
    found = properties({"properties": {"x": {"type": ["string", "null"], "enum": ["red", "green", None, "red"]}}})
    assert found[0].options == ("red", "green")


def test_properties_of_an_object_that_is_defined_elsewhere_are_found() -> None:
    schema = {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"properties": {"x": {"type": "boolean"}}}}}
    assert [found.name for found in properties(schema)] == ["x"]


def test_the_schemas_own_title_wins() -> None:
    titled, bare = properties(
        {"properties": {"a": {"title": " Anyone\n at the door? "}, "person_count": {"title": ""}}}
    )
    assert titled.title == "Anyone at the door?"
    assert bare.title == "person count"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("person_count", "person count"),
        ("personCount", "person count"),
        ("CO2_level", "CO2 level"),
        ("is-open", "is open"),
        ("__", "__"),
        (" ", "output"),
        ("", "output"),
        ("größe", "größe"),
    ],
)
def test_a_programs_name_becomes_readable(name: str, shown: str) -> None:
    assert readable(name) == shown


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"properties": {"x": {"$ref": "#/properties/x"}}},
        {"properties": {"x": {"anyOf": [{"$ref": "#/properties/x"}] * 40}}},
        {"properties": {"x": {"type": "array", "items": {"$ref": "#/properties/x"}}}},
        {"properties": {"x": {"allOf": [{"$ref": "elsewhere.json"}]}}},
    ],
)
def test_a_schema_that_goes_in_circles_is_read_to_the_end(schema: Any) -> None:
    properties(schema)


def test_no_display_has_too_many() -> None:
    assert len(properties({"properties": {str(number): {} for number in range(1000)}})) == PROPERTIES


words = st.sampled_from(
    ["type", "properties", "enum", "const", "anyOf", "oneOf", "allOf", "items", "$ref", "title", "x"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["boolean", "array", "#/x", "#"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=5),
    max_leaves=30,
)


@given(st.dictionaries(words, values, max_size=6))
def test_any_schema_can_be_read(schema: dict[str, Any]) -> None:
    for found in properties(schema):
        assert 0 < len(found.title) <= LONGEST_NAME
        assert (found.kind is Kind.CHOICE) == bool(found.options)
