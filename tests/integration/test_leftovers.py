"""Which streams of ours exist at the API: taken up, deleted, or remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from structlog.testing import CapturingLogger

from overshootd.contracts import Session, StreamSpec
from overshootd.leftovers import CLEARED_SECONDS, LONGEST_LEASE, Streams
from overshootd.resume import FILE_NAME, Kept, ResumeStore
from tests.integration.daemon_bed import eventually
from tests.unit.attempt_parts import OneSession, Paths

T = TypeVar("T")
ONE, TWO = Kept("one", "1", "ws://rooms", "native", "same"), Kept("two", "2", "ws://rooms", "native", "other")


async def at_once(function: Callable[[], T], /) -> T:
    return function()


@dataclass
class Api:
    """Deletes what is not in `deaf`."""

    deaf: set[str] = field(default_factory=set)
    deleted: list[str] = field(default_factory=list)

    async def create(self, spec: StreamSpec) -> Session:
        return OneSession()

    async def resume(self, stream_id: str, url: str) -> Session:
        return OneSession()

    async def delete(self, stream_id: str) -> bool:
        self.deleted.append(stream_id)
        return stream_id not in self.deaf


@dataclass
class Bed:
    folder: Path
    api: Api = field(default_factory=Api)
    paths: Paths = field(default_factory=Paths)
    wanted: Mapping[str, str] = field(default_factory=lambda: {"one": "same", "two": "same"})
    now: float = 0.0

    def store(self) -> ResumeStore:
        return ResumeStore(self.folder, "0123456789abcdef", CapturingLogger(), at_once)

    async def left_behind(self, *kept: Kept) -> None:
        store = self.store()
        for one in kept:
            await store.created(one)

    async def remembered(self) -> list[str]:
        return [one.stream_id for one in await self.store().load()]

    @asynccontextmanager
    async def streams(self, prompts: Mapping[str, str] | None = None) -> AsyncIterator[Streams]:
        store, log = self.store(), CapturingLogger()
        fingerprint = lambda name, prompt: self.wanted[name] + prompt  # noqa: E731 - it is what one is called with
        streams = Streams(store, fingerprint, lambda name: self.api, self.paths, log, clock=lambda: self.now)
        await streams.load(dict.fromkeys(self.wanted, "") if prompts is None else prompts)
        running = asyncio.create_task(streams.run())
        try:
            async with asyncio.timeout(10):
                yield streams
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_the_same_configuration_is_taken_up_and_another_deleted_first(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    await bed.left_behind(ONE, TWO)
    async with bed.streams() as streams:
        assert streams.kept("one", "") == ("1", "ws://rooms")
        assert streams.kept("two", "") is None
        await streams.cleared()
        assert bed.api.deleted == ["2"]
    assert await bed.remembered() == ["1"]


async def test_a_stray_that_cannot_be_deleted_is_tried_again_and_at_once_when_the_path_changes(tmp_path: Path) -> None:
    bed = Bed(tmp_path, Api(deaf={"2"}))
    await bed.left_behind(TWO)
    async with bed.streams():
        await eventually(lambda: bed.api.deleted, "a try")
        bed.api.deaf.clear()
        bed.paths.change()
        await eventually(lambda: len(bed.api.deleted) > 1, "another one")


async def test_a_stray_that_cannot_be_deleted_is_forgotten_when_its_lease_has_ended(tmp_path: Path) -> None:
    bed = Bed(tmp_path, Api(deaf={"2"}))
    await bed.left_behind(TWO)
    async with bed.streams() as streams:
        await streams.cleared()
        bed.now = LONGEST_LEASE
        bed.paths.change()
        while await bed.remembered():  # noqa: ASYNC110  # nobody tells: the file is read anew each time
            await asyncio.sleep(0.01)


async def test_what_cannot_be_taken_up_for_so_long_that_no_lease_lives_is_let_go(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    await bed.left_behind(ONE)
    async with bed.streams() as streams:
        bed.now = LONGEST_LEASE
        assert streams.kept("one", "") is None


async def test_one_stray_that_nobody_deletes_holds_no_other_stream_up(tmp_path: Path) -> None:
    bed = Bed(tmp_path, Api(deaf={"2"}))
    await bed.left_behind(TWO)
    async with bed.streams() as streams:
        async with asyncio.timeout(CLEARED_SECONDS / 2):
            await streams.cleared()
        assert bed.api.deleted == ["2"]


async def test_what_is_taken_up_is_not_written_anew(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    await bed.left_behind(ONE)
    before = (tmp_path / FILE_NAME).stat().st_ino
    async with bed.streams() as streams:
        await streams.created("one", OneSession(stream_id="1"), "native", "")
    assert (tmp_path / FILE_NAME).stat().st_ino == before


async def test_what_is_gone_is_taken_up_only_once(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    await bed.left_behind(ONE)
    async with bed.streams() as streams:
        await streams.ended("one", "1", settled=True)
        assert streams.kept("one", "") is None
    assert await bed.remembered() == []


async def test_a_stream_whose_end_was_not_heard_is_a_stray(tmp_path: Path) -> None:
    bed = Bed(tmp_path, Api(deaf={"1"}))
    async with bed.streams() as streams:
        await streams.created("one", OneSession(), "native", "")
        await streams.ended("one", "1", settled=False)
        assert await bed.remembered() == ["1"]
        bed.api.deaf.clear()
        await streams.cleared()
    assert await bed.remembered() == []


async def test_what_nobody_took_up_is_deleted_at_the_end(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    await bed.left_behind(ONE)
    async with bed.streams() as streams:
        await streams.end()
    assert bed.api.deleted == ["1"]
    assert await bed.remembered() == []


async def test_an_end_that_nobody_hears_is_bounded_and_remembered(tmp_path: Path) -> None:
    bed = Bed(tmp_path, Api(deaf={"1"}))
    await bed.left_behind(ONE)
    async with bed.streams() as streams:
        await streams.end()
    assert await bed.remembered() == ["1"]


async def test_what_is_asked_something_else_by_now_is_not_taken_up_but_deleted(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    await bed.left_behind(ONE)
    async with bed.streams() as streams:
        assert streams.kept("one", "What?") is None
        await streams.cleared()
    assert (bed.api.deleted, await bed.remembered()) == (["1"], [])


async def test_what_a_paused_stream_left_is_deleted_at_once(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    await bed.left_behind(ONE)
    async with bed.streams() as streams:
        streams.let_go("one")
        streams.let_go("one")
        await streams.cleared()
        assert streams.kept("one", "") is None
    assert (bed.api.deleted, await bed.remembered()) == (["1"], [])


async def test_a_stream_whose_prompt_changed_is_taken_up_with_that_one(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    async with bed.streams() as streams:
        await streams.created("one", OneSession(), "native", "")
        await streams.created("one", OneSession(), "native", "What?")
    async with bed.streams({"one": "What?"}) as streams:
        assert streams.kept("one", "What?") == ("1", "ws://nowhere")
        await streams.created("one", OneSession(), "native", "Who?")
    async with bed.streams({"one": "Who?"}) as streams:
        assert streams.kept("one", "Who?") == ("1", "ws://nowhere")


async def test_what_a_stream_left_that_does_not_run_now_is_deleted(tmp_path: Path) -> None:
    """It is paused, say."""
    bed = Bed(tmp_path)
    await bed.left_behind(ONE)
    async with bed.streams({}) as streams:
        await streams.cleared()
    assert bed.api.deleted == ["1"]
