"""The file of streams: whatever happens to it or to the process, it is whole, or it is set aside and that is said."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from overshootd import statefile
from overshootd.resume import FILE_NAME, OF_ONE_NAME, Kept, ResumeStore
from overshootd.sinks.disk import Disk
from tests.integration.sink_lab import remount, small_filesystem, unprivileged
from tests.remembering import RememberingLog

T = TypeVar("T")

MACHINE_ID = "0123456789abcdef0123456789abcdef\n"
OTHER_MACHINE_ID = "fedcba9876543210fedcba9876543210\n"

WRITES = ("open", "write", "fsync", "close", "replace")

PIECE = 100
"""Bytes that one write takes."""


async def at_once(function: Callable[[], T]) -> T:
    return function()


def store(directory: Path, log: RememberingLog | None = None, machine_id: str = MACHINE_ID) -> ResumeStore:
    return ResumeStore(directory, machine_id, log or RememberingLog(), at_once)


async def loaded(directory: Path, log: RememberingLog | None = None, machine_id: str = MACHINE_ID) -> list[Kept]:
    """What a next process reads."""
    return await store(directory, log, machine_id).load()


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def kept(stream_id: str, stream: str = "gate") -> Kept:
    return Kept(stream, stream_id, "wss://room.example", "native", "aa")


class Cut(BaseException):
    """The process is no more."""


class OneByOne:
    """`os` for the module under test: counts what is done to the file, and is cut off before number `last` of it.

    Writes go out in pieces, so that a cut falls into the middle of the content too.
    """

    def __init__(self, last: int | None = None, fails: OSError | None = None) -> None:
        self.done: list[str] = []
        self._last = last
        self._fails = fails

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._counted(name, real) if name in WRITES else real

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if len(self.done) == self._last:
                if name != "close":  # or the test would leave descriptors behind; a process that ends leaves none
                    raise self._fails or Cut
            else:
                self.done.append(name)
            if name == "write":
                descriptor, data = arguments
                return real(descriptor, data[:PIECE])
            return real(*arguments)

        return call


async def test_an_id_that_was_noted_is_read_by_the_next_process(tmp_path: Path) -> None:
    first = store(tmp_path / "state")
    assert await first.load() == []
    await first.created(kept("s1"))
    await first.created(kept("s2", "yard"))
    assert await loaded(tmp_path / "state") == [kept("s1"), kept("s2", "yard")]
    await first.deleted("s1")
    assert await loaded(tmp_path / "state") == [kept("s2", "yard")]


async def test_what_was_read_stays_noted_until_it_is_deleted(tmp_path: Path) -> None:
    """A second crash before the strays are gone must not lose them."""
    await store(tmp_path).created(kept("s1"))
    second = store(tmp_path)
    await second.load()
    await second.created(kept("s2"))
    assert await loaded(tmp_path) == [kept("s1"), kept("s2")]


async def test_only_its_owner_may_read_it_also_after_a_cut_that_left_another_file(tmp_path: Path) -> None:
    (tmp_path / f"{FILE_NAME}.new").touch(mode=0o644)
    await store(tmp_path).created(kept("s1"))
    assert names(tmp_path) == [FILE_NAME]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


async def test_machine_id_is_not_in_it(tmp_path: Path) -> None:
    await store(tmp_path).created(kept("s1"))
    assert MACHINE_ID.strip() not in (tmp_path / FILE_NAME).read_text()


async def test_a_deletion_of_what_is_not_noted_writes_nothing(tmp_path: Path) -> None:
    await store(tmp_path).deleted("s1")
    assert names(tmp_path) == []


async def test_streams_that_were_never_seen_to_end_do_not_grow_the_file(tmp_path: Path) -> None:
    writing = store(tmp_path)
    await writing.created(kept("other", "yard"))
    for number in range(20):
        await writing.created(kept(f"s{number}"))
    assert [one.stream_id for one in await loaded(tmp_path)] == ["other", *(f"s{20 - n}" for n in range(5, 0, -1))]


async def test_a_cut_at_any_point_leaves_the_old_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = [kept("s1")], [kept("s1"), kept("s2")]
    seen = []
    for last in count():
        directory = tmp_path / str(last)
        await store(directory).created(kept("s1"))
        cutting = store(directory)
        await cutting.load()
        with monkeypatch.context() as patch:
            patch.setattr(statefile, "os", OneByOne(last))
            try:
                await cutting.created(kept("s2"))
            except Cut:
                pass
            else:
                break
        log = RememberingLog()
        seen.append(await loaded(directory, log))
        assert seen[-1] in (old, new)
        assert log.lines == []
        # What the cut left behind is in nobody's way.
        await store(directory).created(kept("s3"))
        assert await loaded(directory) == [kept("s3")]
    assert seen[0] == old and seen[-1] == new


async def test_content_is_on_the_disk_before_its_name_and_the_name_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut leaves of a name whose content was not synced is an empty file."""
    calls = OneByOne()
    monkeypatch.setattr(statefile, "os", calls)
    await store(tmp_path).created(kept("s1"))
    order = [name for name in calls.done if name in ("fsync", "replace")]
    assert order == ["fsync", "replace", "fsync"]
    assert calls.done.index("fsync") > max(n for n, name in enumerate(calls.done) if name == "write")


