"""Where a sink may publish: what fills in a topic, and which topics are spoken for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from overshootd.config.problem import Problem
from overshootd.config.rules import placeholder_problems
from overshootd.config.tree import Node

MAX_TOPIC_BYTES = 65_535
"""MQTT 3.1.1, 4.7.3."""

DEVICE_LEAVES = ("state", "status")
STREAM_LEAVES = ("availability", "prompt", "pause", "prompt/set", "pause/set")
"""What the daemon itself keeps, or listens to, below {base_topic}/{device} and that of each stream."""

LAST = "last"
"""Its newest result besides: a sink's `last_topic`, and what Home Assistant reads."""


@dataclass(frozen=True, slots=True)
class Places:
    """What is spoken for at one broker; `prefix` is Home Assistant's, None where it does not discover anything."""

    base_topic: str
    device: str
    prefix: str | None

    def names(self, stream: str) -> Mapping[str, str]:
        """What fills in the topics of this stream's sinks."""
        return {"base_topic": self.base_topic, "device": self.device, "stream": stream}

    def taken_by(self, topic: str, leaves: Collection[str]) -> str | None:
        """Who speaks at this topic already; `leaves` are those of streams."""
        if self.prefix and (topic == f"{self.prefix}/status" or topic.startswith(f"{self.prefix}/device/")):
            return "Home Assistant"
        root = f"{self.base_topic}/{self.device}/"
        below = topic.removeprefix(root) if topic.startswith(root) else ""
        ours = below in DEVICE_LEAVES or below.partition("/")[2] in leaves
        return "overshootd itself" if ours else None


def filled(topic: Node, names: Mapping[str, str]) -> Node:
    """With the names in their places."""
    if not isinstance(topic.value, str):
        return topic
    text = topic.value
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return replace(topic, value=text)


def topic_problems(sink: Node, places: Places, stream: str) -> Iterator[Problem]:
    """What is wrong with the topics of a sink that is filled in."""
    topic, last = sink.get("topic"), sink.get("last_topic")
    for node, leaves in ((topic, (*STREAM_LEAVES, LAST)), (last, STREAM_LEAVES)):
        if node is not None and isinstance(node.value, str):
            yield from _of_one(node, node.value, places, stream, leaves)
    if topic and last and last.value and topic.value == last.value:
        at = last if last.path[-1] == "last_topic" else topic
        yield at.problem("topic and last_topic are the same, and only one of them is retained; give each its own")


def _of_one(node: Node, text: str, places: Places, stream: str, leaves: Collection[str]) -> Iterator[Problem]:
    wrong = list(placeholder_problems(node, places.names(stream)))
    if wrong:
        yield from wrong
    elif len(text.encode()) > MAX_TOPIC_BYTES:
        yield node.problem(f"is longer than the {MAX_TOPIC_BYTES} bytes that MQTT allows a topic")
    elif text.startswith(("$SYS/", "$share/")):
        yield node.problem("begins with what brokers keep to themselves; give another topic")
    elif who := places.taken_by(text, leaves):
        yield node.problem(
            f"is where {who} speaks or listens; the usual topic is {{base_topic}}/{{device}}/{{stream}}/result"
        )
