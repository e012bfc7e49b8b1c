"""Lines that a file sink holds for the sync are in the spool until then: none is lost, and none torn, whatever happens.

With a delivery and a spool as the daemon has them; the spool is on a disk of its own.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from overshootd.sinks.cursor import Cursor
from overshootd.sinks.delivery import Delivery
from overshootd.sinks.disk import Disk
from overshootd.sinks.spool import Spool
from tests.integration.delivery_lab import NEVER, SOON, append, opened
from tests.integration.file_lab import PATIENCE, content, ext4, older, open_sink
from tests.remembering import RememberingLog

RARELY = 10.0
"""`sync_seconds` of a sink that holds its lines."""

KILLED = """
import asyncio, sys
from pathlib import Path
from tests.integration.test_file_sink_delivery import append, delivering, opened

async def main(state, path):
    async with opened(Path(state)) as spool, delivering(spool, Path(path)) as running:
        await append(spool, 5)
        await running.has_been_given(5)
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass
class Delivering:
    cursor: Cursor
    delivery: Delivery
    task: asyncio.Task[None]
    log: RememberingLog

    async def has_been_given(self, seq: int) -> None:
        await until(lambda: self.cursor.given.floor >= seq)

    async def sync(self) -> None:
        """As if the time had come. Returns when the cursor has moved."""
        self.cursor.ask()
        async with asyncio.timeout(PATIENCE):
            await self.cursor.moved()

    async def stop(self, within: float = PATIENCE) -> None:
        self.delivery.stop(within)
        await self.task

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


@asynccontextmanager
async def delivering(
    spool: Spool, path: Path, *, sync_seconds: float = NEVER, **config: object
) -> AsyncIterator[Delivering]:
    """It has a thread of its own; it is stopped at the end unless the test did something else with it."""
    disk, log = Disk(), RememberingLog()
    given = {"rotate_bytes": 1_000_000, "gzip": False, "sync_seconds": RARELY, **config}
    sink = open_sink(disk, path, None, None, **given)
    [cursor] = spool.attach("yard", {sink.name: ""})
    delivery = Delivery(cursor, sink, log, sync_seconds=sync_seconds, backoff=SOON)
    running = Delivering(cursor, delivery, asyncio.create_task(delivery.run()), log)
    try:
        yield running
    finally:
        if not running.task.cancelled():
            await running.stop()
        assert await disk.close(PATIENCE)


class Sync:
    """Stands for os.fdatasync of the file at `path`: it ends when the test says so, in an error if it is to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self._path, self._real = path, os.fdatasync
        self.error = 0
        self.times = 0
        self.begun = threading.Event()
        self.may_end = threading.Event()
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() != self._path:
            return self._real(descriptor)
        self.times += 1
        self.begun.set()
        assert self.may_end.wait(PATIENCE)
        if error := self.error:
            self.error = 0  # the kernel says it once
            raise OSError(error, os.strerror(error))
        self._real(descriptor)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110  # of threads and cursors, which tell nobody
            await asyncio.sleep(0.005)


def is_there(path: Path) -> bool:
    return path.exists()


def move_away(path: Path) -> Path:
    return path.rename(path.with_name(f"{path.name}.1"))


@contextmanager
def in_the_way(path: Path) -> Iterator[None]:
    """Nothing can be written there meanwhile."""
    path.mkdir(parents=True)
    yield
    path.rmdir()


def fail(card: Path) -> None:
    """Have its ext4 behave as after an error that it found: it is read-only, whoever has files open there."""
    subprocess.run(["mount", "-o", "remount,abort", str(card)], check=True)


def mount_again(card: Path) -> None:
    subprocess.run(["umount", str(card)], check=True)
    subprocess.run(["mount", "-o", "loop", str(card.with_name(f"{card.name}.img")), str(card)], check=True)


def seqs(*files: Path) -> list[int]:
    """Of whole lines: a torn one does not parse."""
    return [json.loads(line)["seq"] for line in content(files)]


def in_all(path: Path) -> list[int]:
    return seqs(*older(path), path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results" / "yard.jsonl"


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    async with opened(tmp_path / "state") as spool:
        yield spool


async def acked(spool: Spool, path: Path) -> int:
    """Up to which seq the spool knows that the file has it."""
    [cursor] = spool.attach("yard", {f"file:{path}": ""})
    await cursor.attach()
    return cursor.given.floor


async def test_lines_are_only_in_the_spool_until_the_sync_and_then_in_the_file(spool: Spool, path: Path) -> None:
    async with delivering(spool, path) as running:
        await append(spool, 5)
        await running.has_been_given(5)
        assert not is_there(path)
        assert not running.cursor.settled
        await running.sync()
        assert seqs(path) == [1, 2, 3, 4, 5]
    assert await acked(spool, path) == 5


async def test_a_stop_writes_what_is_held_and_syncs_it(
    spool: Spool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = Sync(monkeypatch, path)
    sync.may_end.set()
    async with delivering(spool, path) as running:
        await append(spool, 5)
        await running.has_been_given(5)
        await running.stop()
        assert seqs(path) == [1, 2, 3, 4, 5]
        assert sync.times
        assert running.log.lines == []
    assert await acked(spool, path) == 5


async def test_what_a_sync_had_written_when_it_was_cancelled_comes_once_more(
    spool: Spool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = Sync(monkeypatch, path)
    async with delivering(spool, path) as running:
        await append(spool, 5)
        await running.has_been_given(5)
        running.cursor.ask()
        await until(sync.begun.is_set)
        await running.cancel()
        sync.may_end.set()
    assert await acked(spool, path) == 0
    async with delivering(spool, path):
        await append(spool, 1)
    assert seqs(path) == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6]


async def test_a_sync_that_fails_after_it_was_cancelled_is_not_taken_for_one_that_did_not(
    spool: Spool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop that comes in the middle of a sync gives it up, and has the sink sync once more: that one goes well."""
    sync = Sync(monkeypatch, path)
    async with delivering(spool, path) as running:
        await append(spool, 5)
        await running.has_been_given(5)
        running.cursor.ask()
        await until(sync.begun.is_set)
        sync.error = errno.EIO
        stopping = asyncio.create_task(running.stop())
        await until(lambda: all(task.get_name() != "settle" for task in asyncio.all_tasks()))  # it was given up
        sync.may_end.set()
        await stopping
        assert any("cannot be synced to the disk" in line for line in running.log.lines)
    assert await acked(spool, path) == 0
    async with delivering(spool, path):
        pass
    assert seqs(path) == [1, 2, 3, 4, 5] * 2


