"""Brokers: what they are filled in with, what a mistake in one breaks, and that no password is ever shown."""

from pathlib import Path

import pytest

from overshootd.config.brokers import HomeAssistant
from overshootd.config.load import load
from overshootd.config.pieces import SecretRef
from overshootd.config.secret import Secret
from tests.unit.config.texts import GOOD, KEY, STREAM, Load

URL = "mqtts://broker.lan:8883"


def brokers(home: str) -> str:
    return f"device: {{name: pi}}\nbrokers:\n  home: {home}\n{GOOD}"


def test_a_broker_is_filled_in_to_the_last_value(load_text: Load) -> None:
    home = load_text(brokers(f"{{url: '{URL}'}}")).brokers["home"]
    assert (home.url, home.base_topic, home.version) == (URL, "overshootd", "auto")
    assert (home.username, home.client_id, home.commands, home.home_assistant) == (None, None, (), None)


@pytest.mark.parametrize(
    ("written", "means"),
    [("true", HomeAssistant()), ("{}", HomeAssistant()), ("{prefix: ha}", HomeAssistant(prefix="ha")),
     ("false", None), ("", None)],
)  # fmt: skip
def test_home_assistant_is_a_word_or_a_prefix(load_text: Load, written: str, means: HomeAssistant | None) -> None:
    loaded = load_text(brokers(f"{{url: '{URL}', home_assistant: {written}}}"))
    assert (loaded.problems, loaded.brokers["home"].home_assistant) == ((), means)


@pytest.mark.parametrize(("written", "means"), [("5", "5"), ("'5'", "5"), ("3.1.1", "3.1.1"), ("auto", "auto")])
def test_the_version_needs_no_quotes(load_text: Load, written: str, means: str) -> None:
    assert load_text(brokers(f"{{url: '{URL}', version: {written}}}")).brokers["home"].version == means


@pytest.mark.parametrize(
    "url",
    [
        "mqtt://h",
        "MQTT://h",
        "mqtt://h:1",
        "mqtt://h/",
        "mqtt://[::1]:1883",
        "ws://h",
        "ws://h/mqtt",
        "wss://h:443/mqtt?a=b",
    ],
)
def test_these_urls_are_fine(load_text: Load, url: str) -> None:
    assert load_text(brokers(f"{{url: '{url}'}}")).problems == ()


