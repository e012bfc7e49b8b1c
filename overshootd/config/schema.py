"""The file as written, as JSON Schema for editors (yaml-language-server and whoever reads draft-07).

It never complains about a file that `check` accepts; what needs more than one value to judge is left to `check`.
"""

from __future__ import annotations

from typing import Any

from overshootd.config.model import ConfigFile

DEFAULTS_MAY_HOLD = ("WrittenStream", "FrameProcessing", "ClipProcessing", "InferenceConfig", "LiveKitTransport")
"""What a stream lacks may stand in `defaults`, so nothing of these is required where a stream is written."""


def json_schema() -> dict[str, Any]:
    """Draft-07, with a description for every key; `x-` keys are allowed everywhere."""
    schema = ConfigFile.model_json_schema()
    for name in DEFAULTS_MAY_HOLD:
        schema["$defs"][name].pop("required", None)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "urn:overshootd:config:1",
        **_draft_07(schema),
        "title": "overshootd.yaml",
    }


def _draft_07(schema: Any) -> Any:
    """Pydantic's 2020-12 in the words that draft-07 shares with it."""
    if isinstance(schema, list):
        return [_draft_07(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    entries = {key: value for key, value in schema.items() if key != "title" and not _says_nothing(key, value)}
    for kind in ("properties", "$defs"):
        if kind in entries:
            entries[kind] = {name: _draft_07(value) for name, value in entries[kind].items()}
    result = {
        # Both kinds of processing fit an empty mapping, so oneOf would refuse it.
        {"oneOf": "anyOf"}.get(key, key): value if key in ("properties", "$defs", "examples") else _draft_07(value)
        for key, value in entries.items()
    }
    if "$ref" in result and len(result) > 1:  # draft-07 overlooks what stands beside a $ref
        result["allOf"] = [{"$ref": result.pop("$ref")}]
    if "properties" in result:
        result["properties"] = {name: _or_null(value) for name, value in result["properties"].items()}
    if result.get("type") == "object" and result.get("additionalProperties") is not True:
        result["patternProperties"] = {"^x-": {}}
    return result


def _says_nothing(key: str, value: Any) -> bool:
    """Defaults that only mean "not given"."""
    return key == "default" and (value is None or isinstance(value, dict | list))


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """`labels:` with every line under it commented out is null, which counts as not given."""
    if schema.get("type") in ("object", "array"):
        return {**schema, "type": [schema["type"], "null"]}
    if "allOf" in schema:
        return {**{k: v for k, v in schema.items() if k != "allOf"}, "anyOf": [*schema["allOf"], {"type": "null"}]}
    return schema
