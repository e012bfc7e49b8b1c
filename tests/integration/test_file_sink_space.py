"""A disk that fills up costs the oldest files and nothing else; one that is full or read-only costs nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from overshootd.config.sinks import FileSink as FileSinkConfig
from overshootd.errors import Transient
from overshootd.sinks.disk import Disk
from overshootd.sinks.file import FileSink
from overshootd.sinks.record import encode
from overshootd.sinks.space import LOOK_SECONDS, QUIET_SECONDS, Space
from tests.integration.sink_lab import record, remount, small_filesystem
from tests.remembering import RememberingLog

PATIENCE = 20.0
LINE = 10_000
"""Bytes of a record, more or less."""


class Clock:
    """Seconds."""

    def __init__(self) -> None:
        self.now = 1_784_542_500.0

    def __call__(self) -> float:
        return self.now


class Card:
    """A small filesystem, and file sinks on it that share a `Space`. Each writes at another second."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self.disk = disk
        self.clock = Clock()
        self.log = RememberingLog()
        self.space = Space(self.log, self.clock)

    def sink(self, name: str, **config: object) -> FileSink:
        given = {"rotate_bytes": 3 * LINE, "keep": 1000, "gzip": False, "min_free_mb": 1, **config}
        parsed = FileSinkConfig.model_validate({"type": "file", "path": str(self.path / name), **given})
        return FileSink(parsed, self.path / name, self.disk, self.log, self.space, self.clock)

    async def write(self, sink: FileSink, begin: int, end: int) -> None:
        for number in range(begin, end):
            self.clock.now += 1
            await sink.deliver(lines(number, number + 1))

    @property
    def free(self) -> int:
        room = os.statvfs(self.path)
        return room.f_bavail * room.f_frsize

    def fill(self, size: int) -> Path:
        filler = self.path / "filler"
        filler.write_bytes(b"\0" * size)
        return filler

    def older(self, name: str) -> list[str]:
        return sorted(path.name for path in self.path.glob(f"{name}-*"))

    def numbers(self, name: str) -> list[int]:
        files = [*(self.path / older for older in self.older(name)), self.path / name]
        return [json.loads(line)["seq"] for file in files for line in file.read_bytes().splitlines()]

    def said(self, words: str) -> list[str]:
        return [line for line in self.log.lines if words in line]


def lines(begin: int, end: int) -> list[bytes]:
    return [encode(record("yard", "x" * LINE), f"uid-{number}", number) for number in range(begin, end)]


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk()
    yield disk
    assert await disk.close(PATIENCE)


@pytest.fixture
def card(tmp_path: Path, disk: Disk) -> Iterator[Card]:
    """4 MB: half of it is above a mark of 1 MB."""
    with small_filesystem(tmp_path / "card", "size=4m") as path:
        yield Card(path, disk)


async def test_below_the_mark_the_oldest_files_of_all_sinks_go_first(card: Card) -> None:
    yard, gate = card.sink("yard.jsonl"), card.sink("gate.jsonl")
    await card.write(yard, 0, 30)
    await card.write(gate, 0, 60)
    before, newer = card.older("yard.jsonl"), card.older("gate.jsonl")
    card.fill(2_350_000)
    card.clock.now += LOOK_SECONDS
    await card.write(gate, 60, 61)
    left = card.older("yard.jsonl")
    assert set(newer) <= set(card.older("gate.jsonl")), "newer than all that had to go"
    assert left == before[-len(left) :]
    assert card.space.deleted.files == len(before) - len(left) > 0
    assert card.numbers("yard.jsonl")[-1] == 29


async def test_nothing_goes_that_is_being_written_or_is_not_ours(card: Card) -> None:
    sink = card.sink("yard.jsonl")
    await card.write(sink, 0, 30)
    strangers = ["yard.jsonl-20260101T000000Z.bak", "yard.jsonl.1", "else.jsonl-20260101T000000Z"]
    for name in strangers:
        (card.path / name).write_text("mine\n")
    card.fill(3_600_000)
    card.clock.now += LOOK_SECONDS
    await card.write(sink, 30, 31)
    left = {path.name for path in card.path.iterdir()} - {"filler"}
    assert left == {*strangers, "yard.jsonl"}
    assert (card.path / "yard.jsonl").read_bytes() == lines(30, 31)[0] + b"\n"


async def test_a_sink_without_a_mark_loses_nothing(card: Card) -> None:
    kept, pruned = card.sink("kept.jsonl", min_free_mb=0), card.sink("pruned.jsonl")
    await card.write(kept, 0, 30)
    await card.write(pruned, 0, 30)
    card.fill(3_100_000)
    card.clock.now += LOOK_SECONDS
    await card.write(pruned, 30, 31)
    assert card.numbers("kept.jsonl") == list(range(30))
    assert not card.older("pruned.jsonl")


async def test_a_full_disk_is_room_made_at_once(card: Card) -> None:
    """Without waiting for the next look, and without an error for anybody."""
    sink = card.sink("yard.jsonl")
    await card.write(sink, 0, 60)
    card.fill(2_000_000)
    while True:  # what else writes there fills it to the last byte between two looks
        try:
            with (card.path / "more").open("ab", buffering=0) as more:
                more.write(b"\0" * 4096)
        except OSError:
            break
    before = card.space.deleted.files
    await sink.deliver(lines(60, 61))
    assert card.space.deleted.files > before
    assert card.numbers("yard.jsonl")[-1] == 60