MISTAKES = [
    ("{}", "home.url", "missing: mqtt://, mqtts://, ws:// or wss://"),
    ("3", "home", "expected a mapping"),
    ("{url: 5}", "home.url", "expected text"),
    ("{url: 'a b'}", "home.url", "expected a URL without blanks, such as mqtts://broker.lan:8883"),
    ("{url: broker.lan}", "home.url", "such as mqtts://broker.lan:8883"),
    ("{url: 'broker.lan:1883'}", "home.url", "expected a URL with a host"),
    ("{url: 'mqtt://'}", "home.url", "expected a URL with a host"),
    ("{url: 'mqtt://:1883'}", "home.url", "expected a URL with a host"),
    ("{url: 'mqtt://h:0'}", "home.url", "expected a URL with a host"),
    ("{url: 'mqtt://h:65536'}", "home.url", "a port from 1 to 65535"),
    ("{url: 'mqtt://h:x'}", "home.url", "expected a URL with a host"),
    ("{url: 'tcp://h'}", "home.url", "write mqtt:// instead of tcp://"),
    ("{url: 'ssl://h'}", "home.url", "write mqtts:// instead of ssl://"),
    ("{url: 'https://h'}", "home.url", "write wss:// instead of https://"),
    ("{url: 'mqttt://h'}", "home.url", "mqttt is no kind of URL that a broker has; did you mean mqtt?"),
    ("{url: 'mqtt://h/path'}", "home.url", "nothing follows host and port here"),
    ("{url: 'mqtt://h?a=b'}", "home.url", "nothing follows host and port here"),
    ("{url: 'wss://h/p#f'}", "home.url", "nothing follows host and port here"),
    ("{url: 'mqtt://u:hunter2@h'}", "home.url", "a URL with a login in it; give username and password beside it"),
    ("{url: 'mqtt://u@h'}", "home.url", "a URL with a login in it"),
    ("{url: 'mqtt://h', password: hunter2}", "home.password", "no secret stands in this file"),
    ("{url: 'mqtt://h', username: u, password: {env: NONE}}", "home.password.env", "NONE is not set"),
    ("{url: 'mqtt://h', username: u, password: {file: none}}", "home.password.file", "/none: no such file"),
    ("{url: 'mqtt://h', password: {env: P}}", "home.password", "a password without a username; brokers ask for both"),
    ("{url: 'mqtt://h', base_topic: 'a/#'}", "home.base_topic", "+ and # stand for many topics"),
    ("{url: 'mqtt://h', base_topic: '/a'}", "home.base_topic", "begins with a letter or digit, and ends without a sla"),
    ("{url: 'mqtt://h', base_topic: 'a/'}", "home.base_topic", "begins with a letter or digit, and ends without a sla"),
    ("{url: 'mqtt://h', base_topic: '$a'}", "home.base_topic", "begins with a letter or digit, and ends without a sla"),
    ("{url: 'mqtt://h', base_topic: 'a b'}", "home.base_topic", "expected words without blanks and braces"),
    ("{url: 'mqtt://h', base_topic: '{device}'}", "home.base_topic", "expected words without blanks and braces"),
    ("{url: 'mqtt://h', base_topic: ''}", "home.base_topic", "expected words without blanks and braces"),
    (r'{url: "mqtt://h", base_topic: "a\0b"}', "home.base_topic", "a topic with a control character in it; remove it"),
    ("{url: 'mqtt://h', commands: [promt]}", "home.commands.0", "promt is no command; did you mean prompt?"),
    ("{url: 'mqtt://h', commands: prompt}", "home.commands", "expected a list"),
    (r'{url: "mqtt://h", username: "a\0b"}', "home.username", "a control character in it; remove it"),
    (r'{url: "mqtt://h", client_id: "a\nb"}', "home.client_id", "a control character in it; remove it"),
    ("{url: 'mqtt://h', client_id: ''}", "home.client_id", "is empty"),
    ("{url: 'mqtt://h', version: 4}", "home.version", "4 is no version; use auto, 3.1.1 or 5"),
    ("{url: 'mqtt://h', home_assistant: sure}", "home.home_assistant", "expected true, false, or {prefix: …}"),
    ("{url: 'mqtt://h', home_assistant: {prefix: 'a/+'}}", "home.home_assistant.prefix", "+ and # stand for many"),
    ("{url: 'mqtt://h', keepalive_seconds: 1}", "home.keepalive_seconds", "1 is too short; allowed is at least 5"),
    ("{url: 'mqtt://h', hots: x}", "home.hots", "unknown key"),
    ("{url: 'mqtt://h', user: x}", "home.user", "unknown key; did you mean username?"),
    ("{url: 'mqtt://h', host: x}", "home.host", "unknown key; did you mean url?"),
    ("{url: 'mqtt://h', ca_file: x}", "home.ca_file", "unknown key here; did you mean tls: {ca_file: …}?"),
    ("{url: 'mqtt://h', prefix: x}", "home.prefix", "unknown key here; did you mean home_assistant: {prefix: …}?"),
]


@pytest.mark.parametrize(("home", "key", "said"), MISTAKES, ids=[home for home, _, _ in MISTAKES])
def test_one_mistake_is_told_once_and_breaks_no_stream_that_does_not_use_it(
    load_text: Load, home: str, key: str, said: str
) -> None:
    loaded = load_text(brokers(home), {**KEY, "P": "hunter2"})
    assert [(problem.key, said in problem.message) for problem in loaded.problems] == [(f"brokers.{key}", True)]
    assert (set(loaded.streams), loaded.brokers) == ({"s"}, {})
    assert "hunter2" not in str(loaded.problems)


