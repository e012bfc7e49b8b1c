"""The order in which tests are begun."""

from __future__ import annotations

from pathlib import Path

from tests.longest import LONGEST, turn

ROOT = Path(__file__).parents[2]


def test_the_longest_files_come_first_in_their_order_and_the_others_stay_as_they_are() -> None:
    others = ["tests/unit/test_one.py::test_b", "tests/unit/test_one.py::test_a[x::y]"]
    longest = [f"{file}::test_it" for file in LONGEST]
    assert sorted([*others, *reversed(longest)], key=turn) == [*longest, *others]


def test_each_of_them_is_there() -> None:
    assert [file for file in LONGEST if not (ROOT / file).is_file()] == []
