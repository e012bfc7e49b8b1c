"""Every record is in the file once and whole: through rotation, crashes, full disks and other people's logrotate."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from overshootd.config.secret import Secret
from overshootd.config.sinks import FileSink as FileSinkConfig
from overshootd.config.sinks import sink_config
from overshootd.contracts import Sink
from overshootd.errors import ConfigError, Transient
from overshootd.sinks.choose import Ways, sink_for
from overshootd.sinks.disk import Disk
from overshootd.sinks.record import encode
from overshootd.sinks.space import Space
from overshootd.sinks.stdout import Output
from tests.integration.file_lab import PATIENCE, Clock, content, lines, older, open_sink
from tests.integration.sink_lab import foreign_directory, record, remount, small_filesystem, unprivileged
from tests.remembering import RememberingLog


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk()
    yield disk
    assert await disk.close(PATIENCE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results" / "yard.jsonl"


def read(path: Path) -> bytes:
    return path.read_bytes()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def meddle(path: Path, how: str) -> None:
    match how:
        case "moved":
            path.rename(path.with_name("yard.jsonl.1"))
        case "deleted":
            path.unlink()
        case "replaced":
            path.rename(path.with_name("yard.jsonl.1"))
            path.touch()
        case _:
            shutil.rmtree(path.parent)


async def test_records_are_lines_in_a_file_whose_directories_are_made(disk: Disk, path: Path) -> None:
    sink = open_sink(disk, path)
    await sink.open()
    assert read(path) == b""
    await sink.deliver(lines(0, 2))
    await sink.deliver(lines(2, 3))
    assert read(path) == b"\n".join(lines(0, 3)) + b"\n"
    assert [mode(path.parent), mode(path)] == [0o750, 0o640]
    await sink.close()


async def test_the_file_never_exceeds_its_size_and_nothing_is_lost_between_files(disk: Disk, path: Path) -> None:
    sink = open_sink(disk, path, keep=1000)
    for begin in range(0, 60, 7):
        await sink.deliver(lines(begin, begin + 7))
    while any(not file.name.endswith(".gz") for file in older(path)):
        await sink.deliver([])
    assert all(file.stat().st_size <= 1000 for file in [*older(path), path])
    assert len(older(path)) > 5
    assert content([*older(path), path]) == lines(0, 63)
    await sink.close()


async def test_the_oldest_beyond_the_number_to_keep_are_deleted(disk: Disk, path: Path) -> None:
    sink = open_sink(disk, path, keep=3, gzip=False)
    for number in range(40):
        await sink.deliver(lines(number, number + 1))
    assert len(older(path)) == 3
    kept = content([*older(path), path])
    assert kept == lines(40 - len(kept), 40)
    await sink.close()


async def test_none_is_kept_when_none_is_to_be_kept(disk: Disk, path: Path) -> None:
    sink = open_sink(disk, path, keep=0)
    await sink.deliver(lines(0, 40))
    assert older(path) == []
    assert content([path])[-1:] == lines(39, 40)
    await sink.close()


async def test_a_file_is_rotated_by_the_age_of_its_first_record_over_restarts_too(disk: Disk, path: Path) -> None:
    clock = Clock()
    begin = record("yard").body["received_at"]
    first = open_sink(disk, path, clock, rotate_seconds=3600, gzip=False)
    await first.deliver(lines(0, 1))
    await first.close()
    clock.now = 1_785_147_300.0  # 2026-07-27T10:15:00Z, when the record was received
    assert begin == "2026-07-27T10:15:00.000Z"
    second = open_sink(disk, path, clock, rotate_seconds=3600, gzip=False)
    clock.now += 3599
    await second.deliver(lines(1, 2))
    assert older(path) == []
    clock.now += 1
    await second.deliver(lines(2, 3))
    assert [file.name for file in older(path)] == ["yard.jsonl-20260727T111500Z"]
    assert content(older(path)) == lines(0, 2)
    assert content([path]) == lines(2, 3)
    await second.close()


async def test_a_file_begun_while_the_clock_was_a_year_ahead_is_rotated_in_time(disk: Disk, path: Path) -> None:
    clock = Clock()
    sink = open_sink(disk, path, clock, rotate_seconds=3600, gzip=False)
    clock.now += 365 * 86400
    await sink.deliver(lines(0, 1))
    clock.now -= 365 * 86400
    await sink.deliver(lines(1, 2))
    assert older(path) == []
    clock.now += 3600
    await sink.deliver(lines(2, 3))
    assert content(older(path)) == lines(0, 2)
    await sink.close()


async def test_compressing_happens_between_records_in_slices(disk: Disk, path: Path) -> None:
    sink = open_sink(disk, path, rotate_bytes=400_000)
    await sink.deliver(lines(0, 3, 100_000))
    await sink.deliver(lines(3, 4, 100_000))
    archive = older(path)[0]
    assert not archive.name.endswith(".gz"), "not compressed in one go"
    number = 4
    while archive.exists():
        await sink.deliver(lines(number, number + 1))
        number += 1
    assert number > 5
    assert content([*older(path), path]) == [*lines(0, 4, 100_000), *lines(4, number)]
    await sink.close()


@pytest.mark.parametrize("half_done", [b"", b"\x1f\x8b half of it"])
async def test_what_a_crash_left_half_compressed_is_compressed_after_the_next_start(
    disk: Disk, path: Path, half_done: bytes
) -> None:
    path.parent.mkdir()
    archive = path.with_name(f"{path.name}-20260727T101500Z")
    archive.write_bytes(b"\n".join(lines(0, 2)) + b"\n")
    archive.with_name(f"{archive.name}.gz.tmp").write_bytes(half_done)
    sink = open_sink(disk, path)
    while archive.exists():
        await sink.deliver([])
    assert [file.name for file in older(path)] == [f"{archive.name}.gz"]
    assert content(older(path)) == lines(0, 2)
    await sink.close()


async def test_after_a_crash_between_compressing_and_deleting_there_is_one_copy(disk: Disk, path: Path) -> None:
    path.parent.mkdir()
    archive = path.with_name(f"{path.name}-20260727T101500Z")
    archive.write_bytes(b"\n".join(lines(0, 2)) + b"\n")
    archive.with_name(f"{archive.name}.gz").write_bytes(gzip.compress(archive.read_bytes()))
    sink = open_sink(disk, path)
    while archive.exists():
        await sink.deliver([])
    assert content(older(path)) == lines(0, 2)
    await sink.close()


async def test_closing_while_compressing_leaves_the_whole_file_and_no_rubbish(disk: Disk, path: Path) -> None:
    sink = open_sink(disk, path, rotate_bytes=400_000)
    await sink.deliver(lines(0, 5, 100_000))
    await sink.close()
    assert content([*older(path), path]) == lines(0, 5, 100_000)
    assert len(older(path)) == 1


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        (b"", b""),
        (lines(1, 2)[0][:30], b""),
        (lines(1, 2)[0][:4], b""),
        (b"\0" * 500, b""),
        (b"somebody's own words", b"somebody's own words\n"),
    ],
    ids=["whole", "torn", "torn early", "zeros", "not ours"],
)
async def test_a_torn_last_line_is_cut_off_and_words_of_others_are_kept(
    disk: Disk, path: Path, end: bytes, kept: bytes
) -> None:
    put(path, lines(0, 1)[0] + b"\n" + end)
    sink = open_sink(disk, path)
    await sink.deliver(lines(1, 2))
    assert read(path) == lines(0, 1)[0] + b"\n" + kept + lines(1, 2)[0] + b"\n"
    await sink.close()


async def test_a_file_of_somebody_elses_that_nests_without_end_is_appended_to(disk: Disk, path: Path) -> None:
    words = b"[" * 3000 + b"\n"
    put(path, words)
    sink = open_sink(disk, path, rotate_bytes=100_000)
    await sink.deliver(lines(1, 2))
    assert read(path) == words + lines(1, 2)[0] + b"\n"
    await sink.close()


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced", "directory deleted"])
async def test_a_file_that_somebody_moves_away_is_begun_anew(disk: Disk, path: Path, how: str) -> None:
    sink = open_sink(disk, path)
    await sink.deliver(lines(0, 1))
    meddle(path, how)
    await sink.deliver(lines(1, 2))
    assert content([path]) == lines(1, 2)
    await sink.close()


async def test_a_file_that_logrotate_truncates_goes_on_at_its_beginning(disk: Disk, path: Path) -> None:
    sink = open_sink(disk, path)
    await sink.deliver(lines(0, 3))
    os.truncate(path, 0)
    await sink.deliver(lines(3, 4))
    assert content([path]) == lines(3, 4)
    await sink.close()


async def test_two_streams_share_a_file_that_rotates(disk: Disk, path: Path) -> None:
    sinks = [open_sink(disk, path, keep=1000) for _ in range(2)]
    for number in range(80):
        await sinks[number % 2].deliver(lines(number, number + 1))
    while any(not file.name.endswith(".gz") for file in older(path)):
        for sink in sinks:
            await sink.deliver([])
    assert content([*older(path), path]) == lines(0, 80)
    for sink in sinks:
        await sink.close()


async def test_two_sinks_do_not_spoil_each_others_compressing(disk: Disk, path: Path) -> None:
    first = open_sink(disk, path, rotate_bytes=400_000)
    second = open_sink(disk, path, rotate_bytes=400_000)
    noise = [encode(record("yard", os.urandom(50_000).hex()), "uid", number) for number in range(4)]
    await first.deliver(noise[:3])
    await first.deliver(noise[3:])
    archive = older(path)[0]
    await first.deliver([])
    while archive.exists():
        await second.deliver([])  # comes upon a file that the first is nearly done with
        await first.deliver([])
    assert content([*older(path), path]) == noise
    await first.close()
    await second.close()


class BadDisk:
    """fdatasync fails while `error` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
        self.error: int | None = error
        self._sync = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, descriptor: int) -> None:
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        self._sync(descriptor)


