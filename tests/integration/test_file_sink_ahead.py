"""What is allocated ahead costs nobody: not in a file's size, not on a disk with little room, not once it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from overshootd.sinks.ahead import CHUNK, ENOUGH, allocate, give_back
from overshootd.sinks.disk import Disk
from tests.integration.file_lab import PATIENCE, content, ext4, lines, older, open_sink
from tests.integration.sink_lab import small_filesystem
from tests.ledger.disk import Disk as Card

BLOCK = 4096


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk()
    yield disk
    assert await disk.close(PATIENCE)


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    """With 80 MB free or more."""
    with ext4(tmp_path / "card", 96) as card:
        yield card


def blocks(path: Path) -> int:
    """Bytes that it takes on the disk."""
    return path.stat().st_blocks * 512


async def test_a_file_takes_a_chunk_and_shows_its_own_size(disk: Disk, card: Card) -> None:
    path = card.path / "yard.jsonl"
    sink = open_sink(disk, path, rotate_bytes=10 * CHUNK)
    await sink.deliver(lines(0, 3))
    await sink.sync()
    assert blocks(path) == CHUNK
    assert path.read_bytes() == b"\n".join(lines(0, 3)) + b"\n"
    await sink.close()


async def test_a_line_takes_no_new_block_until_the_chunk_is_full(disk: Disk, card: Card) -> None:
    path = card.path / "yard.jsonl"
    sink = open_sink(disk, path, rotate_bytes=10 * CHUNK)
    taken = []
    for number in range(8):
        await sink.deliver(lines(number, number + 1, 1_300_000))
        await sink.sync()
        taken.append(blocks(path) // CHUNK)
    assert taken == [1, 1, 1, 2, 2, 2, 3, 3]
    await sink.close()


async def test_no_more_is_allocated_than_the_file_may_have(disk: Disk, card: Card) -> None:
    path = card.path / "yard.jsonl"
    sink = open_sink(disk, path, rotate_bytes=10_000)
    await sink.deliver(lines(0, 3))
    await sink.sync()
    assert blocks(path) == 3 * BLOCK
    await sink.close()


async def test_it_is_given_back_when_the_file_is_closed_and_the_time_stays(disk: Disk, card: Card) -> None:
    path = card.path / "yard.jsonl"
    sink = open_sink(disk, path, rotate_bytes=10 * CHUNK)
    await sink.deliver(lines(0, 3))
    await sink.sync()
    written = path.stat().st_mtime_ns
    await sink.close()
    assert blocks(path) == BLOCK
    assert path.stat().st_mtime_ns == written
    assert content([path]) == lines(0, 3)


async def test_it_is_given_back_when_the_file_is_rotated(disk: Disk, card: Card) -> None:
    path = card.path / "yard.jsonl"
    sink = open_sink(disk, path, rotate_bytes=CHUNK - BLOCK, gzip=False)
    await sink.deliver(lines(0, 2, 1_300_000))
    await sink.deliver(lines(2, 3, 1_900_000))
    [archive] = older(path)
    assert blocks(archive) == -(-archive.stat().st_size // BLOCK) * BLOCK
    assert content([archive, path]) == [*lines(0, 2, 1_300_000), *lines(2, 3, 1_900_000)]
    await sink.close()


async def test_a_file_that_somebody_moves_away_takes_no_more_than_it_has(disk: Disk, card: Card) -> None:
    path = card.path / "yard.jsonl"
    moved = path.with_name("yard.jsonl.1")
    sink = open_sink(disk, path, rotate_bytes=10 * CHUNK)
    await sink.deliver(lines(0, 1))
    path.rename(moved)
    await sink.deliver(lines(1, 2))
    assert blocks(moved) == BLOCK
    assert content([moved, path]) == lines(0, 2)
    await sink.close()


async def test_a_file_that_logrotate_truncates_is_allocated_anew(disk: Disk, card: Card) -> None:
    path = card.path / "yard.jsonl"
    sink = open_sink(disk, path, rotate_bytes=10 * CHUNK)
    await sink.deliver(lines(0, 3))
    os.truncate(path, 0)
    assert blocks(path) == 0
    await sink.deliver(lines(3, 4))
    assert blocks(path) == CHUNK
    assert content([path]) == lines(3, 4)
    await sink.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from overshootd.sinks.archives import Archives
from overshootd.sinks.logfile import LogFile
path = Path(sys.argv[1])
file = LogFile(path, Archives(path, 9, False, 0, None, lambda: 0.0), 10**8, None, lambda: 0.0)
file.append([line.encode() for line in sys.stdin.read().splitlines()])
file.sync()
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_after(path: Path, batch: Sequence[bytes]) -> int:
    child = [sys.executable, "-c", KILLED, str(path)]
    return subprocess.run(child, input=b"\n".join(batch), check=False).returncode


async def test_what_a_kill_leaves_is_used_by_the_next_run(disk: Disk, card: Card) -> None:
    path = card.path / "yard.jsonl"
    assert killed_after(path, lines(0, 3)) == -signal.SIGKILL
    assert blocks(path) == CHUNK, "nothing was left: the test proves nothing"
    sink = open_sink(disk, path, rotate_bytes=10 * CHUNK)
    await sink.deliver(lines(3, 6))
    await sink.sync()
    assert blocks(path) == CHUNK
    await sink.close()
    assert blocks(path) == BLOCK
    assert content([path]) == lines(0, 6)


async def test_two_sinks_that_share_a_file_share_its_blocks(disk: Disk, card: Card) -> None:
    path = card.path / "yard.jsonl"
    sinks = [open_sink(disk, path, rotate_bytes=10 * CHUNK) for _ in range(2)]
    for number in range(8):
        await sinks[number % 2].deliver(lines(number, number + 1))
    assert blocks(path) == CHUNK
    await sinks[0].close()
    await sinks[1].deliver(lines(8, 9))
    await sinks[1].close()
    assert blocks(path) == BLOCK
    assert content([path]) == lines(0, 9)


async def test_where_room_is_short_nothing_is_allocated_ahead(disk: Disk, card: Card) -> None:
    path = card.path / "yard.jsonl"
    card.fill(ENOUGH - 1_000_000)
    sink = open_sink(disk, path, rotate_bytes=10 * CHUNK)
    await sink.deliver(lines(0, 3))
    await sink.sync()
    assert blocks(path) == BLOCK
    card.free()
    await sink.deliver(lines(3, 8, 1000))
    await sink.sync()
    assert blocks(path) == CHUNK
    assert content([path]) == [*lines(0, 3), *lines(3, 8, 1000)]
    await sink.close()


def test_other_filesystems_are_left_alone(tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "ram", "size=64m") as ram:
        path = ram / "yard.jsonl"
        path.write_bytes(b"x")
        descriptor = os.open(path, os.O_RDWR)
        allocate(descriptor, 100, 1_000_000)
        assert blocks(path) == BLOCK
        give_back(descriptor)
        os.close(descriptor)
        assert path.read_bytes() == b"x"
