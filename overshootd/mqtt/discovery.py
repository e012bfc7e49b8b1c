"""How Home Assistant is told of this device and its streams, by one retained message. Pure.

Device discovery as https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload describes it: the short
keys `dev`, `o`, `cmps` and `p` where its own examples have them, full names elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from overshootd.config.brokers import Command as Verb
from overshootd.mqtt.properties import LONGEST_STATE, Kind, Property, properties
from overshootd.mqtt.topics import Topics
from overshootd.status import State

ORIGIN = "overshootd"
Components = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class AnnouncedStream:
    """A stream whose records go to this broker. `last_topic` is where its newest result is retained, empty: nowhere."""

    name: str
    last_topic: str
    schema: Mapping[str, Any] | None = None


class Board(NamedTuple):
    """What there is to tell of the machine: whether it has a thermometer, and notices undervoltage."""

    temperature: bool = False
    undervoltage: bool = False


def object_id(device: str) -> str:
    """What Home Assistant knows the device by. A device's name is the only one of its kind at a broker, for its client
    id is made of it."""
    return f"overshootd_{_safe(device)}"


def config_topic(prefix: str, device: str) -> str:
    """Where the message is retained; its object id has no other letters than A to Z, a to z, 0 to 9, _ and -."""
    return f"{prefix}/device/{object_id(device)}/config"


def components(
    topics: Topics, streams: Collection[AnnouncedStream], verbs: Collection[Verb], board: Board
) -> Components:
    """All entities by their key. Its first word is the platform: another kind of entity is another component."""
    made = [*_of_device(topics, board)]
    for stream in streams:
        made += [*_of_stream(topics, stream), *_commands(topics, stream, verbs), *_of_answer(topics, stream)]
    return {
        f"{entity['p']}:{key}": {**entity, "unique_id": f"overshootd:{topics.device}:{key}"} for key, entity in made
    }


def payload(topics: Topics, version: str, entities: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The message: `entities`, and what they have in common."""
    device = {
        "ids": [object_id(topics.device)],
        "name": topics.device,
        "mf": "overshootd",
        "sw": version,
    }
    said = {
        "dev": device,
        "o": {"name": ORIGIN, "sw": version},
        "availability": [{"topic": topics.state}],
        "cmps": entities,
    }
    # Lone surrogates, which YAML can say and UTF-8 cannot, would make Home Assistant refuse all of it.
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def announced(retained: bytes) -> Components:
    """The components of a message of ours that an earlier run left; none when it is no such message."""
    try:
        said = json.loads(retained)
    except (ValueError, RecursionError):
        return {}
    match said:
        case {"o": {"name": str(origin)}, "cmps": dict(entities)} if origin == ORIGIN:
            return {key: entity for key, entity in entities.items() if isinstance(entity, dict)}
    return {}


def gone(before: Components, now: Collection[str]) -> Components:
    """What Home Assistant must be told to remove them: the platform and nothing else. Those that say no more than that
    were removed before."""
    return {
        key: {"p": entity["p"]}
        for key, entity in before.items()
        if key not in now and isinstance(entity.get("p"), str) and len(entity) > 1
    }


def stream_of(key: str) -> str | None:
    """Whose component it is, None when it is the device's own."""
    match key.split(":"):
        case [_, "stream", stream, *_]:
            return stream
    return None


# -- entities: the last part of a unique id, and what Home Assistant is told

Entity = tuple[str, dict[str, Any]]

DIAGNOSTIC = {"entity_category": "diagnostic"}


def _of_device(topics: Topics, board: Board) -> Iterator[Entity]:
    common = {"state_topic": topics.status, **DIAGNOSTIC}
    if board.temperature:
        yield (
            "device:temperature",
            {
                "p": "sensor",
                "name": "temperature",
                "device_class": "temperature",
                "unit_of_measurement": "°C",
                "state_class": "measurement",
                "value_template": _number("board", "temperature_celsius"),
                **common,
            },
        )
    if board.undervoltage:
        yield (
            "device:undervoltage",
            {
                "p": "binary_sensor",
                "name": "undervoltage",
                "device_class": "problem",
                "value_template": _on_off("board", "undervoltage"),
                **common,
            },
        )
    yield (
        "device:disk_free",
        {
            "p": "sensor",
            "name": "disk free",
            "device_class": "data_size",
            "unit_of_measurement": "MB",
            "state_class": "measurement",
            "value_template": _megabytes("disk_free_bytes"),
            **common,
        },
    )
    yield (
        "device:spool",
        {
            "p": "binary_sensor",
            "name": "spool",
            "device_class": "problem",
            "value_template": _any("spool", "trouble"),
            **common,
        },
    )
    yield (
        "device:clock_synced",
        {"p": "binary_sensor", "name": "clock synced", "value_template": _on_off("clock_synced"), **common},
    )
    yield "device:version", {"p": "sensor", "name": "version", "value_template": _text("version"), **common}


def _of_stream(topics: Topics, stream: AnnouncedStream) -> Iterator[Entity]:
    key = f"stream:{stream.name}"
    yield (
        f"{key}:available",
        {
            "p": "binary_sensor",
            "name": f"{stream.name} available",
            "device_class": "connectivity",
            "state_topic": topics.availability(stream.name),
            "payload_on": "online",
            "payload_off": "offline",
            **DIAGNOSTIC,
        },
    )
    yield (
        f"{key}:state",
        {
            "p": "sensor",
            "name": f"{stream.name} state",
            "device_class": "enum",
            "options": [*State],
            "state_topic": topics.status,
            "value_template": _choice("streams", stream.name, "state", options=[*State]),
            "json_attributes_topic": topics.status,
            "json_attributes_template": _object("streams", stream.name),
            **DIAGNOSTIC,
        },
    )
    if not stream.last_topic:
        return
    common = _with_stream(topics, stream)
    yield (
        f"{key}:result",
        {
            "p": "sensor",
            "name": f"{stream.name} result",
            "value_template": _text("text"),
            "json_attributes_topic": stream.last_topic,
            **common,
        },
    )
    yield (
        f"{key}:result_at",
        {
            "p": "sensor",
            "name": f"{stream.name} result time",
            "device_class": "timestamp",
            "value_template": _text("received_at"),
            **common,
        },
    )