@pytest.mark.parametrize("rotated", [False, True])
async def test_a_disk_that_cannot_sync_is_told_even_when_the_file_was_left_behind(
    disk: Disk, path: Path, monkeypatch: pytest.MonkeyPatch, rotated: bool
) -> None:
    sink = open_sink(disk, path)
    await sink.deliver(lines(0, 1))
    bad = BadDisk(monkeypatch, errno.EIO)
    if rotated:
        await sink.deliver(lines(1, 10))
        bad.error = None
    with pytest.raises(Transient, match="cannot be synced to the disk"):
        await sink.sync()
    bad.error = None
    await sink.sync()
    await sink.close()


async def test_a_filesystem_without_sync_has_nothing_to_sync(
    disk: Disk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = open_sink(disk, path)
    await sink.deliver(lines(0, 1))
    BadDisk(monkeypatch, errno.EINVAL)
    await sink.sync()
    await sink.close()


async def test_on_a_full_disk_nothing_is_torn_doubled_or_lost(disk: Disk, tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "card", "size=256k") as card:
        path = card / "yard.jsonl"
        filler = card / "filler"
        sink = open_sink(disk, path, rotate_bytes=20_000, keep=1000, gzip=False)
        await sink.deliver(lines(0, 10, 1000))
        filler.write_bytes(b"\0" * 192_000)  # leaves room for whole files and a part of one
        batch = lines(10, 200, 1000)
        for _ in range(3):
            with pytest.raises(Transient, match=r"No space left on device.*make room there"):
                await sink.deliver(batch)
        assert content([*older(path), path]) == lines(0, len(content([*older(path), path])), 1000)
        filler.unlink()
        await sink.deliver(batch)
        await sink.sync()
        assert content([*older(path), path]) == lines(0, 200, 1000)
        await sink.close()


async def test_a_disk_that_becomes_read_only_is_transient(disk: Disk, tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "card", "size=1m") as card:
        sink = open_sink(disk, card / "yard.jsonl")
        await sink.deliver(lines(0, 1))
        await sink.close()
        remount(card, "ro")
        with pytest.raises(Transient, match=f"{card}/yard.jsonl: user .* mount it read-write, or set path to"):
            await sink.deliver(lines(1, 2))
        remount(card, "rw")
        await sink.deliver(lines(1, 2))
        assert content([card / "yard.jsonl"]) == lines(0, 2)
        await sink.close()


async def test_a_directory_where_we_may_not_write_is_named_with_the_remedy(disk: Disk) -> None:
    with foreign_directory() as directory, unprivileged():
        path = directory / "results" / "yard.jsonl"
        sentence = rf"{path}: user .* \(Permission denied\): let user .* write to {directory}, or set path to"
        with pytest.raises(ConfigError, match=sentence):
            await open_sink(disk, path).open()


@pytest.mark.parametrize("what", ["/dev/null", "directory"])
async def test_what_is_no_file_is_refused_and_left_alone(disk: Disk, tmp_path: Path, what: str) -> None:
    path = tmp_path if what == "directory" else Path(what)
    with pytest.raises(ConfigError, match=r"not a regular file.*set path to another path"):
        await open_sink(disk, path).open()
    assert path.exists()


async def test_a_path_is_taken_as_it_is_from_the_configuration_and_from_the_spool(disk: Disk, tmp_path: Path) -> None:
    """The loader has filled in what is to be; a directory may be called anything."""
    config = FileSinkConfig(type="file", path=f"{tmp_path}/{{device}}/{{stream}}-yard.jsonl")
    log = RememberingLog()
    ways = Ways(disk, Space(log), Output(None), {}, lambda ref: Secret(""))
    sinks: list[Sink] = [sink_for(kept, ways, log) for kept in (config, sink_config(config.model_dump_json()))]
    await sinks[0].deliver([json.dumps({}).encode()])
    await sinks[0].close()
    assert (tmp_path / "{device}" / "{stream}-yard.jsonl").read_text() == "{}\n"
    assert [sink.name for sink in sinks] == [f"file:{tmp_path}/{{device}}/{{stream}}-yard.jsonl"] * 2


async def test_what_there_is_no_room_to_compress_stays_as_it_is_until_there_is(disk: Disk, tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "card", "size=256k") as card:
        path, filler, log = card / "yard.jsonl", card / "filler", RememberingLog()
        sink = open_sink(disk, path, log=log, rotate_bytes=20_000)
        noise = [encode(record("yard", os.urandom(9_000).hex()), "uid", number) for number in range(3)]
        await sink.deliver(noise[:1])
        put(filler, b"\0" * 212_992)
        await sink.deliver(noise[1:2])
        for _ in range(5):
            await sink.deliver([])
        [line] = log.lines
        assert "could not be compressed: [Errno 28] No space left on device" in line
        assert content([*older(path), path]) == noise[:2]
        filler.unlink()
        await sink.deliver(noise[2:])
        while not all(file.name.endswith(".gz") for file in older(path)):
            await sink.deliver([])
        assert content([*older(path), path]) == noise
        await sink.close()
