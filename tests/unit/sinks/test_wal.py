"""How much of a write-ahead log is whole, and how much behind that was written in vain."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.sinks.wal import FRAME, HEADER, MAGIC, Survey, checksum, survey

PAGE = 512
SIZE = FRAME.size + PAGE
SALTS = (0x12345678, 5678)


def log(frames: int, commits: set[int], *, big: bool = True, salts: tuple[int, int] = SALTS) -> bytes:
    """Frames from 1 on; those in `commits` end a transaction."""
    order = ">" if big else "<"
    head = struct.pack(">6I", MAGIC | big, 3007000, PAGE, 0, *salts)
    sums = checksum(head, (0, 0), order)
    data = head + struct.pack(">2I", *sums)
    for number in range(1, frames + 1):
        begin = struct.pack(">2I", number, number if number in commits else 0)
        page = bytes([number % 256]) * PAGE
        sums = checksum(page, checksum(begin, sums, order), order)
        data += begin + struct.pack(">4I", *salts, *sums) + page
    return data


def looked_at(data: bytes) -> Survey:
    return survey(io.BytesIO(data))


@pytest.mark.parametrize("big", [True, False])
def test_a_whole_log_ends_where_its_last_commit_does(big: bool) -> None:
    assert looked_at(log(6, {2, 6}, big=big)) == Survey(HEADER.size + 6 * SIZE, 0)


def test_frames_without_their_commit_are_cut_off() -> None:
    assert looked_at(log(6, {2, 4})) == Survey(HEADER.size + 4 * SIZE, 2 * SIZE)


@given(st.integers(0, HEADER.size + 6 * SIZE))
def test_a_torn_log_is_whole_to_the_last_commit_before_the_tear(length: int) -> None:
    found = looked_at(log(6, {2, 6})[:length])
    commits = [HEADER.size + frames * SIZE for frames in (0, 2, 6)]
    assert found.whole == max((end for end in commits if end <= length), default=0)
    assert length - found.whole - found.cut < HEADER.size, "the salts of the last frame may be beyond the tear"


@given(st.integers(0, 6 * SIZE - 1), st.integers(1, 255))
def test_one_wrong_byte_ends_what_is_whole(at: int, change: int) -> None:
    data = bytearray(log(6, {1, 2, 3, 4, 5, 6}))
    data[HEADER.size + at] ^= change
    found = looked_at(bytes(data))
    broken = at // SIZE
    former = 10 <= at % SIZE < 16  # the salts, but for the half of the first that no generation changes
    assert found.whole == HEADER.size + broken * SIZE
    assert found.cut in {(6 - broken) * SIZE, (6 - broken - former) * SIZE}


@pytest.mark.parametrize(
    ("commits", "broken", "lost"),
    [
        ({1, 2, 3, 4, 5, 6}, 2, True),
        ({1, 4, 6}, 3, True),
        ({1, 6}, 3, False),  # half of a commit, as a kill leaves it
        ({1, 2, 3, 4, 5, 6}, 5, False),  # its end
    ],
)
def test_a_commit_is_lost_when_others_came_behind_it(commits: set[int], broken: int, lost: bool) -> None:
    data = bytearray(log(6, commits))
    data[HEADER.size + broken * SIZE + FRAME.size] ^= 1
    assert looked_at(bytes(data)).lost is lost


def test_what_an_earlier_generation_left_behind_is_not_missed() -> None:
    data = log(2, {2}) + log(6, {6}, salts=(SALTS[0] - 1, 2))[HEADER.size + 2 * SIZE :]
    assert looked_at(data) == Survey(HEADER.size + 2 * SIZE, 0)


@pytest.mark.parametrize("byte", [b"\0", b"\xee"])
def test_what_nobody_wrote_behind_the_end_is_cut_off_and_was_something(byte: bytes) -> None:
    data = log(6, {2, 6})[: HEADER.size + 2 * SIZE] + byte * (4 * SIZE)
    assert looked_at(data) == Survey(HEADER.size + 2 * SIZE, 4 * SIZE, lost=True)


@pytest.mark.parametrize("data", [b"", b"\0" * 10, b"\0" * HEADER.size, log(0, set())[:20]])
def test_what_has_only_begun_lacks_nothing(data: bytes) -> None:
    assert looked_at(data) == Survey(0, 0)


@pytest.mark.parametrize("data", [b"\0" * 5000, b"\xee" * 5000])
def test_what_is_no_log_is_cut_off_whole(data: bytes) -> None:
    assert looked_at(data) == Survey(0, 5000, lost=True)


def test_a_log_with_a_broken_head_is_cut_off_whole() -> None:
    data = bytearray(log(3, {3}))
    data[HEADER.size - 1] ^= 1
    assert looked_at(bytes(data)) == Survey(0, 3 * SIZE, lost=False)