@pytest.mark.parametrize(
    ("content", "aside"),
    [
        pytest.param(b"", f"{FILE_NAME}.corrupt", id="empty"),
        pytest.param(b"\0" * 4096, f"{FILE_NAME}.corrupt", id="zeros"),
        pytest.param(b"[" * 100_000, f"{FILE_NAME}.corrupt", id="deep"),
        pytest.param(b" " * 2_000_000, f"{FILE_NAME}.corrupt", id="long"),
        pytest.param(b'{"version": 2, "streams": {}}', f"{FILE_NAME}.newer", id="newer"),
    ],
)
async def test_an_unusable_file_is_set_aside_once_and_the_next_is_written(
    content: bytes, aside: str, tmp_path: Path
) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    log = RememberingLog()
    next_one = store(tmp_path, log)
    assert await next_one.load() == []
    assert len(log.lines) == 1
    assert f"set aside as {aside}" in log.lines[0]
    assert (tmp_path / aside).read_bytes() == content
    await next_one.created(kept("s1"))
    assert await loaded(tmp_path, log) == [kept("s1")]
    assert len(log.lines) == 1


async def test_a_file_that_may_not_be_read_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    log = RememberingLog()
    assert await loaded(tmp_path, log) == []
    assert f"set aside as {FILE_NAME}.unreadable" in log.lines[0]


async def test_files_set_aside_do_not_pile_up(tmp_path: Path) -> None:
    for _ in range(3):
        (tmp_path / FILE_NAME).write_bytes(b"rubbish")
        await loaded(tmp_path)
    assert names(tmp_path) == [f"{FILE_NAME}.corrupt"]


async def test_a_copied_cards_streams_are_neither_resumed_nor_deleted(tmp_path: Path) -> None:
    await store(tmp_path).created(kept("theirs"))
    log = RememberingLog()
    copy = store(tmp_path, log, OTHER_MACHINE_ID)
    assert await copy.load() == []
    assert "of another machine" in log.lines[0] and len(log.lines) == 1
    await copy.created(kept("ours"))
    assert await loaded(tmp_path, log, OTHER_MACHINE_ID) == [kept("ours")]


async def test_a_machine_without_an_id_remembers_nothing(tmp_path: Path) -> None:
    """Two of them could not be told apart."""
    log = RememberingLog()
    nobody = store(tmp_path, log, "")
    await nobody.created(kept("s1"))
    assert await nobody.load() == []
    assert "no machine-id" in log.lines[0]
    assert names(tmp_path) == []


async def test_a_full_disk_is_told_once_and_what_was_missed_is_written_when_there_is_room(tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "small", "size=16k") as directory:
        log = RememberingLog()
        writing = store(directory, log)
        await writing.created(kept("s1"))
        ballast = directory / "ballast"
        with pytest.raises(OSError, match="No space"):
            ballast.write_bytes(b"x" * 100_000)
        await writing.created(kept("s2"))
        await writing.deleted("s1")
        assert [line for line in log.lines if "No space left" in line] == log.lines and len(log.lines) == 1
        assert await loaded(directory) == [kept("s1")]
        ballast.unlink()
        await writing.created(kept("s3"))
        assert "works again" in log.lines[-1] and len(log.lines) == 2
        assert await loaded(directory) == [kept("s2"), kept("s3")]


async def test_a_card_that_became_read_only_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "card", "size=1m") as directory:
        log = RememberingLog()
        await store(directory).created(kept("s1"))
        remount(directory, "ro")
        writing = store(directory, log)
        assert await writing.load() == [kept("s1")]
        await writing.created(kept("s2"))
        await writing.created(kept("s3"))
        assert len(log.lines) == 1 and "Read-only" in log.lines[0]


