"""The newest lines, against the list of all."""

from hypothesis import given
from hypothesis import strategies as st

from overshootd.sinks.pace import BATCH_BYTES, BATCH_ROWS
from overshootd.sinks.recent import Recent

SEQS = 40
"""Few, so that what is asked for is often there, and near a number that is missing."""

steps = st.lists(st.tuples(st.sampled_from([1, 1, 1, 1, 2]), st.sampled_from([10, 100_000])), max_size=SEQS)


@given(steps, st.integers(0, SEQS), st.integers(0, 2 * SEQS), st.integers(1, SEQS))
def test_what_is_read_is_what_came_in_order_without_a_gap(
    steps: list[tuple[int, int]], after: int, upto: int, rows: int
) -> None:
    lines, kept, seq = dict[int, bytes](), Recent(), 0
    for step, size in steps:
        seq += step
        lines[seq] = b"x" * size
        kept.came(seq, lines[seq])
    found = kept.read(after, upto, rows)
    if found is not None:
        assert found == [(seq, lines[seq]) for seq in range(after + 1, min(upto, after + rows, max(lines)) + 1)]
        assert found


@given(st.integers(1, 2000), st.integers(1, 3000))
def test_the_newest_are_there_and_no_more_than_may_be(count: int, size: int) -> None:
    kept = Recent()
    for seq in range(1, count + 1):
        kept.came(seq, b"x" * size)
    last = min(count, BATCH_ROWS, BATCH_BYTES // size)
    assert kept.read(count - last, count, count) == [(seq, b"x" * size) for seq in range(count - last + 1, count + 1)]
    assert kept.read(count - last - 1, count, count) is None


def test_a_line_that_is_larger_than_all_that_is_kept_is_there_by_itself() -> None:
    kept = Recent()
    kept.came(1, b"small")
    kept.came(2, b"x" * (BATCH_BYTES + 1))
    assert kept.read(0, 2, 2) is None
    assert kept.read(1, 2, 2) == [(2, b"x" * (BATCH_BYTES + 1))]


def test_what_came_before_a_missing_number_is_not_there() -> None:
    kept = Recent()
    kept.came(1, b"before")
    kept.came(3, b"behind")
    assert kept.read(0, 3, 3) is None
    assert kept.read(1, 3, 3) is None
    assert kept.read(2, 3, 3) == [(3, b"behind")]
