"""A broker that only notes what is said to it, and streams that only note what they are told."""

from __future__ import annotations

from collections.abc import Sequence

from overshootd.contracts import Message
from overshootd.errors import OvershootdError
from overshootd.mqtt.listening import Handler


class Broker:
    def __init__(self) -> None:
        self.name = "home"
        self.handlers: dict[str, Handler] = {}
        self.kept: list[tuple[str, bytes]] = []
        """What was sent, in order."""

    async def publish(self, messages: Sequence[Message], *, backlog: bool = False) -> None:
        raise NotImplementedError

    def keep(self, topic: str, payload: bytes) -> None:
        if self.newest(topic) != payload:
            self.kept.append((topic, payload))

    def again(self, topic: str) -> None:
        self.kept.append((topic, dict(self.kept)[topic]))

    def subscribe(self, topic_filter: str, handler: Handler, /) -> None:
        assert topic_filter not in self.handlers
        self.handlers[topic_filter] = handler

    def newest(self, topic: str) -> bytes | None:
        return dict(self.kept).get(topic)


class Streams:
    """Satisfies contracts.Controls."""

    def __init__(self, *names: str) -> None:
        self.prompts = dict.fromkeys(names, "Is anyone there?")
        self.pauses = dict.fromkeys(names, False)

    def set_prompt(self, stream: str, prompt: str) -> None:
        self.prompt(stream)
        self.prompts[stream] = prompt

    def set_paused(self, stream: str, paused: bool) -> None:
        self.prompt(stream)
        self.pauses[stream] = paused

    def prompt(self, stream: str) -> str:
        if stream not in self.prompts:
            raise OvershootdError(f"no stream {stream!r} runs here")
        return self.prompts[stream]

    def paused(self, stream: str) -> bool:
        self.prompt(stream)
        return self.pauses[stream]
