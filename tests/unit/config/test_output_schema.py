"""What is no JSON Schema is told where it is wrong; what is one passes."""

from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from overshootd.config.output_schema import schema_problems
from overshootd.config.parse import parse


def told(written: str) -> list[str]:
    root, wrong = parse(f"output_schema_json:\n  {written}\n", "f")
    assert root is not None
    return [
        *map(str, wrong),
        *(f"{p.key.partition('.')[2]}: {p.message}" for p in schema_problems(root.map["output_schema_json"])),
    ]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{type: strng}", "type: strng is no JSON Schema type; did you mean string?"),
        ("{type: [string, nul]}", "type.1: nul is no JSON Schema type; did you mean null?"),
        ("{type: [string, null]}", 'type.1: null is a word of YAML; write "null" in quotes'),
        ("{type: []}", "type: expected a list of types with at least one"),
        ("{type: [string, string]}", "type: a type is named twice"),
        ("{type: 3}", "type: this is no JSON Schema type"),
        ("{properties: [a]}", "properties: expected a mapping of names to JSON Schemas"),
        ("{properties: {a: string}}", "properties.a: expected a JSON Schema"),
        ("{properties: {a: {type: x}}}", "properties.a.type: x is no JSON Schema type"),
        ("{items: string}", "items: expected a JSON Schema"),
        ("{type: [[]]}", "type.0: this is no JSON Schema type"),
        ("{required: person}", "required: expected a list of property names"),
        ("{required: [1]}", "required: expected a list of property names"),
        ("{required: [a, a]}", "required: a property is named twice"),
        ("{enum: []}", "enum: expected a list of values"),
        ("{enum: a}", "enum: expected a list of values"),
        ("{anyOf: []}", "anyOf: expected a list of JSON Schemas"),
        ("{anyOf: [3]}", "anyOf.0: expected a JSON Schema"),
        ("{pattern: '('}", "pattern: no regular expression"),
        ("{minimum: '1'}", "minimum: expected a number"),
        ("{minLength: -1}", "minLength: expected a whole number, 0 or more"),
        ("{multipleOf: 0}", "multipleOf: expected a number above 0"),
        ("{description: 1}", "description: expected text"),
        ("{default: .inf}", "default: JSON has no such number"),
    ],
)
def test_a_mistake_is_told_where_it_is(written: str, said: str) -> None:
    assert [line.startswith(said) for line in told(written)] == [True]


KEYWORDS = [
    "type",
    "properties",
    "required",
    "items",
    "anyOf",
    "minimum",
    "minLength",
    "title",
    "not",
    "unknown",
]
SCHEMAS = st.recursive(
    st.sampled_from(["object", "string", "array", "strng", "a"]) | st.booleans() | st.integers(-2, 3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), SCHEMAS, max_size=4))
def test_it_agrees_with_a_full_validator(schema: dict[str, Any]) -> None:
    """But for an empty enum, which draft 2020-12 allows and which no answer can fit."""
    ours = told(yaml.safe_dump(schema, default_flow_style=True, width=10_000))
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        valid = True
    except jsonschema.SchemaError:
        valid = False
    assert (not ours) == valid
