"""The sinks of one stream on their way from the tree to values: names filled in, secrets read, their rules kept."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from overshootd.config.broker_draft import BrokerDraft
from overshootd.config.credentials import ReadSecret, read_header, read_password
from overshootd.config.explain import not_known
from overshootd.config.head import anchored, key_at
from overshootd.config.login import secrets_in
from overshootd.config.problem import Problem
from overshootd.config.rules import absolute, is_loopback, parted, placeholder_problems
from overshootd.config.secret import Secret
from overshootd.config.sinks import MqttSink
from overshootd.config.topic_rules import Places, filled, topic_problems
from overshootd.config.tree import Node

PLACEHOLDERS = ("stream", "device")
TOPICS = ("topic", "last_topic")

OWN_HEADERS = ("content-length", "content-type", "host", "transfer-encoding", "connection")
"""Which the request has by itself, besides those of its signature (webhook-*)."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a sink stands. Without `environ` no secret is read."""

    stream: str
    device: str
    brokers: Mapping[str, BrokerDraft]
    environ: Mapping[str, str] | None


@dataclass(slots=True)
class SinkDraft:
    """`node` has its names filled in. `broker` is the name of one that exists, sound or not. `warnings` is what is odd
    and works all the same."""

    node: Node
    broker: str | None = None
    secrets: list[Secret] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def read(self, at: Node, environ: Mapping[str, str], how: ReadSecret) -> None:
        secret, problems = key_at(at, environ, how)
        self.problems += problems
        self.secrets += [secret] if secret else []


def read_sinks(sinks: Node | None, around: Surroundings) -> list[SinkDraft]:
    """The sinks as merged; one that a stream names twice is a mistake of the second."""
    drafts = [_read(sink, around) for sink in sinks.items] if sinks else []
    seen: set[Hashable] = set()
    for draft in drafts:
        place = _place(draft.node)
        if place is not None and place in seen:
            draft.problems.append(_doubled(draft.node))
        seen.add(place)
    return drafts


def _read(sink: Node, around: Surroundings) -> SinkDraft:
    match _word(sink.get("type")):
        case "file":
            return _file(sink, around)
        case "mqtt":
            return _mqtt(sink, around)
        case "webhook":
            return _webhook(sink, around)
    return SinkDraft(sink)


def _word(node: Node | None) -> str | None:
    return node.value if node and isinstance(node.value, str) else None


# -- a file ------------------------------------------------------------------------------------------------------------


def _file(sink: Node, around: Surroundings) -> SinkDraft:
    path = sink.get("path")
    if path is None or not isinstance(path.value, str) or not path.value:
        return SinkDraft(sink)
    text = path.value.replace("{stream}", around.stream).replace("{device}", around.device)
    text = absolute(text, path.mark.file)
    return SinkDraft(sink.having(path=replace(path, value=text)), problems=list(_path_problems(path, text)))


def _path_problems(path: Node, text: str) -> Iterator[Problem]:
    """`path` as it is written, `text` as it is then: the configuration's own directory may be called anything."""
    yield from placeholder_problems(path, PLACEHOLDERS)
    if os.path.isdir(text):
        yield path.problem(f"{text} is a directory; expected a file, such as {text.rstrip('/')}/{{stream}}.jsonl")


# -- a broker ----------------------------------------------------------------------------------------------------------


def _mqtt(sink: Node, around: Surroundings) -> SinkDraft:
    name = sink.get("broker")
    broker = around.brokers.get(name.value) if name and isinstance(name.value, str) else None
    topics = {
        key: sink.get(key) or replace(sink, value=str(MqttSink.model_fields[key].default), key_mark=None)
        for key in TOPICS
    }
    if broker is None:
        wrong = [name.problem(_no_broker(name.value, around.brokers))] if name and _word(name) else []
        return SinkDraft(sink, problems=wrong)
    assistant = broker.home_assistant
    places = Places(broker.base_topic, around.device, assistant.prefix if assistant else None)
    node = sink.having(**{key: filled(topic, places.names(around.stream)) for key, topic in topics.items()})
    problems = [*broker.problems, *topic_problems(node, places, around.stream)]
    return SinkDraft(node, broker=_word(name), problems=problems)


