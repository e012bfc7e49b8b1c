"""Which older files go when there is too little room."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from overshootd.sinks.archives import Older
from overshootd.sinks.space import to_delete

TOTAL = 10_000


def older(stamp: str, size: int = 10, mark: int = 100, path: str = "/results/yard.jsonl") -> Older:
    return Older(stamp, Path(path), (f"{Path(path).name}-{stamp}",), size, mark)


files = st.lists(
    st.builds(
        older,
        st.integers(0, 20).map("{:02}".format),
        st.integers(0, 60),
        st.sampled_from([0, 100, 200]),
        st.sampled_from(["/a", "/b", "/c"]),
    ),
    unique_by=lambda one: (one.stamp, one.path),
    max_size=20,
)


@settings(deadline=None)
@given(files=files, free=st.integers(0, 250))
def test_each_goes_only_while_its_mark_is_not_reached_and_none_is_left_below_its_mark(
    files: list[Older], free: int
) -> None:
    going = to_delete(files, free, TOTAL)
    left = free
    for one in going:
        assert left < one.mark
        left += one.size
    assert all(left >= one.mark for one in files if one not in going)


@settings(deadline=None)
@given(files=files, free=st.integers(0, 250))
def test_the_oldest_of_all_go_first(files: list[Older], free: int) -> None:
    going = to_delete(files, free, TOTAL)
    assert [one.stamp for one in going] == sorted(one.stamp for one in going)
    for kept in (one for one in files if one not in going):
        assert not any(one.stamp > kept.stamp and one.mark <= kept.mark for one in going)


@settings(deadline=None)
@given(files=files, free=st.integers(0, 250))
def test_without_a_mark_nothing_goes(files: list[Older], free: int) -> None:
    assert not [one for one in to_delete(files, free, TOTAL) if not one.mark]


def test_a_mark_that_a_small_filesystem_cannot_reach_is_half_of_it() -> None:
    assert to_delete([older("1"), older("2")], free=40, total=100) == [older("1")]
    assert to_delete([older("1"), older("2")], free=50, total=100) == []
