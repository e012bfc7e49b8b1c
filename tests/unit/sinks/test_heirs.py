"""Which new sink goes on where an old one stopped."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from overshootd.sinks.heirs import heirs

FILE, MOVED = "file:/var/a.jsonl", "file:/mnt/a.jsonl"
TOPIC, RENAMED = "mqtt:home:old/result", "mqtt:home:new/result"
HOOK = "webhook:https://example.com/hook"

NAMES = st.sets(st.sampled_from([f"{kind}:{place}" for kind in ("file", "mqtt", "webhook") for place in "abc"]))


def test_a_file_with_another_path_goes_on_where_the_old_one_stopped() -> None:
    assert heirs([FILE, TOPIC], [MOVED, TOPIC]) == {MOVED: FILE}


def test_several_kinds_may_move_at_once() -> None:
    assert heirs([FILE, TOPIC], [RENAMED, MOVED]) == {MOVED: FILE, RENAMED: TOPIC}


def test_another_broker_counts_as_another_topic_does() -> None:
    assert heirs([TOPIC], ["mqtt:away:old/result"]) == {"mqtt:away:old/result": TOPIC}


def test_a_sink_of_another_kind_takes_nothing_over() -> None:
    assert heirs([FILE], [TOPIC]) == {}


def test_a_sink_that_is_only_new_takes_nothing_over() -> None:
    assert heirs([FILE], [FILE, MOVED]) == {}


def test_a_sink_that_is_only_gone_leaves_its_place_to_nobody() -> None:
    assert heirs([FILE, MOVED, HOOK], [FILE, HOOK]) == {}


def test_of_two_that_are_gone_nobody_knows_which_moved() -> None:
    assert heirs([FILE, "file:/var/b.jsonl"], [MOVED]) == {}


def test_of_two_that_are_new_nobody_knows_which_was_moved_to() -> None:
    assert heirs([FILE], [MOVED, "file:/mnt/b.jsonl"]) == {}


@given(NAMES, NAMES)
def test_an_heir_is_new_and_of_the_kind_of_one_that_is_gone_and_inherits_alone(
    before: Collection[str], now: Collection[str]
) -> None:
    found = heirs(before, now)
    assert found.keys() <= set(now) - set(before)
    assert set(found.values()) <= set(before) - set(now)
    assert len(set(found.values())) == len(found)
    assert all(new.partition(":")[0] == old.partition(":")[0] for new, old in found.items())
