"""What Home Assistant demands of a device discovery payload, and what it makes of a state.

Written from its documentation (www.home-assistant.io: integrations/mqtt, integrations/sensor.mqtt, binary_sensor.mqtt,
switch.mqtt, text.mqtt, configuration/templating). It does not install here: a version that knows device discovery asks
for a newer Python.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

TOPIC = re.compile(r"(?P<prefix>[^+#]+)/device/(?P<object_id>[a-zA-Z0-9_-]+)/config")
DEVICE = {"ids", "cns", "name", "mf", "mdl", "mdl_id", "hw", "sw", "sn", "sa", "cu", "via_device"}
ORIGIN = {"name", "sw", "url"}
SHARED = {"dev", "o", "cmps", "availability", "availability_mode", "state_topic", "command_topic", "qos", "encoding"}
ENTITY = {
    *("p", "unique_id", "name", "icon", "entity_category", "device_class", "availability", "availability_mode"),
    *("json_attributes_topic", "json_attributes_template", "value_template", "state_topic"),
}
OPTIONS = {
    "sensor": ENTITY | {"options", "state_class", "unit_of_measurement"},
    "binary_sensor": ENTITY | {"payload_on", "payload_off"},
    "switch": ENTITY | {"command_topic"},
    "text": ENTITY | {"command_topic", "min", "max"},
}
DEVICE_CLASSES = {
    "sensor": {"temperature", "data_size", "timestamp", "enum"},
    "binary_sensor": {"problem", "connectivity"},
    "switch": set[str](),
    "text": set[str](),
}
UNITS = {"temperature": {"°C", "°F", "K"}, "data_size": {"B", "kB", "MB", "GB", "MiB"}}
LONGEST = 255


def environment() -> jinja2.Environment:
    """As Home Assistant's: sandboxed, and with its filter `to_json`. What is missing and printed is an error here; it
    warns in its log then."""
    made = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    made.filters["to_json"] = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return made


JINJA = environment()


@cache
def compiled(template: str) -> jinja2.Template:
    """Once: it takes much longer than to render it, and most entities have the same few."""
    return JINJA.from_string(template)


def check(topic: str, payload: bytes) -> Mapping[str, Mapping[str, Any]]:
    """The components, when all of it is as it must be."""
    assert TOPIC.fullmatch(topic), topic
    said = json.loads(payload.decode())  # UTF-8, strictly
    json.dumps(said, ensure_ascii=False).encode()  # no lone surrogates in its escapes either
    assert said.keys() <= SHARED
    device = said["dev"]
    assert device.keys() <= DEVICE and (device.get("ids") or device.get("cns"))
    assert said["o"].keys() <= ORIGIN and said["o"]["name"]
    _check_availability(said)
    components: Mapping[str, Mapping[str, Any]] = said["cmps"]
    for key, entity in components.items():
        assert key and not re.search(r"\s", key), "Home Assistant joins the object id and the key by a space"
        if entity.keys() != {"p"}:
            _check_entity(entity)
    ids = [(entity["p"], entity["unique_id"]) for entity in components.values() if "unique_id" in entity]
    assert len(set(ids)) == len(ids)
    return components


def _check_entity(entity: Mapping[str, Any]) -> None:
    platform = entity["p"]
    assert entity.keys() <= OPTIONS[platform]
    assert isinstance(entity["unique_id"], str) and entity["unique_id"]
    assert isinstance(entity["name"], str) and entity["name"].strip()
    assert entity.get("entity_category") in (None, "config", "diagnostic")
    device_class = entity.get("device_class")
    assert device_class is None or device_class in DEVICE_CLASSES[platform]
    for word in ("state_topic", "command_topic", "json_attributes_topic"):
        assert word not in entity or _is_topic(entity[word])
    for word in ("value_template", "json_attributes_template"):
        if word in entity:
            compiled(entity[word])
    _check_availability(entity)
    assert "state_topic" in entity
    match platform:
        case "sensor":
            _check_sensor(entity)
        case "switch" | "text":
            assert "command_topic" in entity
            assert entity.get("entity_category") != "diagnostic", "what can be set is configuration"
    if platform == "text":
        assert 0 <= entity.get("min", 0) < entity.get("max", LONGEST) <= LONGEST


def _check_sensor(entity: Mapping[str, Any]) -> None:
    device_class, unit = entity.get("device_class"), entity.get("unit_of_measurement")
    assert entity.get("entity_category") != "config", "a sensor cannot be set"
    if "options" in entity:
        assert device_class == "enum" and entity["options"] and "state_class" not in entity and unit is None
        assert all(isinstance(option, str) and len(option) <= LONGEST for option in entity["options"])
        assert len(set(entity["options"])) == len(entity["options"])
    else:
        assert device_class != "enum"
    assert entity.get("state_class") in (None, "measurement", "total", "total_increasing")
    if device_class in UNITS:
        assert unit in UNITS[device_class]
    if device_class == "timestamp":
        assert unit is None and "state_class" not in entity


def _check_availability(said: Mapping[str, Any]) -> None:
    assert said.get("availability_mode") in (None, "all", "any", "latest")
    for one in said.get("availability", []):
        assert one.keys() <= {"topic", "payload_available", "payload_not_available", "value_template"}
        assert _is_topic(one["topic"])


def _is_topic(topic: str) -> bool:
    return bool(topic) and not re.search(r"[+#\x00]", topic) and len(topic.encode()) <= 65535


def rendered(template: str, message: bytes) -> str:
    """What a template gives of a message: `value` is its text, `value_json` only there when that is JSON."""
    text = message.decode()
    variables: dict[str, Any] = {"value": text}
    with suppress(ValueError):
        variables["value_json"] = json.loads(text)
    return compiled(template).render(variables).strip()


def state(entity: Mapping[str, Any], message: bytes) -> str | None:
    """The state that an entity has after a message; None when it is unknown. Fails where Home Assistant complains."""
    shown = rendered(entity.get("value_template", "{{ value }}"), message)
    if shown == "None":
        return None
    match entity["p"]:
        case "binary_sensor" | "switch":
            assert shown in (entity.get("payload_on", "ON"), entity.get("payload_off", "OFF"))
        case "text":
            assert entity["min"] <= len(shown) <= entity["max"]
        case "sensor":
            _check_state(entity, shown)
    return shown


def _check_state(entity: Mapping[str, Any], shown: str) -> None:
    assert len(shown) <= LONGEST
    if "options" in entity:
        assert shown in entity["options"]
    if "state_class" in entity or "unit_of_measurement" in entity:
        float(shown)
    if entity.get("device_class") == "timestamp":
        assert datetime.fromisoformat(shown.replace("Z", "+00:00")).tzinfo is not None
