"""When a new file begins and what the older ones are called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from overshootd.sinks.rotation import next_stamp, plan, stamps

lines = st.lists(st.binary(max_size=60), max_size=30)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@settings(deadline=None)
@given(size=st.integers(0, 200), lines=lines, limit=st.integers(1, 200))
def test_lines_keep_their_order_and_no_file_exceeds_the_limit_by_more_than_one_line(
    size: int, lines: list[bytes], limit: int
) -> None:
    files = plan(size, lines, limit)
    assert [line for part in files for line in part] == lines
    for before, part in zip([size, *[0] * len(files)], files, strict=False):
        assert sum(len(line) + 1 for line in part) + before <= limit or (len(part) <= 1 and not (before and part))
    assert all(files[1:]), "a file is begun only for a line"


@settings(deadline=None)
@given(moments=st.lists(moments, max_size=20))
def test_names_sort_in_the_order_of_rotation_whatever_the_clock_does(moments: list[datetime]) -> None:
    taken: list[str] = []
    for moment in moments:
        taken.append(next_stamp(moment, taken))
    assert taken == sorted(set(taken))


def test_the_stamp_is_the_moment_in_utc() -> None:
    east = datetime.fromisoformat("2026-07-27T12:15:00+02:00")
    assert next_stamp(east, []) == "20260727T101500Z"
    assert next_stamp(east - timedelta(hours=1), ["20260727T101500Z"]) == "20260727T101501Z"


def test_only_the_files_own_older_files_are_taken_for_such() -> None:
    mine = ["a.jsonl-20260102T000000Z", "a.jsonl-20260101T000000Z", "a.jsonl-20260101T000000Z.gz"]
    others = [
        "a.jsonl",
        "b.jsonl-20260101T000000Z",
        "aXjsonl-20260101T000000Z",
        "a.jsonl-20260101T000000Z.bak",
        "a.jsonl-20269901T000000Z",
        "a.jsonl-20260101",
    ]
    assert stamps([*mine, *others], "a.jsonl") == {
        "20260101T000000Z": ["a.jsonl-20260101T000000Z", "a.jsonl-20260101T000000Z.gz"],
        "20260102T000000Z": ["a.jsonl-20260102T000000Z"],
    }
    assert list(stamps(mine, "a.jsonl")) == ["20260101T000000Z", "20260102T000000Z"]
