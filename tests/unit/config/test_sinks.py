"""Sinks: where they lead once filled in, and what the spool keeps of them."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.config.load import Loaded
from overshootd.config.pieces import SecretRef
from overshootd.config.secret import Secret
from overshootd.config.sinks import FileSink, MqttSink, SinkConfig, StdoutSink, WebhookSink, sink_config
from overshootd.errors import ConfigError
from tests.unit.config.texts import GOOD, KEY, STREAM, Load

HEAD = (
    "device: {name: pi}\nbrokers:\n  home: {url: mqtt://h, base_topic: cams/yard, home_assistant: true}\n"
    "  away: {url: mqtt://i}\n"
)
ENVIRON = {**KEY, "W": "whsec_aHVudGVyMg==", "BAD": "a\tb"}


def sinks(load_text: Load, *written: str) -> Loaded:
    return load_text(f"{HEAD}{GOOD}    sinks:\n" + "".join(f"      - {sink}\n" for sink in written), ENVIRON)


def the_sink(loaded: Loaded) -> SinkConfig:
    assert loaded.problems == ()
    (sink,) = loaded.streams["s"].sinks
    return sink


# -- a file that several streams write ---------------------------------------------------------------------------------


def two(one: str, other: str) -> str:
    """Streams s and t with a file sink each, which says this."""
    return f"{GOOD}    sinks: [{{type: file, {one}}}]\n  t:\n{STREAM}    sinks: [{{type: file, {other}}}]\n"


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("keep: 5", "keep: 50", "keep is 50 here and 5"),
        ("gzip: false", "keep: 10", "gzip is true here and false"),
        ("keep: 0", "rotate_bytes: 10000000", "keep is 10 here and 0"),
        ("rotate_bytes: 5000", "keep: 10", "rotate_bytes is 10000000 here and 5000"),
        ("keep: 10", "rotate_seconds: 3600", "rotate_seconds is 3600 here and never"),
    ],
)
def test_two_streams_that_rotate_one_file_in_different_ways_are_a_mistake_of_the_second(
    load_text: Load, tmp_path: Path, one: str, other: str, told: str
) -> None:
    loaded = load_text(two(f"path: /r/a, {one}", f"path: /r/./a, {other}"))
    [problem] = loaded.problems
    assert str(problem).startswith(f"{tmp_path}/overshootd.yaml:11:")
    assert problem.message == (
        f"{told} for the same file in stream s, at {tmp_path}/overshootd.yaml:6; "
        "say the same in both, or give each a path of its own"
    )
    assert [*loaded.streams] == ["s"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("path: /r/a, keep: 5", "path: /r/b, keep: 50"),
        ("path: '/r/{stream}', keep: 5", "path: '/r/{stream}', keep: 50"),
        ("path: /r/a, keep: 10", "path: /r/a, gzip: true"),
        ("path: /r/a, min_free_mb: 5, sync_seconds: 1", "path: /r/a"),
        ("path: /r/a, rotate_seconds: null", "path: /r/a"),
    ],
    ids=["two files", "two files once filled in", "the defaults, written", "what may differ", "null"],
)
def test_files_that_are_rotated_alike_or_are_not_the_same_are_no_mistake(load_text: Load, one: str, other: str) -> None:
    assert load_text(two(one, other)).problems == ()


# -- how much of the spool a power cut may take ------------------------------------------------------------------------

FILE = "{type: file, path: /r, sync_seconds: 10}"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ([FILE], 10),
        ([FILE, "{type: file, path: /q}"], 5),
        ([FILE, "{type: mqtt, broker: home}", "{type: webhook, url: 'https://h/'}", "{type: stdout}"], 10),
        ([FILE, "{type: mqtt, broker: home, sync_seconds: 2}"], 2),
        ([FILE, "{type: mqtt, broker: home, sync_seconds: 5}"], 5),
        (["{type: mqtt, broker: home, sync_seconds: 20}"], 20),
        (["{type: mqtt, broker: home}"], 5),
    ],
    ids=[
        "a file's",
        "the least",
        "none of what is no file",
        "what is written",
        "the default, written",
        "alone",
        "none",
    ],
)
def test_the_least_sync_seconds_count_that_anybody_asks_for(
    load_text: Load, written: list[str], seconds: float
) -> None:
    assert sinks(load_text, *written).sync_seconds == seconds


def test_sync_seconds_of_a_stream_that_is_disabled_do_not_count(load_text: Load) -> None:
    more = f"  off:\n    enabled: false\n    sinks: [{{type: file, path: /q, sync_seconds: 1}}]\n{STREAM}"
    assert load_text(f"{HEAD}{GOOD}    sinks: [{FILE}]\n{more}", KEY).sync_seconds == 10


def test_sync_seconds_of_the_defaults_are_written(load_text: Load) -> None:
    defaults = "defaults: {sinks: [{type: mqtt, broker: home, sync_seconds: 1}]}\n"
    assert load_text(f"{HEAD}{defaults}{GOOD}    sinks: [{FILE}]\n", KEY).sync_seconds == 1


def test_a_stream_that_names_no_sink_writes_a_file(load_text: Load) -> None:
    one_of_mqtt = f"  m:\n    sinks: [{{type: mqtt, broker: home, sync_seconds: 30}}]\n{STREAM}"
    assert load_text(f"{HEAD}{GOOD}{one_of_mqtt}", KEY).sync_seconds == 5


# -- filled in ---------------------------------------------------------------------------------------------------------


def test_topics_are_filled_in_also_those_that_are_not_written(load_text: Load) -> None:
    sink = the_sink(sinks(load_text, "{type: mqtt, broker: home}"))
    assert sink == MqttSink(type="mqtt", broker="home", topic="cams/yard/pi/s/result", last_topic="cams/yard/pi/s/last")


@pytest.mark.parametrize("topic", ["all", "{device}", "a/{stream}/b/{stream}", "$aws/rules/x", "cams/yard/pi/s/result"])
def test_a_topic_may_be_any(load_text: Load, topic: str) -> None:
    sink = the_sink(sinks(load_text, f"{{type: mqtt, broker: home, topic: '{topic}', last_topic: ''}}"))
    assert isinstance(sink, MqttSink)
    assert (sink.topic, sink.last_topic) == (topic.replace("{device}", "pi").replace("{stream}", "s"), "")


def test_references_in_a_webhook_are_found_from_any_directory_and_masked(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("Bearer hunter2\n")
    loaded = sinks(
        load_text,
        "{type: webhook, url: 'https://x/y?token=hunter3', secret: {env: W}, headers: {Authorization: {file: a}}}",
    )
    sink = the_sink(loaded)
    assert isinstance(sink, WebhookSink)
    assert (sink.secret, sink.headers) == (SecretRef(env="W"), {"Authorization": SecretRef(file=f"{tmp_path}/a")})
    assert {Secret("Bearer hunter2"), Secret("hunter3"), Secret(ENVIRON["W"])} <= set(loaded.secrets)


@pytest.mark.parametrize("host", ["receiver.lan", "192.168.1.2:8080", "[fe80::1]", "localhost.lan"])
def test_a_header_that_others_can_read_is_warned_of(load_text: Load, host: str) -> None:
    loaded = sinks(load_text, f"{{type: webhook, url: 'http://{host}/x', headers: {{X-Key: {{env: W}}}}}}")
    [warning] = loaded.warnings
    assert (warning.key, loaded.problems) == ("streams.s.sinks.0.url", ())
    assert "http:// is not encrypted, so the header X-Key can be read on the way" in warning.message


@pytest.mark.parametrize(
    "rest",
    [
        "url: 'https://x', headers: {X-Key: {env: W}}",
        *(f"url: 'http://{host}', headers: {{X-Key: {{env: W}}}}" for host in ("localhost:1", "127.0.0.1", "[::1]")),
        "url: 'http://x', secret: {env: W}",
        "url: 'http://x', headers: {}",
    ],
)
def test_what_nobody_can_read_is_none_to_warn_of(load_text: Load, rest: str) -> None:
    loaded = sinks(load_text, f"{{type: webhook, {rest}}}")
    assert (loaded.problems, loaded.warnings) == ((), ())


def test_a_url_that_is_wrong_is_not_warned_of_too(load_text: Load) -> None:
    loaded = sinks(load_text, "{type: webhook, url: 'http://x/#y', headers: {X-Key: {env: W}}}")
    assert (len(loaded.problems), loaded.warnings) == (1, ())


def test_a_header_may_begin_with_x(load_text: Load) -> None:
    sink = the_sink(sinks(load_text, "{type: webhook, url: 'https://x', headers: {x-key: {env: W}}}"))
    assert isinstance(sink, WebhookSink)
    assert set(sink.headers) == {"x-key"}


def test_what_is_filled_in_differs_by_stream_and_a_mistake_in_defaults_is_told_once(load_text: Load) -> None:
    text = f"{HEAD}defaults: {{sinks: [{{type: mqtt, broker: hom}}]}}\n{GOOD}  t:\n{STREAM}"
    loaded = load_text(text)
    assert [(problem.key, problem.message) for problem in loaded.problems] == [
        ("defaults.sinks.0.broker", "hom is no broker under `brokers`; did you mean home?")
    ]
    assert set(load_text(text.replace("hom}", "home}")).streams) == set(loaded.broken) == {"s", "t"}


# -- mistakes ----------------------------------------------------------------------------------------------------------

OURS = "is where overshootd itself speaks or listens"
MISTAKES = [
    ("{type: mqqt, broker: home}", "type", "mqqt is no sink type; did you mean mqtt?"),
    ("{broker: home}", "", "expected a mapping with a type (file, mqtt, webhook or stdout)"),
    ("stdout", "", "expected a mapping with a type (file, mqtt, webhook or stdout)"),
    ("{type: 3}", "type", "3 is no sink type; use file, mqtt, webhook or stdout"),
    ("{type: stdout, path: /x}", "path", "unknown key for this type of sink; it belongs to file"),
    ("{type: file, path: /x, topic: y}", "topic", "unknown key for this type of sink; it belongs to mqtt"),
    ("{type: mqtt, broker: home, retain: true}", "retain", "unknown key; known here: type, broker, topic"),
    ("{type: mqtt, broker: home, tpoic: x}", "tpoic", "unknown key; did you mean topic?"),
    ("{type: mqtt}", "broker", "missing: a name from `brokers`"),
    ("{type: mqtt, broker: 3}", "broker", "expected text"),
    ("{type: mqtt, broker: hoem}", "broker", "hoem is no broker under `brokers`; did you mean home?"),
    ("{type: mqtt, broker: home, topic: ''}", "topic", "is empty"),
    ("{type: mqtt, broker: home, topic: 'a/+'}", "topic", "+ and # stand for many topics"),
    ("{type: mqtt, broker: home, last_topic: '#'}", "last_topic", "+ and # stand for many topics"),
    (r'{type: mqtt, broker: home, topic: "a\0"}', "topic", "a topic with a control character in it"),
    (r'{type: mqtt, broker: home, topic: "a\uffff"}', "topic", "a topic with a control character in it"),
    ("{type: mqtt, broker: home, topic: '{steam}'}", "topic", "{steam} is not filled in; did you mean {stream}?"),
    ("{type: mqtt, broker: home, topic: '{x}'}", "topic", "there are {base_topic}, {device} and {stream}"),
    (f"{{type: mqtt, broker: home, topic: '{'ä' * 32768}'}}", "topic", "is longer than the 65535 bytes"),
    ("{type: mqtt, broker: home, topic: $SYS/x}", "topic", "begins with what brokers keep to themselves"),
    ("{type: mqtt, broker: home, topic: x, last_topic: x}", "last_topic", "topic and last_topic are the same"),
    *(
        (f"{{type: mqtt, broker: home, topic: '{{base_topic}}/{{device}}/{leaf}', last_topic: ''}}", "topic", OURS)
        for leaf in ("state", "status", "s/availability", "s/last", "{stream}/prompt", "t/pause/set", "t/prompt/set")
    ),
    ("{type: mqtt, broker: home, last_topic: cams/yard/pi/s/pause}", "last_topic", OURS),
    ("{type: mqtt, broker: home, topic: homeassistant/status}", "topic", "is where Home Assistant speaks or listens"),
    ("{type: mqtt, broker: home, topic: homeassistant/device/x/config}", "topic", "is where Home Assistant speaks"),
    ("{type: webhook}", "url", "missing: where to"),
    ("{type: webhook, url: ftp://x}", "url", "expected a URL that begins with https:// or http://"),
    ("{type: webhook, url: 'https://'}", "url", "expected a URL that begins with https:// or http://"),
    ("{type: webhook, url: 'https://x:99999'}", "url", "expected a URL that begins with https:// or http://"),
    ("{type: webhook, url: 'https://u:hunter2@x'}", "url", "a URL with a login in it; give headers"),
    ("{type: webhook, url: 'https://x/{stream}'}", "url", "nothing is filled in here"),
    ("{type: webhook, url: 'https://x/#a'}", "url", "what follows a # is never sent"),
    ("{type: webhook, url: 'https://x', secret: hunter2}", "secret", "no secret stands in this file"),
    ("{type: webhook, url: 'https://x', secret: {env: NONE}}", "secret.env", "NONE is not set"),
    ("{type: webhook, url: 'https://x', headers: {A: hunter2}}", "headers.A", "no secret stands in this file"),
    ("{type: webhook, url: 'https://x', headers: {A: {env: BAD}}}", "headers.A.env", "nothing for an HTTP header"),
    ("{type: webhook, url: 'https://x', headers: {'A B': {env: W}}}", "headers.A B", "no name of an HTTP header"),
    ("{type: webhook, url: 'https://x', headers: {Host: {env: W}}}", "headers.Host", "every request has its own host"),
    ("{type: webhook, url: 'https://x', headers: {webhook-id: {env: W}}}", "headers.webhook-id", "its own webhook-id"),
    ("{type: webhook, url: 'https://x', headers: {A: {env: W}, a: {env: W}}}", "headers.a", "is here twice"),
    ("{type: webhook, url: 'https://x', timeout_seconds: 0}", "timeout_seconds", "0 is too short; allowed is at least"),
    ("{type: file, path: /x, min_free_mb: -1}", "min_free_mb", "-1 is too small; allowed is at least 0"),
]  # fmt: skip


@pytest.mark.parametrize(("sink", "key", "said"), MISTAKES, ids=[sink[:100] for sink, _, _ in MISTAKES])
def test_one_mistake_is_told_once(load_text: Load, sink: str, key: str, said: str) -> None:
    loaded = sinks(load_text, sink)
    at = f"streams.s.sinks.0.{key}".rstrip(".")
    assert [(problem.key, said in problem.message) for problem in loaded.problems] == [(at, True)]
    assert "hunter2" not in str(loaded.problems)


@pytest.mark.parametrize(
    ("sink", "said"),
    [
        ("{type: file, path: '/x/{stream}'}", "this stream writes /x/s already"),
        ("{type: mqtt, broker: home}", "this stream publishes to this topic already"),
        ("{type: webhook, url: 'https://x'}", "this stream sends there already"),
        ("{type: stdout}", "this stream writes to the standard output already"),
    ],
)
def test_the_same_sink_twice_is_told_at_the_second(load_text: Load, sink: str, said: str) -> None:
    loaded = sinks(load_text, sink, sink)
    assert [(said in problem.message, problem.key[:17]) for problem in loaded.problems] == [(True, "streams.s.sinks.1")]


def test_one_topic_at_two_brokers_and_two_topics_at_one_are_fine(load_text: Load) -> None:
    one, other = "{type: mqtt, broker: home, topic: a}", "{type: mqtt, broker: away, topic: a}"
    assert len(sinks(load_text, one, other, one.replace("topic: a", "topic: b")).streams["s"].sinks) == 3


def test_where_home_assistant_does_not_look_its_topics_are_free(load_text: Load) -> None:
    assert sinks(load_text, "{type: mqtt, broker: away, topic: homeassistant/status}").problems == ()


# -- in the spool ------------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=9)
REFS = st.one_of(WORDS.map(lambda w: SecretRef(env=w)), WORDS.map(lambda w: SecretRef(file=f"/{w}")))
SYNC = st.floats(0.5, 60)
SINKS: st.SearchStrategy[SinkConfig] = st.one_of(
    st.builds(
        FileSink,
        type=st.just("file"),
        path=WORDS,
        rotate_bytes=st.integers(1000, 10**12),
        rotate_seconds=st.none() | st.floats(1, 1e9),
        keep=st.integers(0, 9),
        gzip=st.booleans(),
        sync_seconds=SYNC,
    ),
    st.builds(
        MqttSink, type=st.just("mqtt"), broker=WORDS, topic=st.sampled_from("ab"), last_topic=st.sampled_from(["", "ä"])
    ),
    st.builds(
        WebhookSink,
        type=st.just("webhook"),
        url=st.just("https://x"),
        secret=st.none() | REFS,
        headers=st.dictionaries(WORDS, REFS, max_size=3),
        timeout_seconds=st.integers(1, 120).map(float),
    ),
    st.builds(StdoutSink, type=st.just("stdout"), sync_seconds=SYNC),
)


@given(SINKS)
def test_what_was_kept_of_a_sink_comes_back_as_it_was(sink: SinkConfig) -> None:
    assert sink_config(sink.model_dump_json()) == sink


@given(SINKS, st.dictionaries(st.text(max_size=5).map("new_{}".format), st.integers() | st.none(), max_size=3))
def test_what_a_newer_release_added_is_left_out(sink: SinkConfig, more: dict[str, Any]) -> None:
    assert sink_config(json.dumps({**json.loads(sink.model_dump_json()), **more})) == sink


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "null", "{}", '{"type": "kafka"}', '{"type": "file"}', '{"type": ["file"]}',
     '{"type": "file", "path": 3}', '{"type": "webhook", "url": "https://x", "secret": {"vault": "hunter2"}}'],
)  # fmt: skip
def test_what_nobody_understands_any_more_is_told_without_its_values(text: str) -> None:
    with pytest.raises(ConfigError, match="another release") as told:
        sink_config(text)
    assert "hunter2" not in str(told.value)


KEYS = sorted({*WebhookSink.model_fields, *MqttSink.model_fields, *FileSink.model_fields, "env"} - {"type"})
KINDS = st.sampled_from(["file", "mqtt", "webhook", "stdout", "other"])
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)
TREE = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)


@given(st.text(max_size=60) | st.builds(lambda kind, tree: json.dumps({**tree, "type": kind}), KINDS, TREE))
def test_whatever_is_kept_it_is_a_sink_or_one_sentence(text: str) -> None:
    with suppress(ConfigError):
        assert sink_config(text).type in ("file", "mqtt", "webhook", "stdout")