def test_a_broken_broker_breaks_the_streams_that_use_it_and_is_told_once(load_text: Load) -> None:
    sinks = "    sinks: [{type: mqtt, broker: home}]\n"
    text = f"brokers: {{home: {{url: x}}, other: {{url: mqtt://h}}}}\n{GOOD}  t:\n{STREAM}{sinks}  u:\n{STREAM}{sinks}"
    loaded = load_text(text)
    assert (set(loaded.streams), set(loaded.broken), set(loaded.brokers)) == ({"s"}, {"t", "u"}, {"other"})
    assert [problem.key for problem in loaded.problems] == ["brokers.home.url"]


def test_a_broker_written_twice_breaks_the_streams_that_use_it(load_text: Load) -> None:
    text = f"brokers:\n  home: {{url: mqtt://h}}\n  home: {{url: mqtt://i}}\n{GOOD}  t:\n{STREAM}"
    loaded = load_text(text + "    sinks: [{type: mqtt, broker: home}]\n")
    assert (set(loaded.streams), set(loaded.broken), loaded.brokers) == ({"s"}, {"t"}, {})


def test_a_name_that_could_not_stand_in_a_topic_is_told(load_text: Load) -> None:
    loaded = load_text(f"brokers: {{'a b': {{url: mqtt://h}}}}\n{GOOD}")
    assert ["a name is 1 to 63 letters" in problem.message for problem in loaded.problems] == [True]
    assert loaded.brokers == {}


def test_streams_d_may_hold_brokers(load_text: Load) -> None:
    more = {"a.yaml": f"brokers: {{home: {{url: mqtt://h}}}}\nstreams:\n  t:\n{STREAM}"}
    sinks = "    sinks: [{type: mqtt, broker: home}]\n"
    loaded = load_text(GOOD + sinks, more=more)
    assert (loaded.problems, set(loaded.brokers), set(loaded.brokers_used)) == ((), {"home"}, {"home"})


def test_brokers_used_are_those_of_enabled_streams(load_text: Load) -> None:
    text = "brokers: {a: {url: mqtt://a}, b: {url: mqtt://b}, c: {url: mqtt://c}}\n" + GOOD
    text += "    sinks: [{type: mqtt, broker: a}]\n" + f"  off:\n    enabled: false\n{STREAM}"
    loaded = load_text(text + "    sinks: [{type: mqtt, broker: b}]\n")
    assert (set(loaded.brokers), set(loaded.brokers_used)) == ({"a", "b", "c"}, {"a"})


@pytest.mark.parametrize(
    ("one", "other"),
    [("mqtt://h", "mqtt://H:1883"), ("ws://h/a", "ws://h:80/b"), ("mqtts://h", "mqtts://h, client_id: overshootd-pi")],
)
def test_two_brokers_that_are_one_client_of_one_broker_are_told(load_text: Load, one: str, other: str) -> None:
    loaded = load_text(f"device: {{name: pi}}\nbrokers:\n  a: {{url: '{one}'}}\n  b: {{url: {other}}}\n{GOOD}")
    assert ["b and a are one client of one broker" in problem.message for problem in loaded.problems] == [True]
    assert set(loaded.brokers) == {"a"}


@pytest.mark.parametrize("other", ["mqtt://h:1884", "mqtt://i", "mqtt://h, client_id: x", "mqtts://h"])
def test_two_clients_or_two_brokers_are_fine(load_text: Load, other: str) -> None:
    assert load_text(f"brokers:\n  a: {{url: 'mqtt://h'}}\n  b: {{url: {other}}}\n{GOOD}").problems == ()


def test_a_password_is_read_masked_and_found_from_any_directory(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "word").write_text("hunter2\n")
    loaded = load_text(brokers(f"{{url: '{URL}', username: u, password: {{file: word}}}}"))
    assert (loaded.problems, Secret("hunter2") in loaded.secrets) == ((), True)
    assert loaded.brokers["home"].password == SecretRef(file=f"{tmp_path}/word")


