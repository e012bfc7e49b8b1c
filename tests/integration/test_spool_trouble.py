"""Whatever is wrong with the disk or the file, the spool starts or says in one sentence what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from overshootd.errors import ConfigError, SpoolError
from overshootd.sinks import database
from overshootd.sinks.spool import FILE_NAME
from overshootd.sinks.store import Store
from tests.integration.sink_lab import RememberingLog, foreign_directory, remount, small_filesystem, unprivileged


def open_store(directory: Path, log: RememberingLog | None = None) -> Store:
    store = Store(directory / FILE_NAME, log or RememberingLog(), "boot")
    store.open()
    return store


def append(store: Store, count: int, size: int = 100) -> list[int]:
    return [store.append("yard", lambda seq: b"%d" % seq + b"x" * size) for _ in range(count)]


def read(store: Store) -> list[int]:
    return [seq for seq, _ in store.read("yard", 0, None, 1_000_000, 1 << 40)]


def filled(directory: Path, count: int = 20) -> Path:
    store = open_store(directory)
    append(store, count)
    store.close()
    return directory / FILE_NAME


def test_missing_directories_are_made_and_nobody_else_may_read_what_was_seen(tmp_path: Path) -> None:
    store = open_store(tmp_path / "var" / "state")
    append(store, 1)
    assert (tmp_path / "var").stat().st_mode & 0o777 == 0o750
    assert [path.stat().st_mode & 0o007 for path in (tmp_path / "var" / "state").iterdir()] == [0, 0]
    store.close()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(b"\0" * 8192), id="zeros"),
        pytest.param(lambda path: path.write_bytes(b"no database at all\n" * 100), id="something else"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:700]), id="cut short"),
        pytest.param(lambda path: path.write_bytes(b"\xff" * 40 + path.read_bytes()[40:]), id="bad header"),
    ],
)
def test_a_damaged_spool_is_set_aside_and_numbers_do_not_repeat(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    damage(filled(tmp_path))
    log = RememberingLog()
    store = open_store(tmp_path, log)
    assert [line for line in log.lines if "set aside as" in line and "aside-1" in line] == log.lines
    assert min(append(store, 2)) > 1_000_000_000_000
    store.close()
    assert (tmp_path / f"{FILE_NAME}.aside-1").exists()


def test_damage_that_shows_later_is_met_without_a_restart(tmp_path: Path) -> None:
    path = filled(tmp_path, 200)
    content = bytearray(path.read_bytes())
    # The schema stays, so that opening finds nothing wrong, and the last record, so that appending does not.
    begin, end = 20 * database.PAGE_SIZE, len(content) - 20 * database.PAGE_SIZE
    content[begin:end] = b"\xee" * (end - begin)
    path.write_bytes(content)
    log = RememberingLog()
    store = open_store(tmp_path, log)
    assert append(store, 1) == [201]
    with pytest.raises(SpoolError):
        read(store)
    [first, second] = append(store, 2)
    assert (second, read(store)) == (first + 1, [first, second])
    assert first > 1_000_000_000_000
    assert any("set aside" in line for line in log.lines)
    store.close()


def test_a_newer_version_is_set_aside_with_its_records_whole(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 3")
    connection.close()
    log = RememberingLog()
    open_store(tmp_path, log).close()
    assert "made by a newer overshootd (spool version 3, this one knows 2)" in log.lines[0]
    aside = sqlite3.connect(tmp_path / f"{FILE_NAME}.aside-1")
    assert aside.execute("SELECT count(*) FROM records").fetchone() == (20,)
    aside.close()


@pytest.mark.parametrize("garbage", [b"", b"\0" * 4096, b"\xee" * 4096])
def test_a_new_spool_takes_nothing_from_the_write_ahead_log_of_a_damaged_one(tmp_path: Path, garbage: bytes) -> None:
    store = open_store(tmp_path / "running")
    append(store, 200)
    killed = shutil.copytree(tmp_path / "running", tmp_path / "killed")
    store.close()
    (killed / FILE_NAME).write_bytes(garbage)
    for _ in range(2):
        store = open_store(killed)
        stored = append(store, 3)
        assert read(store)[-3:] == stored
        assert min(read(store)) > 1_000_000_000_000
        store.close()


def test_what_a_killed_daemon_had_not_checkpointed_is_set_aside_too(tmp_path: Path) -> None:
    store = open_store(tmp_path / "running")
    append(store, 20)
    killed = shutil.copytree(tmp_path / "running", tmp_path / "killed")
    store.close()
    with sqlite3.connect(killed / FILE_NAME) as connection:
        connection.execute("PRAGMA user_version = 3")
    shutil.copytree(killed, tmp_path / "newer")  # before closing checkpoints it
    connection.close()
    open_store(tmp_path / "newer").close()
    aside = sqlite3.connect(tmp_path / "newer" / f"{FILE_NAME}.aside-1")
    assert aside.execute("SELECT count(*) FROM records").fetchone() == (20,)
    aside.close()


def test_a_stream_is_on_the_disk_before_its_first_number_is_given_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    store = open_store(tmp_path)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    append(store, 1)
    assert len(synced) == 1
    append(store, 10)
    assert len(synced) == 1
    store.close()


def test_the_second_one_set_aside_does_not_overwrite_the_first(tmp_path: Path) -> None:
    for number in (1, 2):
        filled(tmp_path).write_bytes(b"%d" % number)
        open_store(tmp_path).close()
    assert [(tmp_path / f"{FILE_NAME}.aside-{number}").read_bytes() for number in (1, 2)] == [b"1", b"2"]


def test_a_second_daemon_on_the_same_directory_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.05)
    store = open_store(tmp_path)
    append(store, 1)
    with pytest.raises(SpoolError, match="in use by another process: stop the other overshootd"):
        open_store(tmp_path)
    append(store, 1)
    assert read(store) == [1, 2]
    store.close()


def test_a_full_disk_is_told_and_storing_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "card", "size=1m") as card:
        store = open_store(card)
        filler = card / "filler"
        filler.write_bytes(b"\0" * 600_000)
        stored: list[int] = []
        with suppress(SpoolError):
            while True:
                stored += append(store, 1, size=5000)
        with pytest.raises(SpoolError, match="no space left on the disk: make room there"):
            append(store, 1, size=5000)
        filler.unlink()
        stored += append(store, 3)
        assert read(store) == stored == list(range(1, len(stored) + 1))
        store.close()


def test_a_disk_that_is_full_at_the_start_may_have_room_later(tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "card", "size=64k") as card:
        filler = card / "filler"
        filler.write_bytes(b"\0" * 65536)
        store = Store(card / FILE_NAME, RememberingLog(), "boot")
        for _ in range(3):
            with pytest.raises(SpoolError):
                store.open()
        filler.unlink()
        assert append(store, 2) == [1, 2]
        store.close()


def test_a_read_only_disk_may_pass(tmp_path: Path) -> None:
    """A card that comes up read-only once must not leave a device dark for good."""
    with small_filesystem(tmp_path / "card", "size=1m") as card:
        remount(card, "ro")
        with pytest.raises(SpoolError, match=rf"{card}.*Read-only.*mount it read-write, or set state_dir"):
            open_store(card / "state")


def test_a_directory_of_somebody_else_is_a_mistake_in_the_configuration() -> None:
    with foreign_directory() as directory, unprivileged():
        sentence = rf"cannot write there \(Permission denied\): let user .* write to {directory}, or set state_dir"
        with pytest.raises(ConfigError, match=sentence):
            open_store(directory / "state")


def test_a_file_in_place_of_the_directory_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(ConfigError, match="set state_dir to another path"):
        open_store(tmp_path / "state")
