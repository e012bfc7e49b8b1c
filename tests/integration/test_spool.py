"""A result received is there again: after a kill, a power cut, a full disk; once and in order for every sink."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from overshootd.contracts import Record
from overshootd.errors import SpoolError
from overshootd.sinks import housekeeping
from overshootd.sinks import spool as spool_module
from overshootd.sinks.cursor import Batch
from overshootd.sinks.disk import Disk
from overshootd.sinks.spool import FILE_NAME, Spool
from overshootd.sinks.store import Store
from tests.integration.sink_lab import record, small_filesystem, store_one
from tests.remembering import RememberingLog

ROOT = Path(__file__).parents[2]
CHILD = """
import asyncio, sys
from pathlib import Path
from overshootd.sinks.disk import Disk
from overshootd.sinks.spool import Spool
from tests.integration.sink_lab import record
from tests.remembering import RememberingLog

async def main():
    spool = Spool(Path(sys.argv[1]), Disk(), RememberingLog())
    while True:
        print(await spool.append(record("yard")), flush=True)

asyncio.run(main())
"""


def test_what_was_stored_when_the_process_was_killed_is_there_and_the_numbers_go_on(tmp_path: Path) -> None:
    told: list[int] = []
    for wanted in (1, 40, 300):
        command = [sys.executable, "-c", CHILD, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
            assert child.stdout is not None
            first, *_ = [int(child.stdout.readline()) for _ in range(wanted)]
            child.kill()
            rest = child.stdout.read().rpartition("\n")[0]  # without the line that the kill tore
        # The last record may have been stored although the child did not come to say so.
        assert first - (told[-1] if told else 0) in (1, 2)
        told += [*range(first, first + wanted), *(int(number) for number in rest.split())]
    lines = asyncio.run(everything(tmp_path))
    seqs = [line["seq"] for line in lines]
    assert seqs == list(range(1, len(seqs) + 1))
    assert set(told) <= set(seqs)
    assert len({line["uid"] for line in lines}) == len(lines)


async def everything(state_dir: Path, stream: str = "yard", stage_dir: Path | None = None) -> list[dict[str, Any]]:
    """What a new sink is given."""
    disk = Disk()
    spool = Spool(state_dir, disk, RememberingLog(), stage_dir=stage_dir)
    [cursor] = spool.attach(stream, {"test": ""})
    await cursor.attach()
    found: list[bytes] = []
    while (gap := cursor.given.gap(cursor.head)) is not None:
        batch = await cursor.read(gap[0] - 1, gap[1])
        cursor.gave(batch)
        found += batch.lines
    await spool.close(5)
    assert await disk.close(5)
    return [json.loads(line) for line in found]


def test_appending_syncs_nothing(tmp_path: Path) -> None:
    """Counted by strace: no more syncs in 300 appends than opening makes."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace, script = tmp_path / "trace", CHILD.replace("while True:", "for _ in range(300):")
    strace = ["strace", "-f", "-e", "trace=fsync,fdatasync,sync_file_range", "-o", str(trace)]
    command = [*strace, sys.executable, "-c", script, str(tmp_path / "state")]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "300"
    assert 0 < trace.read_text().count("sync(") < 20