async def test_it_is_told_once_what_goes_and_why_and_when_it_is_over(card: Card) -> None:
    sink = card.sink("yard.jsonl")
    await card.write(sink, 0, 60)
    filler = card.fill(2_700_000)
    for number in range(60, 90):
        await card.write(sink, number, number + 1)
    [line] = card.said("older files are deleted")
    assert f"{card.path} has less than 1 MB free (min_free_mb)" in line
    assert "yard.jsonl-2026" in line
    filler.unlink()
    await card.write(sink, 90, 91)
    assert not card.said("room again")
    card.clock.now += QUIET_SECONDS
    await card.write(sink, 91, 93)
    [line] = card.said("room again")
    assert f"were deleted: {card.space.deleted.files}, " in line


async def test_a_mark_that_cannot_be_reached_is_told_once_and_nothing_waits_for_it(card: Card) -> None:
    sink = card.sink("yard.jsonl", rotate_bytes=10_000_000)
    filler = card.fill(3_500_000)
    for number in range(3):
        await card.write(sink, number, number + 1)
        card.clock.now += LOOK_SECONDS
    assert len(card.said("no older file is left to delete: make room there")) == 1
    filler.unlink()
    await card.write(sink, 3, 4)
    assert len(card.said("works again")) == 1
    assert card.numbers("yard.jsonl") == [0, 1, 2, 3]


async def test_an_older_file_that_is_being_compressed_goes_and_its_room_is_free_at_once(card: Card) -> None:
    sink = card.sink("yard.jsonl", gzip=True, rotate_bytes=400_000)
    await sink.deliver(lines(0, 39))
    await sink.deliver(lines(39, 41))
    assert any(name.endswith(".tmp") for name in card.older("yard.jsonl")), "not under way: the test proves nothing"
    card.fill(3_400_000)
    card.clock.now += LOOK_SECONDS
    before = card.free
    await sink.deliver(lines(41, 42))
    assert card.older("yard.jsonl") == []
    assert card.free > before + 300_000
    for number in range(42, 50):
        await sink.deliver(lines(number, number + 1))
    assert card.older("yard.jsonl") == []
    await sink.close()


async def test_files_are_written_whole_while_the_disk_turns_read_only_and_back(card: Card) -> None:
    sink = card.sink("yard.jsonl")
    await card.write(sink, 0, 5)
    await sink.close()  # the kernel lets nobody remount while a file is open for writing
    for number in range(5, 8):
        remount(card.path, "ro")
        with pytest.raises(Transient, match="mount it read-write"):
            await sink.deliver(lines(number, number + 1))
        remount(card.path, "rw")
        await sink.deliver(lines(number, number + 1))
        await sink.close()
    assert card.numbers("yard.jsonl") == list(range(8))


KILLED = """
import os, signal, sys
from pathlib import Path
from overshootd.sinks.archives import Archives
from overshootd.sinks.logfile import LogFile
path = Path(sys.argv[1])
os.ftruncate = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
file = LogFile(path, Archives(path, 9, False, 0, None, lambda: 0.0), 10**9, None, lambda: 0.0)
lines = [line.encode() for line in sys.stdin.read().splitlines()]
while True:
    file.append(lines)
    file.sync()
"""


def killed_at_the_end_of(path: Path, batch: Sequence[bytes]) -> int:
    child = [sys.executable, "-c", KILLED, str(path)]
    return subprocess.run(child, input=b"\n".join(batch), check=False).returncode


async def test_what_a_kill_tears_on_a_full_disk_is_mended_at_the_next_start(card: Card) -> None:
    """The kill comes between the write that met the end of the disk and what takes its part of a line back."""
    path = card.path / "yard.jsonl"
    batch = lines(0, 7)
    filler = card.fill(1_000_000)
    assert killed_at_the_end_of(path, batch) == -signal.SIGKILL
    assert not path.read_bytes().endswith(b"\n"), "nothing was torn: the test proves nothing"
    sink = card.sink("yard.jsonl", rotate_bytes=100_000_000, min_free_mb=0)
    filler.unlink()
    await sink.deliver(lines(7, 8))
    assert card.numbers("yard.jsonl")[-1] == 7
    assert {bytes(line) for line in path.read_bytes().splitlines()} == {*batch, *lines(7, 8)}


async def test_what_cannot_be_taken_back_is_mended_once_it_can(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that turns read-only in the middle of a line lets nobody cut it either."""
    sink = card.sink("yard.jsonl", rotate_bytes=100_000_000, min_free_mb=0)
    await card.write(sink, 0, 3)
    filler = card.fill(3_900_000)
    refuse(monkeypatch)
    for _ in range(2):
        with pytest.raises(Transient):
            await sink.deliver(lines(3, 40))
    monkeypatch.undo()
    filler.unlink()
    await sink.deliver(lines(3, 40))
    numbers = card.numbers("yard.jsonl")
    assert sorted(set(numbers)) == list(range(40))
    assert whole(card.path / "yard.jsonl", lines(0, 40))


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def ftruncate(descriptor: int, size: int) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("os.ftruncate", ftruncate)


def whole(path: Path, known: Sequence[bytes]) -> bool:
    return set(path.read_bytes().splitlines()) == set(known)
