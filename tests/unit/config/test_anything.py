"""Whatever a file holds, loading ends with streams or with mistakes, never with an exception."""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from overshootd.config.brokers import BrokerConfig, BrokerTls
from overshootd.config.cameras import (
    ArgusCamera,
    CommandCamera,
    Picamera2Camera,
    Polygon,
    Recovery,
    Rectangle,
    RtspCamera,
    V4l2Camera,
)
from overshootd.config.load import Loaded, load
from overshootd.config.model import ClipProcessing, ConfigFile, InferenceConfig, PublishConfig, WrittenStream
from overshootd.config.sinks import FileSink, MqttSink, WebhookSink
from overshootd.config.transports import IceServerConfig, LiveKitTransport

NAMES = sorted(
    {*ConfigFile.model_fields, *WrittenStream.model_fields, *InferenceConfig.model_fields, *PublishConfig.model_fields}
    | {*ClipProcessing.model_fields, *FileSink.model_fields, "interval_seconds", "key", "env", "name", "base_url"}
)
CAMERA_KEYS = sorted(
    {*V4l2Camera.model_fields, *Picamera2Camera.model_fields, *RtspCamera.model_fields, *CommandCamera.model_fields}
    | {*ArgusCamera.model_fields, *Recovery.model_fields, *Rectangle.model_fields, *Polygon.model_fields, "path", "env"}
)
TRANSPORT_KEYS = sorted(
    {*LiveKitTransport.model_fields, *IceServerConfig.model_fields, "ice_servers", "env", "file"} - {"type"}
)
KINDS = st.sampled_from(["test", "file", "v4l2", "picamera2", "rtsp", "command", "argus"])
PASSWORD = "hunter2"
WORDS = KINDS | st.sampled_from(
    ["auto", "frame", "clip", "yard", "1280x720", "v0.2", "x-y", "{stream}", "h264", "i420", "always", "/", "{widht}",
     f"rtsp://u:{PASSWORD}@cam/1", f"rtsp://:{PASSWORD}@", f"://{PASSWORD}@[", f"rtsp://u:{PASSWORD}/@cam:x/"]
)  # fmt: skip
SCALARS: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS
KEYS = st.sampled_from(NAMES) | st.text(max_size=4)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)  # fmt: skip
CAMERA_VALUES = st.recursive(
    SCALARS | st.floats(0, 1) | st.just("P"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(CAMERA_KEYS), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
CAMERAS = st.builds(
    lambda kind, entries: {**entries, "type": kind},
    KINDS,
    st.dictionaries(st.sampled_from(CAMERA_KEYS), CAMERA_VALUES, max_size=6),
)


def loaded_from(content: bytes, environ: dict[str, str], now: float | None = None) -> Loaded:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.yaml"
        path.write_bytes(content)
        return load(path, environ, now=now)


def is_sound(loaded: Loaded) -> bool:
    told = [str(problem) for problem in loaded.problems]
    pydantics = ("Input should", "Value error", "unable to", "pydantic")
    return (
        all(line.isprintable() and not any(words in line for words in pydantics) for line in told)
        and len(set(told)) == len(told)
        and not loaded.streams.keys() & loaded.broken.keys()
        and all(set(problems) <= set(loaded.problems) and problems for problems in loaded.broken.values())
        and (bool(loaded.problems) or loaded.key is not None or not loaded.streams)
    )


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    loaded = loaded_from(content, {})
    assert is_sound(loaded)


@settings(deadline=None)
@given(st.text(alphabet=":-{}[]&*!|>'\"%@`#?, \n\tabx<~1.", max_size=60))
def test_any_text_of_yaml_s_own_characters(text: str) -> None:
    assert is_sound(loaded_from(text.encode(), {}))


@settings(max_examples=300, deadline=None)  # it meets the disk
@given(st.dictionaries(st.sampled_from(sorted(ConfigFile.model_fields)), TREES, max_size=5))
def test_any_tree(tree: dict[str, Any]) -> None:
    assert is_sound(loaded_from(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"), {"K": "x"}))


@settings(max_examples=300, deadline=None)  # it meets the disk
@given(st.dictionaries(st.sampled_from(sorted(WrittenStream.model_fields)), TREES, max_size=5), st.booleans())
def test_any_stream_beside_a_good_one(stream: dict[str, Any], as_default: bool) -> None:
    good = {
        "camera": {"type": "test"},
        "processing": {"interval_seconds": 1},
        "inference": {"prompt": "x", "model": "y"},
    }
    tree = (
        {"streams": {"good": good}, "defaults": stream} if as_default else {"streams": {"good": good, "other": stream}}
    )
    loaded = loaded_from(yaml.safe_dump(tree).encode("utf-8", "replace"), {"OVERSHOOT_API_KEY": "x"})
    assert is_sound(loaded)
    assert as_default or "good" in loaded.streams


@settings(max_examples=300, deadline=None)  # it meets the disk
@given(CAMERAS, st.sampled_from(["cameras", "stream", "defaults"]))
def test_any_camera_is_taken_or_told_and_its_password_never(camera: dict[str, Any], place: str) -> None:
    stream: dict[str, Any] = {"processing": {"interval_seconds": 1}, "inference": {"prompt": "x", "model": "y"}}
    tree: dict[str, Any] = {"streams": {"s": stream}}
    match place:
        case "cameras":
            tree["cameras"], stream["camera"] = {"yard": camera}, "yard"
        case "stream":
            stream["camera"] = camera
        case _:
            tree["defaults"] = {"camera": camera}
    environ = {"OVERSHOOT_API_KEY": "x", "P": PASSWORD}
    loaded = loaded_from(yaml.safe_dump(tree).encode("utf-8", "replace"), environ)
    assert is_sound(loaded)
    assert ("s" in loaded.streams) == (not loaded.problems)
    assert bool(loaded.cameras) == (place == "cameras" and not loaded.problems)
    assert PASSWORD not in "".join(map(str, loaded.problems))
    for config in [*(s.camera for s in loaded.streams.values()), *(c.config for c in loaded.cameras.values())]:
        assert not isinstance(config, RtspCamera) or PASSWORD not in config.url


TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwaSJ9.hunter2"
TRANSPORT_WORDS = st.sampled_from(
    ["P", "T", "NONE", "auto", "livekit", "wss://rooms", f"wss://u:{PASSWORD}@rooms", f"http://x?token={PASSWORD}",
     "stun:s", "turn:t", f"turn:u:{PASSWORD}@t", "{device}", "{stream}-{x}", "wss://[", "wss://x:99999999999"]
)  # fmt: skip
TRANSPORT_VALUES = st.recursive(
    SCALARS | TRANSPORT_WORDS | st.sampled_from([{"env": "P"}, {"env": "T"}, {"env": "NONE"}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(TRANSPORT_KEYS), inner, max_size=4),
    max_leaves=8,
)
TRANSPORTS = st.builds(
    lambda kind, entries: {**entries, "type": kind},
    st.sampled_from(["auto", "native", "webrtc", "livekit", "livekit"]),
    st.dictionaries(st.sampled_from(TRANSPORT_KEYS), TRANSPORT_VALUES, max_size=6),
)


@settings(max_examples=300, deadline=None)  # it meets the disk
@given(TRANSPORTS, st.booleans(), st.none() | st.floats(0, 4e9))
def test_any_transport_is_taken_or_told_and_its_secrets_never(
    transport: dict[str, Any], as_default: bool, now: float | None
) -> None:
    stream: dict[str, Any] = {
        "camera": {"type": "test"},
        "processing": {"interval_seconds": 1},
        "inference": {"prompt": "x", "model": "y"},
    }
    tree: dict[str, Any] = {"streams": {"s": stream, "t": dict(stream)}}
    (tree.setdefault("defaults", {}) if as_default else stream)["transport"] = transport
    environ = {"OVERSHOOT_API_KEY": "x", "P": PASSWORD, "T": TOKEN}
    loaded = loaded_from(yaml.safe_dump(tree).encode("utf-8", "replace"), environ, now)
    assert is_sound(loaded)
    assert bool(loaded.broken) == bool(loaded.problems)
    assert PASSWORD not in "".join(map(str, [*loaded.problems, *loaded.warnings, *loaded.streams.values()]))


OUTLET_KEYS = sorted(
    {*BrokerConfig.model_fields, *BrokerTls.model_fields, *FileSink.model_fields, *MqttSink.model_fields}
    | {*WebhookSink.model_fields, "prefix", "env", "file", "X-A"}
)
OUTLET_WORDS = st.sampled_from(
    ["home", "mqtt", "webhook", "stdout", "mqtt://h", "wss://h/x", f"mqtts://u:{PASSWORD}@h", f"https://u:{PASSWORD}@h",
     f"http://x?token={PASSWORD}", "mqtt://[", "{base_topic}/{x}", "$SYS/a", "a/+", "homeassistant/status", "pause"]
)  # fmt: skip
OUTLET_VALUES = st.recursive(
    SCALARS | OUTLET_WORDS | st.sampled_from([{"env": "P"}, {"env": "NONE"}, {"file": "."}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(OUTLET_KEYS), inner, max_size=4),
    max_leaves=8,
)
OUTLETS = st.dictionaries(st.sampled_from(OUTLET_KEYS), OUTLET_VALUES, max_size=6)


@settings(max_examples=300, deadline=None)  # it meets the disk
@given(OUTLETS, OUTLETS, st.sampled_from(["file", "mqtt", "webhook", "stdout"]), st.booleans())
def test_any_broker_and_sink_is_taken_or_told_and_its_secrets_never(
    broker: dict[str, Any], sink: dict[str, Any], kind: str, as_default: bool
) -> None:
    stream: dict[str, Any] = {
        "camera": {"type": "test"},
        "processing": {"interval_seconds": 1},
        "inference": {"prompt": "x", "model": "y"},
    }
    tree: dict[str, Any] = {"brokers": {"home": {"url": "mqtt://h", **broker}}, "streams": {"s": stream}}
    named = {"broker": "home"} if kind == "mqtt" else {}
    (tree.setdefault("defaults", {}) if as_default else stream)["sinks"] = [{**named, **sink, "type": kind}]
    loaded = loaded_from(yaml.safe_dump(tree).encode("utf-8", "replace"), {"OVERSHOOT_API_KEY": "x", "P": PASSWORD})
    assert is_sound(loaded)
    assert bool(loaded.broken) == any(not problem.within("brokers") for problem in loaded.problems) or kind == "mqtt"
    assert PASSWORD not in "".join(map(str, loaded.problems))
    sinks = [sink for stream in loaded.streams.values() for sink in stream.sinks]
    urls = [place.url for place in (*loaded.brokers.values(), *sinks) if isinstance(place, BrokerConfig | WebhookSink)]
    assert not any(f":{PASSWORD}" in url for url in urls)
    assert loaded.brokers_used <= loaded.brokers.keys()
