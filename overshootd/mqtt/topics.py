"""The names of all topics of one device at one broker. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from overshootd.config.brokers import Command as Verb

Leaf = Literal["availability", "last", "prompt", "pause"]
"""What is retained of each stream."""

LEAVES: tuple[Leaf, ...] = get_args(Leaf)
VERBS: tuple[Verb, ...] = get_args(Verb)


class Command(NamedTuple):
    """Which stream is told, and what."""

    stream: str
    verb: Verb


@dataclass(frozen=True, slots=True)
class Topics:
    """`base` is the broker's `base_topic`. Names of devices and streams have no slash in them (config.model.NAME)."""

    base: str
    device: str

    @property
    def root(self) -> str:
        return f"{self.base}/{self.device}"

    @property
    def state(self) -> str:
        """`online` from each connection on, `offline` by our will; retained."""
        return f"{self.root}/state"

    @property
    def status(self) -> str:
        """What all the streams and the device do, a JSON object; retained."""
        return f"{self.root}/status"

    def of(self, stream: str, leaf: Leaf) -> str:
        """What is retained of a stream."""
        return f"{self.root}/{stream}/{leaf}"

    def availability(self, stream: str) -> str:
        """`online` while the stream gives results, else `offline`; retained."""
        return self.of(stream, "availability")

    def command(self, stream: str, verb: Verb) -> str:
        """Where a stream is told something. With `+` for the stream it is the filter of all of them."""
        return f"{self.root}/{stream}/{verb}/set"

    def commanded(self, topic: str) -> Command | None:
        """What a message at `topic` commands, None when nothing."""
        match self._below(topic):
            case [stream, verb, "set"] if stream:
                return next((Command(stream, known) for known in VERBS if known == verb), None)
        return None

    def stream_of(self, topic: str, leaf: Leaf) -> str | None:
        """Whose `leaf` this topic is, None when it is another topic."""
        match self._below(topic):
            case [stream, last] if stream and last == leaf:
                return stream
        return None

    def filled(self, template: str, stream: str) -> str:
        """A sink's topic with its names filled in; everything else in it is meant as it stands."""
        names = {"base_topic": self.base, "device": self.device, "stream": stream}
        return re.sub(r"\{(base_topic|device|stream)\}", lambda found: names[found[1]], template)

    def _below(self, topic: str) -> list[str]:
        """The levels below our root; none when it is elsewhere."""
        return topic.removeprefix(f"{self.root}/").split("/") if topic.startswith(f"{self.root}/") else []