CROWD = """
import asyncio, sys
from pathlib import Path
from overshootd.sinks.disk import Disk
from overshootd.sinks.spool import Spool
from tests.integration.sink_lab import record
from tests.remembering import RememberingLog

async def one(spool, stream):
    while True:
        print(stream, await spool.append(record(stream)), flush=True)

async def main():
    spool = Spool(Path(sys.argv[1]), Disk(), RememberingLog())
    await asyncio.gather(*(one(spool, f"camera {number}") for number in range(5)))

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", range(3))
def test_what_streams_stored_together_is_there_whenever_the_process_is_killed(tmp_path: Path, seed: int) -> None:
    command = [sys.executable, "-c", CROWD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(random.Random(seed).randint(1, 3000))]
        child.kill()
        lines += child.stdout.read().rpartition("\n")[0].splitlines()  # without the line that the kill tore
    told = [line.rsplit(" ", 1) for line in lines]
    for stream in {stream for stream, _ in told}:
        seqs = [line["seq"] for line in asyncio.run(everything(tmp_path, stream))]
        assert seqs == list(range(1, len(seqs) + 1))
        assert {int(seq) for name, seq in told if name == stream} <= set(seqs)


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk()
    yield disk
    assert await disk.close(5)


def appending(spool: Spool, *records: Record) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(spool.append(one)) for one in records]


async def test_records_that_come_together_are_one_job_of_the_disk(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[object] = []
    run = disk.run

    async def counted(function: Any, *args: Any) -> Any:
        jobs.append(function)
        return await run(function, *args)

    monkeypatch.setattr(disk, "run", counted)
    spool = Spool(tmp_path, disk, RememberingLog())
    seqs = await asyncio.gather(*appending(spool, *(record(f"camera {number % 8}") for number in range(80))))
    assert seqs == [1 + number // 8 for number in range(80)]
    assert len(jobs) == 1
    await spool.close(5)


async def test_a_record_that_is_no_json_fails_for_its_caller_alone(tmp_path: Path, disk: Disk) -> None:
    spool = Spool(tmp_path, disk, RememberingLog())
    bad = Record("result", "yard", {"stream": "yard", "text": float("nan")})
    before, failed, after = await asyncio.gather(
        *appending(spool, record("yard"), bad, record("yard")), return_exceptions=True
    )
    assert (before, after) == (1, 2)
    assert isinstance(failed, ValueError)
    await spool.close(5)


async def test_a_full_disk_fails_all_that_came_together_and_none_is_there_twice(tmp_path: Path, disk: Disk) -> None:
    with small_filesystem(tmp_path / "card", "size=1m") as card:
        spool = Spool(card, disk, RememberingLog())
        await spool.append(record("yard", "first"))
        filler = card / "filler"
        filler.write_bytes(b"\0" * 900_000)
        failed = await asyncio.gather(
            *appending(spool, *(record("yard", "x" * 100_000) for _ in range(5))), return_exceptions=True
        )
        assert ["no space left" in str(error) for error in failed] == [True] * 5
        assert "no space left" in spool.now.trouble
        filler.unlink()
        assert await spool.append(record("yard", "last")) == 2
        assert spool.now.trouble == ""
        await spool.close(5)
        assert [line["text"] for line in await everything(card)] == ["first", "last"]


async def test_a_caller_that_gives_up_neither_holds_up_nor_loses_what_the_others_store(
    tmp_path: Path, disk: Disk
) -> None:
    spool = Spool(tmp_path, disk, RememberingLog())
    first, second, third = appending(spool, record("yard", "a"), record("yard", "b"), record("yard", "c"))
    await asyncio.sleep(0)  # all three wait for the disk
    second.cancel()
    assert (await first, await third) == (1, 2)
    with pytest.raises(asyncio.CancelledError):
        await second
    await spool.close(5)
    assert [line["text"] for line in await everything(tmp_path)] == ["a", "c"]


async def test_a_wedged_disk_is_told_to_those_who_come_too_late(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "LIMIT", 3)
    spool = Spool(tmp_path, disk, RememberingLog())
    waiting = appending(spool, *(record("yard") for _ in range(3)))
    await asyncio.sleep(0)
    with pytest.raises(SpoolError, match="3 records wait for it"):
        await spool.append(record("yard"))
    assert await asyncio.gather(*waiting) == [1, 2, 3]
    await spool.close(5)


async def test_closing_waits_for_what_is_on_its_way(tmp_path: Path, disk: Disk) -> None:
    spool = Spool(tmp_path, disk, RememberingLog())
    waiting = appending(spool, record("yard"), record("door"))
    await asyncio.sleep(0)
    await spool.close(5)
    assert [task.done() and task.result() for task in waiting] == [1, 1]


async def test_what_is_kept_beside_the_records_is_written_before_a_sync(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, happened, synced = Spool(tmp_path, disk, RememberingLog(), sync_seconds=0.01), list[str](), asyncio.Event()
    await spool.append(record("yard"))
    loop = asyncio.get_running_loop()

    def sync(descriptor: int) -> None:
        happened.append("synced")
        loop.call_soon_threadsafe(synced.set)

    async def flush() -> None:
        happened.append("flushed")
        await spool.within(lambda connection: connection.execute("INSERT INTO counts (day, stream) VALUES ('d', 's')"))

    monkeypatch.setattr("os.fdatasync", sync)
    spool.before_sync = flush
    running = asyncio.create_task(spool.run())
    async with asyncio.timeout(20):
        await synced.wait()
    running.cancel()
    await asyncio.wait([running])
    assert happened == ["flushed", "synced"]
    await spool.close(5)


async def test_what_comes_while_sinks_are_asked_waits_no_longer_for_the_next_sync(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, asked, syncs = [1000.0], asyncio.Event(), asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    spool = Spool(tmp_path, disk, RememberingLog(), sync_seconds=60.0)
    [cursor] = spool.attach("yard", {"test": ""})
    await cursor.attach()
    monkeypatch.setattr(cursor, "sync_seconds", 0.0)
    monkeypatch.setattr(cursor, "ask", asked.set)  # the sink does not answer: it is waited for
    monkeypatch.setattr("os.fdatasync", lambda _: loop.call_soon_threadsafe(syncs.release))
    monkeypatch.setattr(spool_module, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    await spool.append(record("yard"))
    cursor.gave(Batch(1, 1, []))
    seconds[0] += 60.0
    running = asyncio.create_task(spool.run())
    async with asyncio.timeout(20):
        await asked.wait()
        await spool.append(record("yard"))
        seconds[0] += 60.0
        await syncs.acquire()
        await syncs.acquire()
    running.cancel()
    await asyncio.wait([running])
    await spool.close(5)


def test_a_state_dir_on_another_filesystem_is_all_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root of the device is read-only: not even making the file small finds a directory for temporary files."""
    for variable in ("SQLITE_TMPDIR", "TMPDIR"):
        monkeypatch.setenv(variable, "/proc/nowhere")
    monkeypatch.chdir("/proc")
    monkeypatch.setattr(housekeeping, "FREE_BYTES", 100_000)
    with small_filesystem(tmp_path / "card", "size=8m") as card:
        store = Store(card / "state" / FILE_NAME, RememberingLog(), "boot")
        store.attach("yard", {})
        store.append_all([("yard", lambda seq: b"x" * 1000)] * 300)
        while store.purge("yard"):
            pass
        store.tend()
        assert store_one(store, "yard", lambda seq: b"x") == 301
        assert sum(path.stat().st_size for path in (card / "state").iterdir()) < 100_000
        store.close()