async def test_a_rubbish_file_on_a_read_only_card_stops_nothing(tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "card", "size=1m") as directory:
        (directory / FILE_NAME).write_bytes(b"rubbish")
        remount(directory, "ro")
        log = RememberingLog()
        assert await loaded(directory, log) == []
        assert len(log.lines) == 1 and "could not be set aside: Read-only" in log.lines[0]


@pytest.fixture
def roots_file() -> Iterator[Path]:
    """A directory where everybody may write, with a file in it that only root may read. Not in tmp_path, which lies
    below a directory that only root may enter."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o777)
    (directory / FILE_NAME).touch(mode=0o000)
    yield directory
    shutil.rmtree(directory)


async def test_a_file_of_another_user_is_set_aside(roots_file: Path) -> None:
    log = RememberingLog()
    with unprivileged():
        assert await loaded(roots_file, log) == []
    assert "Permission denied: set aside as streams.json.unreadable" in log.lines[0]


async def test_a_disk_that_does_not_answer_holds_no_stream_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statefile, "DISK_SECONDS", 0.1)

    async def never(_: Callable[[], T]) -> T:
        raise await asyncio.get_running_loop().create_future()

    log = RememberingLog()
    wedged = ResumeStore(tmp_path, MACHINE_ID, log, never)
    assert await wedged.load() == []
    await wedged.created(kept("s1"))
    assert ["does not answer" in line for line in log.lines] == [True, True]


async def test_in_the_disks_thread_it_holds_what_was_asked_for_last(tmp_path: Path) -> None:
    disk = Disk()
    try:
        writing = ResumeStore(tmp_path, MACHINE_ID, RememberingLog(), disk.run)
        streams = [kept(f"s{n}", f"stream {n}") for n in range(20)]
        await asyncio.gather(*(writing.created(one) for one in streams))
        await asyncio.gather(*(writing.deleted(one.stream_id) for one in streams[:10]))
        assert await loaded(tmp_path) == streams[10:]
    finally:
        await disk.close(5.0)
    await writing.created(kept("late"))  # the thread has ended: told, and nothing else


LAST = 20
"""More than is done to the file for one or two streams, less than for many: so a cut may fall anywhere, or nowhere."""


@contextmanager
def instead_of_os(calls: OneByOne) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statefile, "os", calls)
        yield


class StoreMachine(RuleBasedStateMachine):
    """Streams come and go, the disk is full at times, the process is cut off in the middle of what it writes."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.ids = (f"s{number}" for number in count())
        self.held: list[Kept] = []  # what the store is meant to hold
        self.may_be: list[list[Kept]] = [[]]  # what the file may hold
        self.restart()

    def teardown(self) -> None:
        shutil.rmtree(self.directory)

    @rule(stream=st.sampled_from(["gate", "yard"]))
    def create(self, stream: str) -> None:
        asyncio.run(self.store.created(self.next(stream)))
        self.may_be = [self.held]

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([kept("unknown"), *self.held]))
        asyncio.run(self.store.deleted(one.stream_id))
        if one in self.held:
            self.held = [other for other in self.held if other != one]
            self.may_be = [self.held]

    @rule(stream=st.sampled_from(["gate", "yard"]), last=st.integers(0, LAST))
    def create_on_a_full_disk(self, stream: str, last: int) -> None:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with instead_of_os(OneByOne(last, full)):
            asyncio.run(self.store.created(self.next(stream)))
        self.may_be = [*self.may_be, self.held]

    @rule(stream=st.sampled_from(["gate", "yard"]), last=st.integers(0, LAST))
    def create_and_be_cut_off(self, stream: str, last: int) -> None:
        with instead_of_os(OneByOne(last)), suppress(Cut):
            asyncio.run(self.store.created(self.next(stream)))
        self.may_be = [*self.may_be, self.held]
        self.restart()

    @rule()
    def restart(self) -> None:
        self.store = store(self.directory)
        self.held = asyncio.run(self.store.load())
        assert self.held in self.may_be
        self.may_be = [self.held]

    @invariant()
    def it_is_whole_and_bounded(self) -> None:
        log = RememberingLog()
        found = asyncio.run(loaded(self.directory, log))
        assert found in self.may_be
        assert log.lines == []
        assert all(sum(one.stream == name for one in found) <= OF_ONE_NAME for name in ("gate", "yard"))

    def next(self, stream: str) -> Kept:
        """A new stream, and what is meant to be held with it."""
        one = kept(next(self.ids), stream)
        same = [other for other in self.held if other.stream == stream]
        gone = same[: max(len(same) + 1 - OF_ONE_NAME, 0)]
        self.held = [*(other for other in self.held if other not in gone), one]
        return one


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestStoreMachine = StoreMachine.TestCase
