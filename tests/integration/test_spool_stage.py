"""What is new waits on a tmpfs: it outlives the process, costs the disk nothing if it is delivered in time, and a stage
that is full, gone or broken costs nothing that can be had without it."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from overshootd.groups import TaskGroup
from overshootd.sinks import stage, staging
from overshootd.sinks.database import Connection
from overshootd.sinks.delivery import Delivery
from overshootd.sinks.disk import Disk
from overshootd.sinks.places import Stream, row_of
from overshootd.sinks.progress import Progress
from overshootd.sinks.spool import FILE_NAME, Spool
from overshootd.sinks.tables import TABLES
from tests.integration.delivery_lab import Wire
from tests.integration.sink_lab import record, small_filesystem
from tests.integration.stage_lab import append, killed, open_store, read, staged_at, written
from tests.integration.test_spool import CHILD, ROOT, everything
from tests.remembering import RememberingLog

SYNC_SECONDS = 3.0
PATIENCE = 30.0


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    path = tmp_path / "memory"
    path.mkdir()
    return path


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk()
    yield disk
    assert await disk.close(PATIENCE)


def test_a_record_goes_to_the_disk_with_the_next_sync_and_not_before(tmp_path: Path, memory: Path) -> None:
    store = open_store(tmp_path, memory)
    store.attach("yard", {"mqtt:b": "{}"})
    before = written(tmp_path / FILE_NAME)
    append(store, 5)
    assert written(tmp_path / FILE_NAME) == before
    store.sync()
    assert b"5 xxx" in written(tmp_path / FILE_NAME)
    store.close()


def test_a_stage_that_cannot_be_begun_leaves_nothing_for_the_next_start(tmp_path: Path, memory: Path) -> None:
    store = open_store(tmp_path, memory)
    store.open()
    store.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        when = "BEFORE UPDATE ON store WHEN NEW.boot LIKE '%@%'"
        connection.execute(f"CREATE TRIGGER full {when} BEGIN SELECT RAISE(FAIL, 'no room'); END")
    log = RememberingLog()
    store = open_store(tmp_path, memory, log)
    store.open()
    assert ["no room" in line for line in log.lines] == [True]
    assert list(memory.iterdir()) == []
    append(store, 2)
    assert read(store) == [1, 2]
    store.close()


def test_what_every_sink_has_by_then_is_never_written(tmp_path: Path, memory: Path) -> None:
    store = open_store(tmp_path, memory)
    store.attach("yard", {"mqtt:b": "{}", "file:/a": "{}"})
    before = written(tmp_path / FILE_NAME)
    append(store, 5)
    store.ack("yard", "mqtt:b", Progress(5))
    store.ack("yard", "file:/a", Progress(5))
    store.sync()
    assert written(tmp_path / FILE_NAME) == before
    store.close()


async def test_sinks_are_asked_to_sync_in_time(tmp_path: Path, memory: Path, disk: Disk) -> None:
    """A sink that syncs as often as the spool is asked shortly before, so that nothing need be written."""
    log, wire = RememberingLog(), Wire()
    spool = Spool(tmp_path / "state", disk, log, sync_seconds=SYNC_SECONDS, stage_dir=memory)
    [cursor] = spool.attach("yard", {"wire": "{}"})
    delivery = Delivery(cursor, wire, log, sync_seconds=SYNC_SECONDS)
    syncs = asyncio.Semaphore(0)

    async def about_to_sync() -> None:
        syncs.release()

    spool.before_sync = about_to_sync
    async with TaskGroup() as tasks:
        running = [tasks.create_task(spool.run()), tasks.create_task(delivery.run())]
        await spool.append(record("yard"))
        async with asyncio.timeout(PATIENCE):
            await syncs.acquire()
            await spool.append(record("yard"))  # and so there is another sync, behind the first
            await syncs.acquire()
        assert wire.syncs > 0
        assert wire.seqs == [1, 2]
        assert not any(b'"seq":1,' in file.read_bytes() for file in (tmp_path / "state").iterdir())
        for task in running:
            task.cancel()
    await spool.close(PATIENCE)


def test_what_was_staged_when_the_process_was_killed_is_there_and_the_numbers_go_on(
    tmp_path: Path, memory: Path
) -> None:
    script = CHILD.replace("RememberingLog())", "RememberingLog(), stage_dir=Path(sys.argv[2]))")
    command = [sys.executable, "-c", script, str(tmp_path / "state"), str(memory)]
    told: list[int] = []
    for wanted in (1, 300, 40):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
            assert child.stdout is not None
            told += [int(child.stdout.readline()) for _ in range(wanted)]
            child.kill()
    seqs = [line["seq"] for line in asyncio.run(everything(tmp_path / "state", stage_dir=memory))]
    assert seqs == list(range(1, len(seqs) + 1))
    assert set(told) <= set(seqs)
    assert list(memory.iterdir()) == [], "an orderly end leaves nothing behind"


def test_a_stage_that_is_full_is_left_and_all_goes_to_the_disk(tmp_path: Path) -> None:
    log = RememberingLog()
    with small_filesystem(tmp_path / "memory", "size=200k") as memory:
        store = open_store(tmp_path, memory, log)
        assert append(store, 500, 1000) == [*range(1, 501)]
        assert read(store) == [*range(1, 501)]
        assert list(memory.iterdir()) == []
        store.close()
    [line] = log.lines
    assert "goes to the disk at once" in line


def test_a_stage_that_was_full_is_begun_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "AGAIN_SECONDS", 0.0)
    log = RememberingLog()
    with small_filesystem(tmp_path / "memory", "size=200k") as memory:
        store = open_store(tmp_path, memory, log)
        append(store, 500, 1000)
        assert list(memory.iterdir()) == []
        store.sync()
        before = written(tmp_path / FILE_NAME)
        append(store, 5)
        assert written(tmp_path / FILE_NAME) == before
        killed(store, tmp_path, memory)
        store = open_store(tmp_path, memory)
        assert read(store) == [*range(1, 506)]
        store.close()
    assert "works again" in log.lines[1]


def test_a_stage_of_a_directory_that_is_not_there_is_told_and_not_needed(tmp_path: Path) -> None:
    log = RememberingLog()
    store = open_store(tmp_path, tmp_path / "nowhere", log)
    assert append(store, 3) == [1, 2, 3]
    killed(store, tmp_path, tmp_path)
    assert read(open_store(tmp_path, tmp_path / "nowhere")) == [1, 2, 3]
    [line] = log.lines
    assert "nowhere" in line


def test_a_stage_that_is_gone_is_told_and_no_number_comes_again(tmp_path: Path, memory: Path) -> None:
    store = open_store(tmp_path, memory)
    append(store, 20)
    killed(store, tmp_path, memory)
    for file in memory.iterdir():
        file.unlink()
    log = RememberingLog()
    store = open_store(tmp_path, memory, log)
    assert min(append(store, 1)) > 20
    [line] = log.lines
    assert "is gone" in line
    store.close()


@pytest.mark.parametrize(("content", "told"), [(b"", "is gone"), (b"broken" * 1000, "set aside")])
def test_a_broken_stage_is_no_reason_not_to_start(tmp_path: Path, memory: Path, content: bytes, told: str) -> None:
    store = open_store(tmp_path, memory)
    append(store, 20)
    killed(store, tmp_path, memory)
    staged_at(memory).write_bytes(content)
    log = RememberingLog()
    store = open_store(tmp_path, memory, log)
    assert min(append(store, 1)) > 20
    [line] = log.lines
    assert told in line
    store.close()


def test_the_stage_of_another_version_is_set_aside(tmp_path: Path, memory: Path) -> None:
    store = open_store(tmp_path, memory)
    append(store, 20)
    killed(store, tmp_path, memory)
    path = staged_at(memory)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1000")
    log = RememberingLog()
    store = open_store(tmp_path, memory, log)
    assert min(append(store, 1)) > 20
    assert f"set aside as {path}.aside" in log.lines[0]
    assert path.with_name(f"{path.name}.aside").exists()
    store.close()


def test_the_stage_of_a_former_boot_is_not_taken(tmp_path: Path, memory: Path) -> None:
    """A directory that outlived the boot is on a disk: what is there was not synced with the spool."""
    store = open_store(tmp_path, memory)
    append(store, 20)
    killed(store, tmp_path, memory)
    store = open_store(tmp_path, memory, boot="boot 2")
    assert read(store) == []
    assert append(store, 1) == [1_000_001]
    store.close()


def test_a_stage_that_moves_is_taken_over_from_where_it_was(tmp_path: Path, memory: Path) -> None:
    store = open_store(tmp_path, memory)
    append(store, 20)
    killed(store, tmp_path, memory)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    log = RememberingLog()
    store = open_store(tmp_path, elsewhere, log)
    assert read(store) == [*range(1, 21)]
    assert (append(store, 1), log.lines, list(memory.iterdir())) == ([21], [], [])
    store.close()


def test_spools_that_share_a_directory_do_not_share_a_stage(tmp_path: Path, memory: Path) -> None:
    stores = [open_store(tmp_path / name, memory) for name in ("a", "b")]
    assert [append(store, 2) for store in stores] == [[1, 2], [1, 2]]
    killed(stores[0], tmp_path / "a", memory)
    assert read(open_store(tmp_path / "a", memory)) == [1, 2]
    stores[1].close()


@pytest.fixture
def staged() -> Iterator[Connection]:
    """Ten records of a stream on a stage, and no spool."""
    with closing(sqlite3.connect(":memory:", factory=Connection)) as connection:
        connection.execute("ATTACH ':memory:' AS stage")
        connection.executescript(re.sub("(CREATE TABLE) ", r"\1 stage.", TABLES))
        connection.execute("INSERT INTO stage.streams VALUES (1, 'yard', 0)")
        rows = [(row_of(1, seq), None, b"") for seq in range(1, 11)]
        connection.executemany("INSERT INTO stage.records VALUES (?, ?, ?)", rows)
        yield connection


@pytest.mark.parametrize(
    ("sinks", "left"),
    [
        ([Progress(10), Progress(4)], [5, 6, 7, 8, 9, 10]),
        ([Progress(10), Progress(2, ((4, 6), (9, 9)))], [3, 7, 8, 10]),
        ([Progress(2, ((4, 6),)), Progress(1, ((5, 8),))], [2, 3, 4, 7, 8, 9, 10]),
        ([], []),
    ],
)
def test_what_every_sink_has_leaves_the_stage(staged: Connection, sinks: list[Progress], left: list[int]) -> None:
    stage.drop_delivered(staged, Stream(1, 10), sinks)
    rows = staged.execute("SELECT id FROM stage.records ORDER BY id").fetchall()
    assert [row - row_of(1, 0) for (row,) in rows] == left
    assert staged.execute("SELECT seq FROM stage.streams").fetchone() == (10,), "though its record may be gone"