def test_mqtt_5_takes_a_password_without_a_username(load_text: Load) -> None:
    text = brokers(f"{{url: '{URL}', version: 5, password: {{env: P}}}}")
    assert load_text(text, {**KEY, "P": "x"}).problems == ()


SAID = "is not encrypted, so the password can be read on the way to the broker; where that has TLS, write"
LOGIN = "username: u, password: {env: P}"


@pytest.mark.parametrize(
    ("home", "said"),
    [
        (f"{{url: 'mqtt://broker.lan', {LOGIN}}}", f"mqtt:// {SAID} mqtts:// and its port (8883 as a rule)"),
        (f"{{url: 'mqtt://192.168.1.2:1883', {LOGIN}}}", f"mqtt:// {SAID} mqtts://"),
        (f"{{url: 'mqtt://localhost.lan', {LOGIN}}}", f"mqtt:// {SAID} mqtts://"),
        (f"{{url: 'mqtt://[fe80::1%eth0]', {LOGIN}}}", f"mqtt:// {SAID} mqtts://"),
        (f"{{url: 'ws://broker.lan/mqtt', {LOGIN}}}", f"ws:// {SAID} wss:// and its port (443 as a rule)"),
        ("{url: 'mqtt://h', username: u}", "mqtt:// is not encrypted, so the username can be read"),
    ],
)
def test_a_login_that_others_can_read_is_warned_of_in_one_line(load_text: Load, home: str, said: str) -> None:
    loaded = load_text(brokers(home), {**KEY, "P": "hunter2"})
    assert [(warning.key, said in warning.message) for warning in loaded.warnings] == [("brokers.home.url", True)]
    assert (loaded.problems, set(loaded.brokers)) == ((), {"home"})


@pytest.mark.parametrize(
    "home",
    [
        *(f"{{url: '{scheme}://broker.lan', {LOGIN}}}" for scheme in ("mqtts", "wss")),
        *(f"{{url: 'mqtt://{host}', {LOGIN}}}" for host in ("localhost", "LOCALHOST:1883", "mq.localhost")),
        *(f"{{url: 'mqtt://{host}', {LOGIN}}}" for host in ("127.0.0.1", "127.8.8.8:1", "[::1]")),
        "{url: 'mqtt://broker.lan'}",
    ],
)
def test_a_login_that_nobody_can_read_is_none_to_warn_of(load_text: Load, home: str) -> None:
    loaded = load_text(brokers(home), {**KEY, "P": "hunter2"})
    assert (loaded.problems, loaded.warnings) == ((), ())


@pytest.mark.parametrize(("password", "keys"), [("abc", ["brokers.home.password"]), ("abcd", [])])
def test_a_password_too_short_to_be_masked_is_warned_of(load_text: Load, password: str, keys: list[str]) -> None:
    loaded = load_text(brokers(f"{{url: '{URL}', {LOGIN}}}"), {**KEY, "P": password})
    assert [warning.key for warning in loaded.warnings] == keys
    assert (loaded.problems, "abc" in str(loaded.warnings)) == ((), False)


def test_a_url_that_is_wrong_is_not_warned_of_too(load_text: Load) -> None:
    loaded = load_text(brokers(f"{{url: 'mqtt://h/path', {LOGIN}}}"), {**KEY, "P": "hunter2"})
    assert (len(loaded.problems), loaded.warnings) == (1, ())


def test_a_password_in_a_url_is_masked_although_it_is_refused(load_text: Load) -> None:
    assert Secret("hunter2") in load_text(brokers("{url: 'mqtt://u:hunter2@h'}")).secrets


def test_whoever_never_asks_a_broker_needs_no_secret(load_text: Load, tmp_path: Path) -> None:
    load_text(brokers(f"{{url: '{URL}', username: u, password: {{file: /none}}, tls: {{ca_file: /none}}}}"))
    loaded = load(tmp_path, {}, api_keys=False)
    assert (loaded.problems, set(loaded.brokers)) == ((), {"home"})
