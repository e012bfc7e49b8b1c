"""Whatever is wrong with the disk or the file, the spool starts or says in one sentence what to do."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from overshootd.errors import ConfigError, SpoolError
from overshootd.sinks import database, tables
from overshootd.sinks.progress import Progress
from overshootd.sinks.spool import FILE_NAME
from overshootd.sinks.store import Store
from tests.integration.sink_lab import foreign_directory, remount, small_filesystem, store_one, unprivileged
from tests.remembering import RememberingLog


def open_store(directory: Path, log: RememberingLog | None = None) -> Store:
    store = Store(directory / FILE_NAME, log or RememberingLog(), "boot")
    store.open()
    return store


def append(store: Store, count: int, size: int = 100) -> list[int]:
    return [store_one(store, "yard", lambda seq: b"%d" % seq + b"x" * size) for _ in range(count)]


def read(store: Store) -> list[int]:
    return [seq for seq, _ in store.read("yard", 0, None, 1_000_000, 1 << 40)]


def filled(directory: Path, count: int = 20) -> Path:
    store = open_store(directory)
    append(store, count)
    store.close()
    return directory / FILE_NAME


def line(seq: int, size: int = 300) -> bytes:
    return json.dumps({"seq": seq, "stream": "yard", "text": "x" * size}).encode()


def filled_with_results(directory: Path, count: int) -> Path:
    """With a cursor at 5, and something counted."""
    store = open_store(directory)
    store.attach("yard", {"file:/a": "{}"})
    for _ in range(count):
        store_one(store, "yard", line)
    store.ack("yard", "file:/a", Progress(5, ((8, 9),)))
    store.within(
        lambda connection: connection.execute("INSERT INTO counts (day, stream) VALUES ('2026-07-27', 'yard')")
    )
    store.close()
    return directory / FILE_NAME


def damage(path: Path, *pages: int) -> None:
    """Pages count from 0."""
    content = bytearray(path.read_bytes())
    for page in pages:
        content[page * database.PAGE_SIZE : (page + 1) * database.PAGE_SIZE] = b"\xee" * database.PAGE_SIZE
    path.write_bytes(content)


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


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE cursors SET config = CAST(x'7bff' AS TEXT)",
        "PRAGMA writable_schema = ON;"
        " UPDATE sqlite_master SET name = CAST(x'ff' AS TEXT), sql = 'CREATE TABLE' WHERE name = 'counts'",
    ],
    ids=["in a row", "in the schema"],
)
def test_a_spool_with_text_that_is_none_is_replaced_and_goes_on_with_what_it_had(tmp_path: Path, damage: str) -> None:
    path = filled_with_results(tmp_path, 20)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(damage)
    log = RememberingLog()
    store = Store(path, log, "boot")
    with suppress(SpoolError):
        store.attach("yard", {"file:/a": "{}"})
    assert store_one(store, "yard", line) > 1_000_000_000_000
    assert "set aside as" in log.lines[0]
    store.close()


def test_damage_that_shows_later_is_met_without_a_restart(tmp_path: Path) -> None:
    path = filled_with_results(tmp_path, 200)
    # Not the schema, so that opening finds nothing wrong, nor the last record, so that appending does not.
    damage(path, *range(100, 105))
    log = RememberingLog()
    store = open_store(tmp_path, log)
    assert store_one(store, "yard", line) == 201
    with pytest.raises(SpoolError):
        read(store)
    new = append(store, 2)
    left = read(store)
    assert left[-2:] == new == [new[0], new[0] + 1]
    assert new[0] > 1_000_000_000_000
    assert left[0] == 1
    assert left[-3] == 201
    assert 150 < len(left) - 2 < 201, "of a page that leads to others, 40 records are lost"
    assert re.search(
        r"set aside as .*aside-1, a new spool is begun with the 1\d\d records that could be read in it", log.lines[0]
    )
    store.close()


def test_sinks_go_on_where_they_were_in_what_was_salvaged(tmp_path: Path) -> None:
    damage(filled_with_results(tmp_path, 200), *range(50, 55))
    store = open_store(tmp_path)
    with pytest.raises(SpoolError):
        read(store)
    head, places = store.attach("yard", {"file:/a": "{}"})
    assert head > 1_000_000_000_000
    assert places == {"file:/a": Progress(5, ((8, 9), (201, head)))}, "those left out are nothing that it lacks"
    assert store.within(lambda connection: connection.execute("SELECT day, stream FROM counts").fetchall()) == [
        ("2026-07-27", "yard")
    ]
    store.close()


@pytest.mark.parametrize("seed", range(6))
def test_wherever_pages_are_broken_it_starts_and_takes_over_no_line_that_is_not_whole(
    tmp_path: Path, seed: int
) -> None:
    path = filled_with_results(tmp_path, 300)
    chance = random.Random(seed)
    pages = path.stat().st_size // database.PAGE_SIZE
    damage(path, *chance.sample(range(1, pages), 1 + seed * 10))
    store = open_store(tmp_path)
    for _ in range(2):  # the first may find it out
        with suppress(SpoolError):
            store.attach("yard", {"file:/a": "{}"})
            read(store)
    found = store.read("yard", 0, None, 1_000, 1 << 40)
    assert found == [(seq, line(seq)) for seq, _ in found]
    [new] = append(store, 1)
    assert new > 300
    store.close()


def test_a_power_cut_while_one_takes_the_place_of_another_costs_nothing(tmp_path: Path) -> None:
    """The new one is complete, and the broken one is still there, or its log is, or nothing."""
    new = filled(tmp_path / "new")
    for number, there in enumerate([{"", "-wal"}, {""}, {"-wal"}, set[str]()]):
        directory = tmp_path / str(number)
        directory.mkdir()
        shutil.copy(new, directory / f"{FILE_NAME}.next")
        for suffix in there:
            (directory / f"{FILE_NAME}{suffix}").write_bytes(b"broken" * 1000)
        store = open_store(directory)
        assert read(store) == list(range(1, 21))
        store.close()
        assert {path.name for path in directory.iterdir()} == {
            FILE_NAME,
            *(f"{FILE_NAME}.aside-1{suffix}" for suffix in there),
        }


def test_a_log_without_its_database_is_not_taken_for_the_new_ones(tmp_path: Path) -> None:
    store = open_store(tmp_path / "running")
    append(store, 20)
    killed = shutil.copytree(tmp_path / "running", tmp_path / "killed")
    store.close()
    (killed / FILE_NAME).unlink()
    store = open_store(killed)
    assert read(store) == []
    store.close()


VERSION_1 = """
CREATE TABLE store (boot TEXT NOT NULL, seed INTEGER NOT NULL);
CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL);
CREATE TABLE cursors (stream INTEGER, sink TEXT, seq INTEGER NOT NULL, PRIMARY KEY (stream, sink)) WITHOUT ROWID;
CREATE TABLE records (id INTEGER PRIMARY KEY, line BLOB NOT NULL);
INSERT INTO store VALUES ('', 0);
INSERT INTO streams VALUES (1, 'yard', 2);
INSERT INTO cursors VALUES (1, 'file:/a', 3);
INSERT INTO records VALUES (8796093022211, X'33'), (8796093022212, X'34');
PRAGMA user_version = 1;
"""


def test_a_spool_of_version_1_is_taken_over_whole(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.executescript(f"PRAGMA page_size = 512; PRAGMA journal_mode = WAL; {VERSION_1}")
    log = RememberingLog()
    store = open_store(tmp_path, log)
    assert store.strangers([], []) == {"yard": {"file:/a": ""}}
    assert store.attach("yard", {"file:/a": "{}"}) == (4, {"file:/a": Progress(3)})
    assert append(store, 1) == [5]
    assert read(store) == [3, 4, 5]
    store.close()
    store = open_store(tmp_path, log)
    assert (read(store), log.lines) == ([3, 4, 5], [])
    store.close()


def test_an_upgrade_that_is_cut_off_leaves_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.executescript(f"PRAGMA page_size = 512; PRAGMA journal_mode = WAL; {VERSION_1}")
    with monkeypatch.context() as patch:
        patch.setitem(tables.UPGRADES, 1, f"{tables.UPGRADES[1]} SELECT x FROM nowhere;")
        with pytest.raises(SpoolError, match="nowhere"):
            open_store(tmp_path)
    store = open_store(tmp_path)
    assert read(store) == [3, 4]
    store.close()


def test_a_stream_that_is_gone_and_owes_nothing_is_forgotten_but_for_its_numbers(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.attach("yard", {"file:/a": "{}", "mqtt:b": "{1}"})
    append(store, 3)
    store.ack("yard", "file:/a", Progress(3))
    assert store.strangers([], []) == {"yard": {"file:/a": "{}", "mqtt:b": "{1}"}}, "a place is kept for both"
    store.ack("yard", "mqtt:b", Progress(1, ((2, 3),)))
    assert store.strangers([], ["yard"]) == {}
    assert read(store) == [1, 2, 3], "it is named, and may come back with another sink"
    assert store.strangers([], []) == {}
    assert read(store) == []
    assert append(store, 1) == [4]
    store.close()


def test_a_sink_that_is_removed_leaves_one_line_when_it_lacked_something(tmp_path: Path) -> None:
    log = RememberingLog()
    store = open_store(tmp_path, log)
    store.attach("yard", {"file:/a": "", "mqtt:b": "", "stdout": ""})
    append(store, 3)
    store.ack("yard", "file:/a", Progress(3))
    store.attach("yard", {"stdout": ""})
    assert log.lines == ["mqtt:b is no longer a sink of yard: what it still lacked, it will not get"]
    store.close()


def test_a_sink_that_moved_goes_on_where_it_was_and_nothing_is_told(tmp_path: Path) -> None:
    log = RememberingLog()
    store = open_store(tmp_path, log)
    store.attach("yard", {"file:/a": "{}", "mqtt:b": "{}"})
    append(store, 5)
    store.ack("yard", "file:/a", Progress(3))
    assert store.attach("yard", {"file:/new": "{}", "mqtt:b": "{}"}) == (
        5,
        {"file:/new": Progress(3), "mqtt:b": Progress(0)},
    )
    assert log.lines == []
    store.close()


def test_spans_that_a_broken_disk_has_garbled_are_delivered_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.attach("yard", {"file:/a": ""})
    store.ack("yard", "file:/a", Progress(2, ((4, 5),)))
    store.within(lambda connection: connection.execute("UPDATE cursors SET spans = '[[4,'"))
    assert store.attach("yard", {"file:/a": ""}) == (0, {"file:/a": Progress(2)})
    store.close()


def test_a_line_that_cannot_be_made_fails_alone_and_takes_no_number(tmp_path: Path) -> None:
    def no_line(seq: int) -> bytes:
        raise ValueError("NaN")

    store = open_store(tmp_path)
    first, failed, second = store.append_all([("yard", line), ("yard", no_line), ("yard", line)])
    assert (first, str(failed), second) == (1, "NaN", 2)
    assert read(store) == [1, 2]
    store.close()


def test_what_raises_within_a_transaction_leaves_nothing_of_it(tmp_path: Path) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO counts (day, stream) VALUES ('2026-07-27', 'yard')")
        raise RuntimeError("cut off")

    store = open_store(tmp_path)
    with pytest.raises(RuntimeError):
        store.within(half)
    assert store.within(lambda connection: connection.execute("SELECT * FROM counts").fetchall()) == []
    store.close()


def test_a_newer_version_is_set_aside_with_its_records_whole(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {tables.VERSION + 1}")
    connection.close()
    log = RememberingLog()
    open_store(tmp_path, log).close()
    assert (
        f"made by a newer overshootd (spool version {tables.VERSION + 1}, this one knows {tables.VERSION})"
        in log.lines[0]
    )
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
        connection.execute(f"PRAGMA user_version = {tables.VERSION + 1}")
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


def test_a_spool_that_somebody_else_has_open_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.05)
    store = open_store(tmp_path)
    append(store, 1)
    with pytest.raises(SpoolError, match="in use by another process: as root, `fuser"):
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
