"""The merging law: what stands over wins, maps merge, lists append."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.config.parse import parse
from overshootd.config.problem import Mark
from overshootd.config.tree import Node, merge


def tree(value: Any, path: tuple[str | int, ...] = ("x",)) -> Node:
    match value:
        case dict():
            value = {key: tree(child, (*path, key)) for key, child in value.items()}
        case list():
            value = tuple(tree(child, (*path, i)) for i, child in enumerate(value))
    return Node(value, Mark("f"), path)


def merged(under: Any, over: Any) -> Any:
    return merge(tree(under), tree(over)).plain()


values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=8,
)
maps = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


def law(under: Any, over: Any) -> Any:
    """What merging means, written plainly."""
    if isinstance(under, dict) and isinstance(over, dict):
        both = {key: law(under[key], over[key]) for key in under.keys() & over.keys()}
        return {**under, **over, **both}
    return under + over if isinstance(under, list) and isinstance(over, list) else over


@given(maps, maps)
def test_maps_merge_lists_append_and_all_else_is_replaced(under: Any, over: Any) -> None:
    assert merged(under, over) == law(under, over)


@given(maps)
def test_no_defaults_change_nothing(over: Any) -> None:
    assert merged({}, over) == over


@pytest.mark.parametrize(
    ("under", "over"),
    [
        ({"type": "test", "fps": 5}, {"type": "file", "path": "x"}),
        ({"interval_seconds": 2}, {"clip_length_seconds": 1, "delay_seconds": 1}),
        ({"target_fps": 6, "clip_length_seconds": 1, "delay_seconds": 1}, {"interval_seconds": 2}),
    ],
)
def test_alternatives_do_not_mix(under: Any, over: Any) -> None:
    assert merged(under, over) == over


def test_the_same_kind_merges() -> None:
    assert merged({"type": "test", "fps": 5}, {"type": "test", "width": 2}) == {"type": "test", "fps": 5, "width": 2}
    assert merged({"target_fps": 6, "delay_seconds": 1}, {"delay_seconds": 2}) == {"target_fps": 6, "delay_seconds": 2}


@pytest.mark.parametrize("key", ["key", "output_schema_json"])
def test_a_secret_and_an_output_schema_are_taken_whole(key: str) -> None:
    assert merged({key: {"file": "x"}}, {key: {"env": "Y"}}) == {key: {"env": "Y"}}


def test_merging_keeps_each_value_s_own_place() -> None:
    root, _ = parse("under: {a: 1, l: [1]}\nover: {b: 2, l: [2]}\n", "f")
    assert root is not None
    node = merge(root.map["under"], root.map["over"])
    assert [node.map[key].path for key in "ab"] == [("under", "a"), ("over", "b")]
    assert [item.path for item in node.map["l"].items] == [("under", "l", 0), ("over", "l", 0)]