def _commands(topics: Topics, stream: AnnouncedStream, verbs: Collection[Verb]) -> Iterator[Entity]:
    """A stream that is paused gives no results: its switch is there all the same."""
    for verb in verbs:
        common = {
            "name": f"{stream.name} {verb}",
            "state_topic": topics.of(stream.name, verb),
            "command_topic": topics.command(stream.name, verb),
            "entity_category": "config",
        }
        match verb:
            case "pause":
                yield f"stream:{stream.name}:pause", {"p": "switch", "icon": "mdi:pause", **common}
            case "prompt":
                cut = f"{{{{ value[:{LONGEST_STATE}] }}}}"
                bounds = {"min": 1, "max": LONGEST_STATE}
                yield f"stream:{stream.name}:prompt", {"p": "text", **bounds, "value_template": cut, **common}


def _of_answer(topics: Topics, stream: AnnouncedStream) -> Iterator[Entity]:
    """The top-level properties of the output schema."""
    if not stream.last_topic or stream.schema is None:
        return
    for found in properties(stream.schema):
        common = {"name": f"{stream.name} {found.title}", **_with_stream(topics, stream)}
        yield f"stream:{stream.name}:output:{_code(found.name)}", {**_shown(found), **common}


def _shown(found: Property) -> dict[str, Any]:
    path = ("output", found.name)
    match found.kind:
        case Kind.BOOLEAN:
            return {"p": "binary_sensor", "value_template": _on_off(*path)}
        case Kind.NUMBER:
            return {"p": "sensor", "state_class": "measurement", "value_template": _number(*path)}
        case Kind.COUNT:
            return {"p": "sensor", "state_class": "measurement", "value_template": _count(*path)}
        case Kind.CHOICE:
            # Home Assistant strips what a template gives.
            options = list(dict.fromkeys(option.strip() for option in found.options))
            template = _choice(*path, options=found.options)
            return {"p": "sensor", "device_class": "enum", "options": options, "value_template": template}
        case Kind.LIST:
            return {"p": "sensor", "value_template": _joined(*path)}
        case Kind.TEXT:
            return {"p": "sensor", "value_template": _text(*path)}


def _with_stream(topics: Topics, stream: AnnouncedStream) -> dict[str, Any]:
    """What comes of the newest result is known while the daemon runs and the stream gives results."""
    return {
        "state_topic": stream.last_topic,
        "availability": [{"topic": topics.state}, {"topic": topics.availability(stream.name)}],
        "availability_mode": "all",
    }


# -- templates: each gives None, which is "unknown", for what is missing, null, or of another type


def _on_off(*path: str) -> str:
    return _template(path, "'ON' if v is true else 'OFF' if v is false else none")


def _any(*path: str) -> str:
    """Whether a text says something."""
    return _template(path, "('ON' if v else 'OFF') if v is string else none")


def _number(*path: str) -> str:
    return _template(path, "v if v is number and v is not boolean else none")


def _megabytes(*path: str) -> str:
    """Of a number of bytes."""
    return _template(path, "(v / 1000000) | round(1) if v is number and v is not boolean else none")


def _choice(*path: str, options: Collection[str]) -> str:
    return _template(path, f"v if v in [{', '.join(map(_literal, options))}] else none")


def _text(*path: str) -> str:
    return _template(path, f"none if v is none else (v if v is string else v | to_json)[:{LONGEST_STATE}]")


def _joined(*path: str) -> str:
    return _template(path, f"(v | join(', '))[:{LONGEST_STATE}] if {_IS_LIST} else none")


def _count(*path: str) -> str:
    return _template(path, f"v | length if {_IS_LIST} else none")


def _object(*path: str) -> str:
    """For attributes, which are an object."""
    return _template(path, "v | to_json if v is mapping else '{}'")


_IS_LIST = "v is sequence and v is not string and v is not mapping"


def _template(path: Collection[str], value: str) -> str:
    """Where `v` is what is found at this path of the message, none where the path ends before.

    A message may be empty, too: a topic that is no longer retained.
    """
    steps = "".join(f"{{% set v = v[{key}] if v is mapping and {key} in v else none %}}" for key in map(_literal, path))
    return f"{{% set v = value_json if value_json is mapping else none %}}{steps}{{{{ {value} }}}}"


def _literal(text: str) -> str:
    """A string of Jinja's, in letters that cannot be taken for anything else."""
    return "'" + "".join(map(_escaped, text)) + "'"


def _escaped(letter: str) -> str:
    return letter if re.fullmatch(r"[A-Za-z0-9_ .,:/-]", letter) else f"\\U{ord(letter):08x}"


# -- names


def _safe(name: str) -> str:
    """In the letters that an object id may have; what is changed thereby gets a mark, so that no two are the same."""
    changed = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return name if changed == name else f"{changed}_{_mark(name)}"


def _code(name: str) -> str:
    """A property's name where it is short and of plain letters, else a mark of it."""
    return name if re.fullmatch(r"[A-Za-z0-9_.-]{1,60}", name) else f"#{_mark(name)}"


def _mark(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
