"""One operation on the stage that fails costs nothing that can be had without it, and never the spool."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from overshootd.errors import SpoolError
from overshootd.sinks.progress import Progress
from overshootd.sinks.spool import FILE_NAME
from overshootd.sinks.store import Store
from tests.integration.sink_lab import fill, small_filesystem, store_one, unprivileged
from tests.integration.stage_lab import append, killed, open_store, read, staged_at
from tests.remembering import RememberingLog

SINKS = {"mqtt:b": "{}"}


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    path = tmp_path / "memory"
    path.mkdir()
    return path


def spoil(path: Path) -> None:
    """All but the first pages."""
    with path.open("r+b") as file:
        file.seek(20_000)
        file.write(b"\xee" * (path.stat().st_size - 20_000))


def test_a_sync_that_fails_at_the_start_costs_nothing_that_comes_later(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    store = open_store(tmp_path, memory)
    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", fail)
        with pytest.raises(SpoolError):
            store.open()
    append(store, 5)
    killed(store, tmp_path, memory)
    store = open_store(tmp_path, memory)
    assert read(store) == [1, 2, 3, 4, 5]
    assert append(store, 1) == [6]
    store.close()


def test_a_stream_that_is_new_when_the_stage_is_full_is_kept_like_any_other(tmp_path: Path) -> None:
    names = [f"gate {number}" for number in range(200)]
    with small_filesystem(tmp_path / "memory", "size=64k") as memory:
        store = open_store(tmp_path, memory)
        store.open()
        fill(memory / "other")
        for name in names:
            store.attach(name, SINKS)
            assert store_one(store, name, lambda seq: b"x") == 1
        (memory / "other").unlink()
        store.sync()
        killed(store, tmp_path, memory)
        store = open_store(tmp_path, memory)
        assert [store.read(name, 0, None, 9, 99) for name in names] == [[(1, b"x")]] * 200
        assert [store_one(store, name, lambda seq: b"x") for name in names] == [2] * 200
        store.close()


@pytest.mark.parametrize(
    ("work", "left"),
    [
        (lambda store: store.sync(), 50),
        (lambda store: store.purge("yard"), 50),
        (lambda store: store.forget("yard"), 0),
    ],
    ids=["sync", "purge", "forget"],
)
def test_what_meets_a_full_stage_goes_on_without_it(tmp_path: Path, work: Callable[[Store], object], left: int) -> None:
    log = RememberingLog()
    with small_filesystem(tmp_path / "memory", "size=200k") as memory:
        store = open_store(tmp_path, memory, log)
        store.attach("yard", SINKS)
        append(store, 50, 1000)
        fill(memory / "other")
        work(store)
        assert ["goes to the disk at once" in line for line in log.lines] == [True]
        killed(store, tmp_path, memory)
        store = open_store(tmp_path, memory)
        assert len(read(store)) == left
        assert append(store, 1) == [51]
        store.close()


def test_a_stage_that_stayed_behind_is_not_taken_for_what_was_new(tmp_path: Path, memory: Path) -> None:
    """It could not be removed at an orderly end: what is in it, the spool has, and since then more."""
    store = open_store(tmp_path, memory)
    store.attach("yard", SINKS)
    append(store, 5)
    stayed = staged_at(memory)
    content = stayed.read_bytes()
    store.close()
    store = open_store(tmp_path, memory)
    store.attach("yard", SINKS)
    store.ack("yard", "mqtt:b", Progress(5))
    store.close()
    stayed.write_bytes(content)
    store = open_store(tmp_path, memory)
    _, places = store.attach("yard", SINKS)
    assert places == {"mqtt:b": Progress(5)}
    store.close()


def test_a_stage_that_may_not_be_removed_is_told_and_does_not_keep_from_ending(tmp_path: Path, memory: Path) -> None:
    log = RememberingLog()
    store = open_store(tmp_path, memory, log)
    append(store, 5)
    memory.chmod(0o555)
    with unprivileged():
        store.close()
    memory.chmod(0o755)
    [line] = log.lines
    assert f"{staged_at(memory)} could not be removed" in line
    store = open_store(tmp_path, memory)
    assert append(store, 1) == [6]
    store.close()


def test_a_stage_that_breaks_while_it_is_used_does_not_cost_the_spool(tmp_path: Path, memory: Path) -> None:
    log = RememberingLog()
    store = open_store(tmp_path, memory, log)
    store.attach("yard", SINKS)
    append(store, 5)
    store.sync()
    append(store, 3, size=1_000_000)  # more than what is read once is remembered of
    path = staged_at(memory)
    spoil(path)
    with pytest.raises(SpoolError):
        read(store)
    new = append(store, 2)
    assert min(new) > 8
    assert read(store) == [1, 2, 3, 4, 5, *new]
    assert [file.name for file in tmp_path.glob(f"{FILE_NAME}.aside*")] == []
    [line] = log.lines
    assert f"{path}" in line
    assert "set aside" in line
    store.close()


def test_what_a_sink_has_is_known_though_the_stage_that_had_it_broke(tmp_path: Path, memory: Path) -> None:
    store = open_store(tmp_path, memory)
    store.attach("yard", SINKS)
    append(store, 5)
    store.sync()
    store.ack("yard", "mqtt:b", Progress(5))
    append(store, 3, size=1_000_000)
    spoil(staged_at(memory))
    with pytest.raises(SpoolError):
        read(store)
    store.sync()
    killed(store, tmp_path, memory)
    store = open_store(tmp_path, memory)
    _, places = store.attach("yard", SINKS)
    assert places["mqtt:b"].floor >= 5
    store.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE cursors SET config = CAST(x'7bff' AS TEXT)",
        "UPDATE streams SET seq = 'many'",
        "ALTER TABLE records RENAME TO recorxs",
        "PRAGMA writable_schema = ON;"
        " UPDATE sqlite_master SET name = CAST(x'ff' AS TEXT), sql = 'CREATE TABLE' WHERE name = 'counts'",
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, 'BLOB NOT NULL', 'BLOB');"
        " PRAGMA writable_schema = RESET; UPDATE records SET line = NULL",
    ],
    ids=["no text", "no number", "no table", "no schema", "no line"],
)
def test_a_stage_that_makes_no_sense_is_set_aside(tmp_path: Path, memory: Path, damage: str) -> None:
    store = open_store(tmp_path, memory)
    store.attach("yard", SINKS)
    append(store, 5)
    killed(store, tmp_path, memory)
    path = staged_at(memory)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(damage)
    log = RememberingLog()
    store = open_store(tmp_path, memory, log)
    assert append(store, 1) == [1_000_001]
    [line] = log.lines
    assert f"set aside as {path}.aside" in line
    store.close()


def test_what_is_stored_while_a_stage_cannot_be_let_go_of_is_kept(tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "memory", "size=200k") as memory:
        store = open_store(tmp_path, memory)
        append(store, 10)
        looking = store.within(lambda connection: connection.execute("SELECT id FROM stage.records"))
        looking.fetchone()  # SQLite detaches nothing that somebody reads
        assert append(store, 500, 1000)[-1] == 510
        looking.close()
        killed(store, tmp_path, memory)
        store = open_store(tmp_path, memory)
        assert read(store) == [*range(1, 511)]
        store.close()


def test_a_spool_that_breaks_while_there_is_a_stage_is_replaced_and_goes_on_with_it(
    tmp_path: Path, memory: Path
) -> None:
    store = open_store(tmp_path, memory)
    store.attach("yard", SINKS)
    append(store, 5)
    store.ack("yard", "mqtt:b", Progress(3))
    killed(store, tmp_path, memory)
    (tmp_path / FILE_NAME).write_bytes(b"broken" * 1000)
    store = open_store(tmp_path, memory)
    assert read(store) == [1, 2, 3, 4, 5]
    head, places = store.attach("yard", SINKS)
    assert head > 1_000_000
    assert places["mqtt:b"].waiting(head) == 2
    store.close()


def test_a_stage_that_somebody_looks_into_is_waited_for(tmp_path: Path, memory: Path) -> None:
    store = open_store(tmp_path, memory)
    append(store, 5)
    killed(store, tmp_path, memory)
    path = staged_at(memory)
    store = open_store(tmp_path, memory)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SpoolError, match=f"{path}: in use by another process"):
            store.open()
    assert read(store) == [1, 2, 3, 4, 5]
    store.close()


def test_a_broken_stage_that_may_not_be_set_aside_is_no_reason_not_to_start(tmp_path: Path, memory: Path) -> None:
    store = open_store(tmp_path, memory)
    append(store, 5)
    killed(store, tmp_path, memory)
    path = staged_at(memory)
    path.write_bytes(b"broken" * 1000)
    path.with_name(f"{path.name}.aside").mkdir()
    log = RememberingLog()
    store = open_store(tmp_path, memory, log)
    assert min(append(store, 1)) > 5
    [line] = log.lines
    assert "could not be set aside" in line
    store.close()


def test_that_the_stage_and_the_spool_are_full_is_told_once(tmp_path: Path) -> None:
    log = RememberingLog()
    with small_filesystem(tmp_path / "memory", "size=200k") as memory, small_filesystem(tmp_path / "card", "size=400k"):
        store = open_store(tmp_path / "card", memory, log)
        store.attach("yard", SINKS)
        append(store, 100, 1000)
        fill(memory / "other")
        fill(tmp_path / "card" / "other")
        for _ in range(3):
            with pytest.raises(SpoolError):
                append(store, 50, 1000)
        [line] = log.lines
        assert "goes to the disk at once" in line
        (tmp_path / "card" / "other").unlink()
        store.close()


def test_counts_that_moved_to_another_day_are_not_there_twice(tmp_path: Path, memory: Path) -> None:
    store = open_store(tmp_path, memory)
    insert = "INSERT INTO {}.counts (day, stream, received) VALUES (?, 'yard', 5)"
    store.within(lambda connection: connection.execute(insert.format(connection.hot), ("?2026-07-27",)))
    store.close()
    store = open_store(tmp_path, memory)
    update = "UPDATE {}.counts SET day = '2026-07-28'"
    store.within(lambda connection: connection.execute(update.format(connection.hot)))
    killed(store, tmp_path, memory)
    store = open_store(tmp_path, memory)
    days = store.within(lambda connection: connection.execute("SELECT day FROM main.counts").fetchall())
    assert days == [("2026-07-28",)]
    store.close()
