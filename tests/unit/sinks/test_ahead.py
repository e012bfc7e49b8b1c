"""How much is allocated beyond the end of a file."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from overshootd.sinks.ahead import CHUNK, wanted

SIZES = st.integers(0, 10_000_000)
LINE = 682


@given(SIZES, SIZES, st.integers(1, 600_000), st.integers(1000, 20_000_000))
def test_it_holds_what_comes_and_never_more_than_a_chunk_beyond_or_than_the_file_may_have(
    size: int, allocated: int, more: int, limit: int
) -> None:
    length = wanted(size, allocated, more, limit)
    if length:
        assert more < length < more + CHUNK
        assert size + length <= limit


@given(SIZES, st.integers(1, 600_000))
def test_nothing_is_allocated_where_enough_is(size: int, more: int) -> None:
    assert wanted(size, size + more, more, 20_000_000) == 0


def test_a_file_of_many_lines_is_allocated_once_a_chunk() -> None:
    size = allocated = times = 0
    while size + LINE <= 10 * CHUNK:
        if length := wanted(size, allocated, LINE, 10 * CHUNK):
            allocated = size + length
            times += 1
        size += LINE
    assert times == 10


def test_a_line_that_is_longer_than_the_file_may_be_has_nothing_beyond_it() -> None:
    assert wanted(0, 0, 2000, 1000) == 0
