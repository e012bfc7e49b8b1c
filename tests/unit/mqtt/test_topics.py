"""The names of topics, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.config.brokers import Command as Verb
from overshootd.config.model import NAME
from overshootd.mqtt.topics import LEAVES, VERBS, Command, Leaf, Topics

names = st.from_regex(NAME, fullmatch=True)
bases = st.from_regex(r"\A[^+#\s]+\Z")
topics = st.builds(Topics, bases, names)

OURS = Topics("overshootd", "gate-pi")


def test_topics_are_named_as_documented() -> None:
    assert OURS.state == "overshootd/gate-pi/state"
    assert OURS.status == "overshootd/gate-pi/status"
    assert OURS.availability("front-door") == "overshootd/gate-pi/front-door/availability"
    assert OURS.command("front-door", "prompt") == "overshootd/gate-pi/front-door/prompt/set"
    assert OURS.command("+", "pause") == "overshootd/gate-pi/+/pause/set"


@given(topics, names, st.sampled_from(VERBS))
def test_a_command_is_read_as_it_was_addressed(ours: Topics, stream: str, verb: Verb) -> None:
    assert ours.commanded(ours.command(stream, verb)) == Command(stream, verb)


@given(topics, names, st.sampled_from(LEAVES))
def test_whose_topic_it_is_is_read_off_it(ours: Topics, stream: str, leaf: Leaf) -> None:
    assert ours.stream_of(ours.of(stream, leaf), leaf) == stream


@given(topics, names, names, st.sampled_from(LEAVES), st.sampled_from(LEAVES))
def test_no_two_topics_are_the_same(ours: Topics, one: str, other: str, leaf: Leaf, another: Leaf) -> None:
    assert (ours.of(one, leaf) == ours.of(other, another)) == ((one, leaf) == (other, another))
    assert ours.of(one, leaf) not in (ours.state, ours.status, ours.command(other, "prompt"))


@pytest.mark.parametrize(
    "topic",
    [
        "overshootd/gate-pi/front-door/prompt",
        "overshootd/gate-pi/front-door/prompt/set/more",
        "overshootd/gate-pi/front-door/delete/set",
        "overshootd/gate-pi//prompt/set",
        "overshootd/gate-pi/prompt/set",
        "overshootd/gate-pi2/front-door/prompt/set",
        "other/overshootd/gate-pi/front-door/prompt/set",
        "",
    ],
)
def test_other_topics_command_nothing(topic: str) -> None:
    assert OURS.commanded(topic) is None


@given(st.text())
def test_any_topic_can_be_read(topic: str) -> None:
    assert OURS.commanded(topic) is None or topic.startswith("overshootd/gate-pi/")
    assert OURS.stream_of(topic, "last") is None or topic.endswith("/last")


def test_only_the_names_of_a_template_are_filled_in() -> None:
    assert OURS.filled("{base_topic}/{device}/{stream}/last", "yard") == "overshootd/gate-pi/yard/last"
    assert OURS.filled("site/{other}/{stream}", "yard") == "site/{other}/yard"
    assert Topics("{stream}", "pi").filled("{base_topic}/{stream}", "yard") == "{stream}/yard"
