"""Lines that wait in memory for the sync are written then, once each: whatever the disk and other people do meanwhile.

`Delivery` gives what a sync did not bring to the disk once more, from the last one that did.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from overshootd.errors import Transient
from overshootd.sinks.disk import Disk
from overshootd.sinks.file import HOLD_BYTES, FileSink
from tests.integration.file_lab import PATIENCE, Clock, content, ext4, lines, older, open_sink
from tests.integration.sink_lab import remount, small_filesystem

RARELY = 10.0


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk()
    yield disk
    assert await disk.close(PATIENCE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results" / "yard.jsonl"


def holding(disk: Disk, path: Path, clock: Clock | None = None, **config: object) -> FileSink:
    given = {"rotate_bytes": 1_000_000, "gzip": False, "sync_seconds": RARELY, **config}
    return open_sink(disk, path, clock, None, **given)


def is_there(path: Path) -> bool:
    return path.exists()


def move_away(path: Path) -> Path:
    return path.rename(path.with_name(f"{path.name}.1"))


async def one_by_one(sink: FileSink, begin: int, end: int, size: int = 0) -> None:
    for number in range(begin, end):
        await sink.deliver(lines(number, number + 1, size))
    await sink.sync()


async def fails_to_sync(sink: FileSink, begin: int, end: int, size: int, why: str) -> None:
    with pytest.raises(Transient, match=why):
        await one_by_one(sink, begin, end, size)


async def test_lines_are_written_together_with_the_sync(disk: Disk, path: Path) -> None:
    sink = holding(disk, path)
    await sink.open()
    for number in range(5):
        await sink.deliver(lines(number, number + 1))
        assert content([path]) == []
    await sink.sync()
    assert content([path]) == lines(0, 5)
    await sink.close()


@pytest.mark.parametrize("seconds", [0.5, 5.0])
async def test_a_sink_that_syncs_before_the_kernel_does_holds_nothing(disk: Disk, path: Path, seconds: float) -> None:
    sink = open_sink(disk, path, sync_seconds=seconds)
    await sink.deliver(lines(0, 1))
    assert content([path]) == lines(0, 1)
    await sink.close()


async def test_no_more_is_held_than_its_bound(disk: Disk, path: Path) -> None:
    sink = holding(disk, path)
    size = HOLD_BYTES // 4
    for number in range(3):
        await sink.deliver(lines(number, number + 1, size))
    assert not is_there(path)
    await sink.deliver(lines(3, 4, size))
    assert content([path]) == lines(0, 4, size)
    await sink.deliver(lines(4, 5))
    await sink.sync()
    assert content([path]) == [*lines(0, 4, size), *lines(4, 5)]
    await sink.close()


async def test_closing_without_a_sync_writes_nothing_and_the_sink_can_go_on(disk: Disk, path: Path) -> None:
    sink = holding(disk, path)
    await sink.deliver(lines(0, 2))
    await sink.close()
    assert not is_there(path)
    await sink.deliver(lines(0, 3))
    await sink.sync()
    assert content([path]) == lines(0, 3)
    await sink.close()


async def test_a_line_that_comes_again_while_it_is_held_is_written_once(disk: Disk, path: Path) -> None:
    sink = holding(disk, path)
    await sink.deliver(lines(0, 3))
    await sink.deliver(lines(2, 5))
    await sink.sync()
    assert content([path]) == lines(0, 5)
    await sink.close()


async def test_the_file_is_rotated_between_lines_that_were_held(disk: Disk, path: Path) -> None:
    sink = holding(disk, path, rotate_bytes=1000, keep=1000)
    await sink.deliver(lines(0, 40))
    assert older(path) == []
    await sink.sync()
    files = [*older(path), path]
    assert len(files) > 4
    assert all(file.stat().st_size <= 1000 for file in files)
    assert content(files) == lines(0, 40)
    await sink.close()


async def test_a_file_is_rotated_by_its_age_when_what_was_held_is_written(disk: Disk, path: Path) -> None:
    clock = Clock()
    sink = holding(disk, path, clock, rotate_seconds=3600)
    await sink.deliver(lines(0, 1))
    await sink.sync()
    await sink.deliver(lines(1, 2))
    clock.now += 3600
    await sink.sync()
    assert [content(older(path)), content([path])] == [lines(0, 1), lines(1, 2)]
    await sink.close()


async def test_older_files_of_held_lines_are_compressed_between_later_ones(disk: Disk, path: Path) -> None:
    sink = holding(disk, path, rotate_bytes=1000, gzip=True)
    await sink.deliver(lines(0, 12))
    await sink.sync()
    while not all(file.suffix == ".gz" for file in older(path)):
        await sink.deliver([])
    assert content([*older(path), path]) == lines(0, 12)
    await sink.close()


async def test_a_file_that_somebody_moves_away_while_lines_are_held_is_begun_anew(disk: Disk, path: Path) -> None:
    sink = holding(disk, path)
    await sink.deliver(lines(0, 2))
    await sink.sync()
    await sink.deliver(lines(2, 3))
    moved = move_away(path)
    await sink.deliver(lines(3, 4))
    await sink.sync()
    assert [content([moved]), content([path])] == [lines(0, 2), lines(2, 4)]
    await sink.close()


async def test_two_streams_that_share_a_file_hold_each_their_own(disk: Disk, path: Path) -> None:
    sinks = [holding(disk, path, rotate_bytes=1000, keep=1000) for _ in range(2)]
    for number in range(40):
        await sinks[number % 2].deliver(lines(number, number + 1))
    for sink in sinks:
        await sink.sync()
    written = content([*older(path), path])
    assert written == [*lines(0, 40)[::2], *lines(0, 40)[1::2]]
    for sink in sinks:
        await sink.close()


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
async def test_on_a_full_disk_nothing_that_was_held_is_torn_doubled_or_lost(
    disk: Disk, tmp_path: Path, kind: str
) -> None:
    card = small_filesystem(tmp_path / "card", "size=8m") if kind == "tmpfs" else ext4(tmp_path / "card", 8)
    with card as mounted:
        root = mounted if isinstance(mounted, Path) else mounted.path
        path, filler = root / "yard.jsonl", root / "filler"
        sink = holding(disk, path, rotate_bytes=20_000, keep=1000)
        await sink.deliver(lines(0, 10, 1000))
        await sink.sync()
        room = os.statvfs(root)
        filler.write_bytes(
            bytes(room.f_bavail * room.f_frsize - 65_536)
        )  # leaves it for whole files, and a part of one
        for end in (100, 150, 200):
            await fails_to_sync(sink, 10, end, 1000, "No space left on device.*make room there")
        written = content([*older(path), path])
        assert 10 < len(written) < 200
        assert written == lines(0, len(written), 1000)
        filler.unlink()
        await one_by_one(sink, 10, 200, 1000)
        assert content([*older(path), path]) == lines(0, 200, 1000)
        await sink.close()


async def test_a_full_disk_is_not_met_again_and_again_with_more_in_memory(disk: Disk, tmp_path: Path) -> None:
    """Once as much is held as may be, the next lines are refused, and so are all that come again."""
    with small_filesystem(tmp_path / "card", "size=64k") as card:
        sink = holding(disk, card / "yard.jsonl")
        for _ in range(3):
            await fails_to_sync(sink, 0, 40, 20_000, "No space left")
        remount(card, "size=8m")
        await one_by_one(sink, 0, 40, 20_000)
        assert content([*older(card / "yard.jsonl"), card / "yard.jsonl"]) == lines(0, 40, 20_000)
        await sink.close()


async def test_room_is_made_for_what_was_held(disk: Disk, tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "card", "size=4m") as card:
        path = card / "yard.jsonl"
        sink = holding(disk, path, rotate_bytes=30_000, keep=1000, min_free_mb=1)
        await sink.deliver(lines(0, 20, 10_000))
        await sink.sync()
        before = older(path)
        (card / "filler").write_bytes(bytes(3_860_000))
        await sink.deliver(lines(20, 22, 10_000))
        await sink.sync()
        assert not is_there(before[0])
        assert content([path])[-1:] == lines(21, 22, 10_000)
        await sink.close()


async def test_a_disk_that_turns_read_only_while_lines_are_held_has_them_once_it_is_not(
    disk: Disk, tmp_path: Path
) -> None:
    with small_filesystem(tmp_path / "card", "size=1m") as card:
        sink = holding(disk, card / "yard.jsonl")
        remount(card, "ro")
        for _ in range(2):
            await fails_to_sync(sink, 0, 3, 0, "mount it read-write")
        remount(card, "rw")
        await sink.deliver(lines(0, 4))
        await sink.sync()
        assert content([card / "yard.jsonl"]) == lines(0, 4)
        await sink.close()


async def test_what_a_failed_sync_leaves_in_doubt_is_written_again(
    disk: Disk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may have thrown its pages away: only writing them again is sure."""

    def fdatasync(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    sink = holding(disk, path)
    await sink.deliver(lines(0, 1))
    await sink.sync()
    await sink.deliver(lines(1, 3))
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with pytest.raises(Transient, match="cannot be synced to the disk"):
        await sink.sync()
    monkeypatch.undo()
    await sink.deliver(lines(1, 4))
    await sink.sync()
    assert content([path]) == [*lines(0, 3), *lines(1, 4)]
    await sink.close()
