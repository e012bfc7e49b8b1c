"""Text that is no YAML, or not the YAML that it seems to be."""

import time
from itertools import pairwise

import pytest

from overshootd.config.parse import parse
from overshootd.config.problem import Problem


def problems(text: str) -> list[str]:
    return [str(problem) for problem in parse(text, "f")[1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n\tb: 1\n", "f:2:1: a tab"),
        ("a:\n  b: 1\n \tc: 2\n", "f:3:2: a tab"),
        ("a:\tb\n", "f:1:3: a tab"),
        ("", "f:1:1: the file is empty"),
        ("# nothing\n", "f:1:1: the file is empty"),
        ("- a\n", "f:1:1: expected lines of `key: value`"),
        ("just words\n", "f:1:1: expected lines of `key: value`"),
        ("a: {b: 1\nc: 2\n", "f:1:4: a ',' or the closing } is missing"),
        ("a: [1, 2\nb: 3\n", "f:1:4: a ',' or the closing ] is missing"),
        ('a: {b: "x" c: 2}\n', "f:1:12: a ',' or the closing } is missing"),
        ("a: {prompt: Who?}\n", "f:1:16: text with a ? in it needs quotes"),
        ("a: 'x\nb: c\n", "f:1:4: a quote that begins here is not closed"),
        ("a: b: c\n", "f:1:5: a `key:` does not fit here"),
        ("a: 1\nfoo\nb: 2\n", "f:3:1: the line before this one is no `key: value`"),
        ("a:\n    b: 1\n  c: 2\n", "f:3:3: the indentation fits no line above"),
        ("a: - b\n", "f:1:4: a list begins on a line of its own"),
        ("a: *x\n", "f:1:4: an alias (*name) whose anchor"),
        ("a: &x 1\nb: &x 2\nc: *x\n", "f:2:4: an anchor (&name) of this name"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document"),
        ("a: @x\n", "f:1:4: text cannot begin with this character"),
        ("{a: 1}}\n", "f:1:7: nothing can follow here"),
        ('a: "\\q"\n', "f:1:6: no such escape"),
        ("a\x00b\n", "f:1:2: a control character"),
        ("x: 1\na: b\x07c\n", "f:2:5: a control character"),
        ("[" * 500, "f:1:65: nested too deep"),
        ("a: &a [*a]\n", "f:1:4: a.0: an alias here contains itself"),
        ("? [a, b]\n: c\n", "f:1:3: a key is a plain word"),
        ("a: !!python/object:os.system x\n", "f:1:4: a: YAML tags"),
        ("a: !secret x\n", "f:1:4: a: YAML tags"),
        ("a: !!int x\n", "f:1:4: a: this number"),
        (f"a: {'9' * 5000}\n", "f:1:4: a: this number is too large"),
        ('a: "\\ud800"\n', "f:1:4: a: half a character"),
        ('"\\ud800": 1\n', "f:1:1: half a character"),
        ("a: 1\nb: 2\na: 3\n", "f:3:1: a: is already at line 1"),
        ("a: {<<: 3}\n", "f:1:9: a.<<: expected an alias of a mapping"),
    ],
)
def test_what_is_wrong_is_said_once_and_where(text: str, said: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert found[0].startswith(said)


@pytest.mark.parametrize(
    "secret", ["*hunter2", "!hunter2", "&hunter2", "@hunter2", "{hunter2", "a: hunter2: b", "'hunter2"]
)
def test_no_message_repeats_the_text_since_it_may_be_a_password(secret: str) -> None:
    assert "hunter2" not in "".join(problems(f"password: {secret}\nx: 1\n"))


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "y", "1:30", "1_000", "2024-01-01", "0b1", "="])
def test_what_yaml_1_1_made_of_words_stays_text(word: str) -> None:
    root, _ = parse(f"a: {word}\n", "f")
    assert root is not None
    assert root.plain() == {"a": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10), ("0o17", 15), ("0x1F", 31), ("-3", -3), ("1e3", 1000.0), (".5", 0.5), ("2.", 2.0),
        ("true", True), ("FALSE", False), ("~", None), ("", None), ("'1'", "1"), ("!!str 1", "1"), ("!!float 1", 1.0),
    ],
)  # fmt: skip
def test_scalars_are_those_of_the_yaml_1_2_core_schema(text: str, value: object) -> None:
    root, wrong = parse(f"a: {text}\n", "f")
    assert root is not None
    assert (root.plain()["a"], type(root.plain()["a"]), wrong) == (value, type(value), [])


def test_keys_are_text_whatever_they_look_like() -> None:
    root, _ = parse("no: 1\n1: 2\n", "f")
    assert root is not None
    assert root.plain() == {"no": 1, "1": 2}


def test_values_know_their_place_and_their_keys() -> None:
    root, _ = parse("a:\n  - {b: 75}\n", "f")
    assert root is not None
    node = root.map["a"].items[0].map["b"]
    assert node.problem("x") == Problem("f", 2, 9, "a.0.b", "x")
    assert node.key_problem("x") == Problem("f", 2, 6, "a.0.b", "x")


def test_merge_keys_fill_in_and_the_first_of_several_wins() -> None:
    root, wrong = parse("x-a: &a {k: 1, l: 1}\nx-b: &b {k: 2, m: 2}\nc: {<<: [*a, *b], l: 3}\n", "f")
    assert root is not None
    assert (root.plain(), wrong) == ({"c": {"k": 1, "l": 3, "m": 2}}, [])


def test_keys_that_begin_with_x_are_ignored_but_for_those_of_an_output_schema() -> None:
    root, _ = parse("x-a: 1\nb: {x-c: 2, output_schema_json: {properties: {x-pos: {}}}}\n", "f")
    assert root is not None
    assert root.plain() == {"b": {"output_schema_json": {"properties": {"x-pos": {}}}}}


def test_aliases_that_expand_to_megabytes_are_refused_in_no_time() -> None:
    names = "abcdefghij"
    levels = [f"{new}: &{new} [{', '.join(['*' + old] * 9)}]" for old, new in pairwise(names)]
    begun = time.monotonic()
    found = problems("\n".join(["a: &a [x, x, x, x, x, x, x, x, x]", *levels]))
    assert len(found) == 1
    assert "aliases of this file expand" in found[0]
    assert time.monotonic() - begun < 30  # it would be hours


def test_one_long_text_repeated_by_aliases_is_refused_too() -> None:
    assert "aliases of this file expand" in problems(f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 100)}]\n")[0]


def test_a_file_without_aliases_may_be_long() -> None:
    assert problems("a:\n" + "- 1\n" * 10_000) == []
