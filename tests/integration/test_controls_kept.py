"""Pauses and prompts on the disk: there after a restart, whatever happens to the file or to the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from overshootd.controls import FILE_NAME, OTHERS, KeptControls
from overshootd.errors import OvershootdError
from tests.integration.daemon_bed import eventually
from tests.remembering import RememberingLog

T = TypeVar("T")
PROMPTS = {"gate": "Who?", "yard": "What?"}


async def at_once(function: Callable[[], T], /) -> T:
    return function()


@asynccontextmanager
async def controls(
    directory: Path, prompts: dict[str, str] = PROMPTS, log: RememberingLog | None = None
) -> AsyncIterator[KeptControls]:
    """Of one process, from its start to its end."""
    kept = KeptControls(prompts, directory, log or RememberingLog(), at_once)
    await kept.load()
    running = asyncio.create_task(kept.run())
    try:
        yield kept
    finally:
        running.cancel()
        await asyncio.wait([running])
        await kept.close()


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_a_pause_and_a_prompt_are_there_after_a_restart(tmp_path: Path) -> None:
    async with controls(tmp_path) as before:
        before.set_paused("gate", True)
        before.set_prompt("yard", "Is it raining?")
        began = before.of("gate").asked.since
    async with controls(tmp_path) as after:
        assert after.of("gate").asked.since == began is not None
        assert (after.paused("gate"), after.paused("yard")) == (True, False)
        assert (after.prompt("gate"), after.prompt("yard")) == ("Who?", "Is it raining?")
        assert after.paused_ones() == {"gate"}


async def test_it_is_on_the_disk_soon_though_the_process_dies(tmp_path: Path) -> None:
    async with controls(tmp_path) as running:
        running.set_paused("gate", True)
        await eventually((tmp_path / FILE_NAME).exists, "it is written")
        another = KeptControls(PROMPTS, tmp_path, RememberingLog(), at_once)
        await another.load()
        assert another.paused("gate")


async def test_who_edits_the_configured_prompt_gets_that(tmp_path: Path) -> None:
    async with controls(tmp_path) as before:
        before.set_prompt("gate", "Is it raining?")
    log = RememberingLog()
    async with controls(tmp_path, PROMPTS | {"gate": "Who is it?"}, log) as after:
        assert after.prompt("gate") == "Who is it?"
    assert any("that of the configuration again" in line for line in log.lines)
    async with controls(tmp_path) as back:
        assert back.prompt("gate") == "Who?", "and what it was asked before does not come back"


async def test_a_pause_of_a_stream_that_is_not_configured_now_holds_once_it_is_again(tmp_path: Path) -> None:
    many = {f"s{number}": "Who?" for number in range(OTHERS + 5)}
    async with controls(tmp_path, many) as before:
        for name in many:
            before.set_paused(name, True)
    async with controls(tmp_path, {"gate": "Who?"}) as broken:
        broken.set_paused("gate", True)
    async with controls(tmp_path, many) as mended:
        assert len(mended.paused_ones()) == OTHERS
        assert all(mended.of(name).asked.since for name in mended.paused_ones()), "and is told from its begin"


async def test_nothing_is_written_when_nothing_is_asked(tmp_path: Path) -> None:
    async with controls(tmp_path) as running:
        running.set_paused("gate", False)
        running.set_prompt("gate", "Who?")
    assert names(tmp_path) == []


async def test_a_stream_that_does_not_run_is_told_with_those_that_do(tmp_path: Path) -> None:
    async with controls(tmp_path) as running:
        with pytest.raises(OvershootdError, match="no stream 'gaet' runs here; those are: gate, yard"):
            running.set_paused("gaet", True)


async def test_a_file_that_cannot_be_used_is_set_aside_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"\0" * 100)
    log = RememberingLog()
    async with controls(tmp_path, log=log) as running:
        assert running.paused_ones() == frozenset()
    assert ["set aside as controls.json.corrupt, no stream is paused" in line for line in log.lines] == [True]


async def test_a_disk_that_is_full_is_told_once_and_written_when_there_is_room(tmp_path: Path) -> None:
    log, full = RememberingLog(), [OSError(28, "No space left on device")] * 2

    async def filling(function: Callable[[], T], /) -> T:
        if full:
            raise full.pop()
        return function()

    kept = KeptControls(PROMPTS, tmp_path, log, filling)
    running = asyncio.create_task(kept.run())
    kept.set_paused("gate", True)
    await eventually((tmp_path / FILE_NAME).exists, "it is written")
    running.cancel()
    await asyncio.wait([running])
    assert len([line for line in log.lines if "No space left" in line]) == 1


async def test_who_asked_to_be_told_is(tmp_path: Path) -> None:
    told: list[str] = []
    async with controls(tmp_path) as running:
        running.on_change(told.append)
        running.set_paused("yard", True)
        running.set_paused("yard", True)
        running.set_prompt("gate", "What?")
    assert told == ["yard", "gate"]


async def test_a_disk_that_hangs_holds_neither_the_loop_nor_the_end(tmp_path: Path) -> None:
    hang = asyncio.get_running_loop().create_future()

    async def never(function: Callable[[], T], /) -> T:
        raise await hang

    kept = KeptControls(PROMPTS, tmp_path, RememberingLog(), never)
    kept.set_paused("gate", True)
    assert kept.paused("gate")
    async with asyncio.timeout(5):
        await kept.close()
