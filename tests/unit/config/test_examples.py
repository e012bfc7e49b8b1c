"""Every example passes `check`, and editors agree with it."""

import io
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from overshootd.config.commands import check
from overshootd.config.schema import json_schema
from tests.unit.config.texts import CLIP, GOOD, KEY

CONFIG = Path(__file__).parents[3] / "config"
EXAMPLES = sorted(CONFIG.rglob("*.yaml"))
SECRETS = {"LIVEKIT_API_SECRET": "x" * 32, "RELAY_PASSWORD": "x", "MQTT_PASSWORD": "x" * 8, "WEBHOOK_SECRET": "x"}
ENVIRON = {**KEY, **SECRETS}
WARNINGS = {"home-assistant.yaml": 1}  # its broker, as it comes, has no certificate
VALIDATOR = jsonschema.Draft7Validator(json_schema())


@pytest.mark.parametrize("path", [CONFIG, *(path for path in EXAMPLES if path.parent.name != "streams.d")], ids=str)
def test_check_accepts_it(path: Path) -> None:
    out = io.StringIO()
    assert check(path, ENVIRON, as_json=False, out=out) == 0, out.getvalue()
    assert out.getvalue().count("warning: ") == WARNINGS.get(path.name, 0)


@pytest.mark.parametrize("path", EXAMPLES, ids=str)
def test_the_schema_accepts_it(path: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", EXAMPLES, ids=str)
def test_it_explains_itself(path: Path) -> None:
    assert path.read_text().startswith("# ")


def test_the_schema_is_one_of_draft_07() -> None:
    jsonschema.Draft7Validator.check_schema(json_schema())


def properties(schema: Any) -> list[tuple[str, Any]]:
    """Every property anywhere in a schema."""
    children = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else []
    own = schema["properties"].items() if isinstance(schema, dict) and "properties" in schema else []
    return [*own, *(found for child in children for found in properties(child))]


def test_every_key_has_a_description_for_editors() -> None:
    found = properties(json_schema())
    assert len(found) > 50
    assert [name for name, schema in found if not schema.get("description")] == []


def test_nothing_stands_beside_a_ref_where_draft_07_overlooks_it() -> None:
    assert [name for name, schema in properties(json_schema()) if "$ref" in schema and len(schema) > 1] == []


@pytest.mark.parametrize(
    "text",
    [GOOD, CLIP, "streams:\n", GOOD + "    labels:\n", "x-note: [1]\n" + GOOD, GOOD + "    x-note: 1\n",
     "defaults: {inference: {model: m}}\nstreams: {s: {processing: {delay_seconds: 3}, transport: native}}\n",
     GOOD + "    publish: {size: 640x360, fps: auto}\n", "limits: {memory_mb: 0}\n", "limits:\n",
     "spool: {max_days: 0.5}\n",
     "brokers: {a: {url: mqtt://x, version: 5, home_assistant: true, tls: , commands: [pause]}}\n",
     "brokers: {a: {url: mqtt://x, version: 3.1.1, home_assistant: {prefix: ha}}}\n",
     GOOD + "    sinks: [{type: mqtt, broker: a, last_topic: ''}, {type: stdout}, {type: webhook, url: 'http://x'}]\n",
     "defaults: {transport: {type: livekit, url: wss://x}}\nstreams: {s: {transport: {type: livekit, room: x}}}\n"],
)  # fmt: skip
def test_what_check_accepts_the_schema_accepts(text: str) -> None:
    VALIDATOR.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    ["stream: {}\n", "api: {version: v1beta}\n", GOOD + "    modus: frame\n", GOOD.replace("seconds: 2", "seconds: 75"),
     GOOD.replace("{type: test}", "{type: v4l2}"), GOOD + "    publish: {size: big}\n", "api: {key: ovs_x}\n",
     GOOD + "    crop: {x: 0}\n", GOOD + "    masks: [{points: [[0, 0], [1, 1]]}]\n",
     GOOD + "    publish: {passthrough: 1}\n", GOOD + "    transport: rtmp\n", "limits: {memory_mb: -1}\n",
     GOOD + "    transport: {type: native, url: wss://x}\n", GOOD + "    transport: {type: livekit, url: 'a b'}\n",
     GOOD + "    transport: {type: webrtc, ice_servers: [{}]}\n",
     "spool: {max_mb: 0}\n", "spool: {max_days: 0}\n", "brokers: {a: {}}\n", "brokers: {a: {url: x}}\n",
     "brokers: {a: {url: mqtt://x, base_topic: 'a/#'}}\n", "brokers: {a: {url: mqtt://x, password: y}}\n",
     "brokers: {a: {url: mqtt://x, commands: [stop]}}\n", "brokers: {a: {url: mqtt://x, home_assistant: 'yes'}}\n",
     GOOD + "    sinks: [{type: mqtt}]\n", GOOD + "    sinks: [{type: mqtt, broker: a, topic: 'a/+'}]\n",
     GOOD + "    sinks: [{type: webhook, url: 'ftp://x'}]\n", GOOD + "    sinks: [{type: stdout, path: /x}]\n"],
)  # fmt: skip
def test_the_schema_refuses_what_check_refuses(text: str) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(text))
