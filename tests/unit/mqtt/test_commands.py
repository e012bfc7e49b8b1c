"""What is obeyed of what a broker says, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.config.brokers import Command as Verb
from overshootd.mqtt.commands import COMPLAINTS, LONGEST_PROMPT, Commands, NotMeant, read_pause, read_prompt
from overshootd.mqtt.topics import VERBS, Topics
from tests.remembering import RememberingLog
from tests.unit.mqtt.fakes import Broker, Streams

OURS = Topics("overshootd", "gate-pi")


class Commanded:
    """Commands at a broker of its own, all allowed, and what came of them."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.streams = Streams("yard", "front-door")
        self.log = RememberingLog()
        self.done = 0
        Commands(self.broker, OURS, VERBS, self.streams, self._count, self.log)

    def hear(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        verb: Verb = "prompt" if "/prompt/" in topic else "pause"
        self.broker.handlers[OURS.command("+", verb)](topic, payload, retained)

    def _count(self) -> None:
        self.done += 1


@pytest.mark.parametrize("word", [b"ON", b"on", b"true", b"True", b"1", b" ON\n"])
def test_a_stream_is_paused_by_each_of_these(word: bytes) -> None:
    assert read_pause(word) is True


@pytest.mark.parametrize("word", [b"OFF", b"false", b"0"])
def test_a_stream_is_resumed_by_each_of_these(word: bytes) -> None:
    assert read_pause(word) is False


@given(st.binary().filter(lambda word: word.strip().lower() not in (b"on", b"off", b"true", b"false", b"1", b"0")))
def test_any_other_word_pauses_nothing(word: bytes) -> None:
    with pytest.raises(NotMeant):
        read_pause(word)


@given(st.text(min_size=1, max_size=LONGEST_PROMPT).filter(str.strip))
def test_any_text_is_a_prompt(text: str) -> None:
    assert read_prompt(text.encode()) == text.strip()


@pytest.mark.parametrize(
    "payload",
    [b"", b" \n", b"\xff\xfe", b"x" * (LONGEST_PROMPT + 1), "€".encode() * (LONGEST_PROMPT + 1), b"x" * 10_000_000],
    ids=["empty", "blank", "no-text", "too-long", "too-long-in-bytes", "endless"],
)
def test_what_nobody_can_be_asked_is_no_prompt(payload: bytes) -> None:
    with pytest.raises(NotMeant):
        read_prompt(payload)


def test_only_what_is_allowed_is_heard() -> None:
    broker = Broker()
    allowed: tuple[Verb, ...] = ("pause",)
    Commands(broker, OURS, allowed, Streams(), lambda: None, RememberingLog())
    assert list(broker.handlers) == ["overshootd/gate-pi/+/pause/set"]


def test_a_stream_gets_another_prompt_and_that_is_told() -> None:
    made = Commanded()
    made.hear(OURS.command("yard", "prompt"), "Ist jemand an der Tür?".encode())
    assert made.streams.prompts == {"yard": "Ist jemand an der Tür?", "front-door": "Is anyone there?"}
    assert made.done == 1
    assert made.log.lines == ["commanded: another prompt"]


def test_a_stream_is_paused_and_resumed() -> None:
    made = Commanded()
    made.hear(OURS.command("yard", "pause"), b"ON")
    assert made.streams.pauses == {"yard": True, "front-door": False}
    made.hear(OURS.command("yard", "pause"), b"off")
    assert not made.streams.pauses["yard"]
    assert made.done == 2


def test_what_is_retained_is_not_obeyed_and_that_is_said_once() -> None:
    made = Commanded()
    for _ in range(3):
        made.hear(OURS.command("yard", "pause"), b"ON", retained=True)
    assert not made.streams.pauses["yard"]
    assert made.log.lines == [
        "commanded what cannot be obeyed: a command that is retained is ignored; publish it without `retain`, and "
        "remove this one by an empty message that is retained (mosquitto_pub -r -n)"
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_what_removes_a_retained_command_is_none(verb: Verb) -> None:
    made = Commanded()
    made.hear(OURS.command("yard", verb), b"")
    assert (made.log.lines, made.done) == ([], 0)


def test_a_stream_that_is_not_there_is_named_once() -> None:
    made = Commanded()
    for _ in range(3):
        made.hear(OURS.command("cellar", "pause"), b"ON")
    assert made.log.lines == ["commanded what cannot be obeyed: no stream 'cellar' runs here"]


def test_whoever_writes_nonsense_without_end_does_not_fill_the_log() -> None:
    made = Commanded()
    for number in range(10 * COMPLAINTS):
        made.hear(OURS.command(f"cellar-{number}", "pause"), b"ON")
    assert len(made.log.lines) == COMPLAINTS


@given(st.text(), st.binary(max_size=50), st.booleans())
def test_nothing_that_is_heard_raises(topic: str, payload: bytes, retained: bool) -> None:
    made = Commanded()
    for where in (topic, OURS.command(topic, "pause"), OURS.command("yard", "prompt")):
        made.hear(where, payload, retained=retained)