async def test_the_file_is_rotated_between_held_lines(spool: Spool, path: Path) -> None:
    async with delivering(spool, path, rotate_bytes=1000, keep=100) as running:
        await append(spool, 30)
        await running.has_been_given(30)
        await running.sync()
        assert len(older(path)) > 3
        assert in_all(path) == [*range(1, 31)]
    assert await acked(spool, path) == 30


@pytest.mark.parametrize("megabytes", [8, 40])
async def test_a_disk_that_is_full_at_the_sync_costs_nothing(spool: Spool, tmp_path: Path, megabytes: int) -> None:
    """The larger one has room to allocate ahead, at first."""
    with ext4(tmp_path / "card", megabytes) as card:
        path = card.path / "yard.jsonl"
        async with delivering(spool, path, rotate_bytes=20_000, keep=1000) as running:
            await append(spool, 10)
            await running.has_been_given(10)
            await running.sync()
            card.fill(leave=16 * 1024)
            await append(spool, 300)
            await running.has_been_given(310)
            running.cursor.ask()
            await until(lambda: bool(running.log.lines))
            before = in_all(path)
            assert before == [*range(1, len(before) + 1)]
            assert len(before) < 310
            card.free()
            await running.has_been_given(310)
            await running.sync()
            assert in_all(path) == [*range(1, 311)]
            await until(lambda: len(running.log.lines) == 2)
            assert "No space left on device" in running.log.lines[0]
            assert "works again" in running.log.lines[1]


async def test_a_filesystem_that_turns_read_only_while_lines_are_held_has_them_after_it_is_mounted_again(
    spool: Spool, tmp_path: Path
) -> None:
    """Then it has to be mounted anew, and the daemon to be started."""
    with ext4(tmp_path / "card", 8) as card:
        path = card.path / "yard.jsonl"
        async with delivering(spool, path) as running:
            await append(spool, 3)
            await running.has_been_given(3)
            await running.sync()
            await append(spool, 3)
            await running.has_been_given(6)
            fail(card.path)
            running.cursor.ask()
            await until(lambda: bool(running.log.lines))
            await append(spool, 3)
            await running.stop()
            assert "Read-only file system" in running.log.lines[0]
        assert await acked(spool, path) == 3
        mount_again(card.path)
        async with delivering(spool, path):
            pass
        assert seqs(path) == [*range(1, 10)]


async def test_a_file_that_logrotate_renames_while_lines_are_held_keeps_what_was_synced(
    spool: Spool, path: Path
) -> None:
    async with delivering(spool, path) as running:
        await append(spool, 3)
        await running.has_been_given(3)
        await running.sync()
        await append(spool, 3)
        await running.has_been_given(6)
        moved = move_away(path)
        await running.sync()
        assert (seqs(moved), seqs(path)) == ([1, 2, 3], [4, 5, 6])


async def test_a_file_that_logrotate_copies_and_empties_while_lines_are_held_goes_on_at_its_beginning(
    spool: Spool, path: Path
) -> None:
    async with delivering(spool, path) as running:
        await append(spool, 3)
        await running.has_been_given(3)
        await running.sync()
        await append(spool, 3)
        await running.has_been_given(6)
        os.truncate(path, 0)
        await running.sync()
        assert seqs(path) == [4, 5, 6]


async def test_lines_that_come_again_beside_new_ones_are_written_once_and_in_order(spool: Spool, path: Path) -> None:
    """After each sync that fails all since the last one are given once more."""
    async with delivering(spool, path) as running:
        with in_the_way(path):
            for seq in range(1, 6):
                await append(spool, 1)
                await running.has_been_given(seq)
                running.cursor.ask()
                await until(lambda: not running.cursor.due.is_set())
        await running.has_been_given(5)
        await running.sync()
        assert seqs(path) == [1, 2, 3, 4, 5]


async def test_lines_that_a_killed_process_held_come_from_the_spool_at_the_next_start(
    tmp_path: Path, path: Path
) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(tmp_path / "state"), str(path), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout
    async with asyncio.timeout(PATIENCE):
        assert await child.stdout.readline() == b"held\n"
    child.kill()
    await child.wait()
    assert not is_there(path)
    async with opened(tmp_path / "state") as spool, delivering(spool, path):
        pass
    assert Counter(seqs(path)) == Counter(range(1, 6))