def _no_broker(name: object, brokers: Mapping[str, BrokerDraft]) -> str:
    if not brokers:
        return "no broker of this name; there is none under `brokers`"
    return not_known("broker under `brokers`", str(name), brokers)


# -- a webhook ---------------------------------------------------------------------------------------------------------


def _webhook(sink: Node, around: Surroundings) -> SinkDraft:
    draft = SinkDraft(sink)
    if (url := sink.get("url")) and isinstance(url.value, str):
        draft.secrets += secrets_in(url.value)
        draft.problems += _url_problems(url, url.value)
    if secret := sink.get("secret"):
        draft.node = draft.node.having(secret=anchored(secret))
        if around.environ is not None:
            draft.read(secret, around.environ, read_password)
    if headers := sink.get("headers"):
        draft.problems += _header_problems(headers)
        draft.node = draft.node.having(
            headers=headers.having(**{name: anchored(value) for name, value in headers.map.items()})
        )
        for value in headers.map.values() if around.environ is not None else ():
            draft.read(value, around.environ or {}, read_header)
    draft.warnings += _bare_headers(sink) if not draft.problems else ()
    return draft


def _url_problems(url: Node, text: str) -> Iterator[Problem]:
    """The URL is never repeated: it may hold a password."""
    if re.search(r"\s", text) or not text:
        return
    parts, usable = parted(text)
    if not usable or not text.startswith(("http://", "https://")):
        yield url.problem(
            "expected a URL that begins with https:// or http://, such as https://example.com/hooks/camera"
        )
    elif parts.username is not None or parts.password is not None:
        yield url.problem("a URL with a login in it; give headers: {Authorization: {file: PATH}} beside it")
    elif "{" in text or "}" in text:
        yield url.problem("nothing is filled in here, and braces stand in no URL; every record names its stream")
    elif parts.fragment:
        yield url.problem("what follows a # is never sent; remove it")


def _bare_headers(sink: Node) -> Iterator[Problem]:
    """Secrets that others can read on their way. No mistake: in a network of one's own it is common. What signs a
    record is never sent."""
    url, headers = sink.get("url"), sink.get("headers")
    if url is None or not headers or not headers.map or not str(url.value).startswith("http://"):
        return
    if not is_loopback(parted(str(url.value))[0].hostname or ""):
        yield url.problem(
            f"http:// is not encrypted, so the header {next(iter(headers.map))} can be read on the way; where the "
            "receiver has TLS, write https://"
        )


def _header_problems(headers: Node) -> Iterator[Problem]:
    seen: set[str] = set()
    for name, value in headers.map.items():
        word = name.lower()
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9a-z-]+", word):
            yield value.key_problem("no name of an HTTP header; it is letters, digits and '-'")
        elif word in OWN_HEADERS or word.startswith("webhook-"):
            yield value.key_problem(f"every request has its own {word}; remove it")
        elif word in seen:
            yield value.key_problem("is here twice; upper and lower case are the same in the name of a header")
        seen.add(word)


# -- one of them twice -------------------------------------------------------------------------------------------------

SAME = {
    "file": ("path", "this stream writes {} already"),
    "mqtt": ("topic", "this stream publishes to this topic already"),
    "webhook": ("url", "this stream sends there already"),
    "stdout": ("type", "this stream writes to the standard output already"),
}
"""By type, what two sinks of a stream may not share, and how it is told. Several streams may share a file: every record
names its stream."""


def _place(sink: Node) -> Hashable:
    """Where it leads; None where that is not known."""
    kind = _word(sink.get("type"))
    if kind not in SAME:
        return None
    where = _word(sink.get(SAME[kind][0]))
    if where is None:
        return None
    return (
        kind,
        _word(sink.get("broker")) if kind == "mqtt" else None,
        os.path.normpath(where) if kind == "file" else where,
    )


def _doubled(sink: Node) -> Problem:
    key, told = SAME[str(sink.map["type"].value)]
    return sink.map[key].problem(f"{told.format(sink.map[key].value)}; remove one of the two sinks")


def brokers_of(drafts: Sequence[SinkDraft]) -> frozenset[str]:
    """The names of the brokers that these publish to."""
    return frozenset(draft.broker for draft in drafts if draft.broker is not None)
