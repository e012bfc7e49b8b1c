"""Which sinks get what waits of a stream, by the configuration as it is now and what the spool remembers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from overshootd.config.load import load
from overshootd.config.secret import Secret
from overshootd.config.sinks import FileSink, MqttSink
from overshootd.outlets import Outlets
from overshootd.sinks.choose import Ways
from overshootd.sinks.disk import Disk
from overshootd.sinks.space import Space
from overshootd.sinks.spool import Spool
from overshootd.sinks.stdout import Output
from overshootd.status import SinkNow
from tests.integration.daemon_bed import eventually, whole
from tests.integration.delivery_lab import PATIENCE, append, opened
from tests.remembering import RememberingLog

KEY = {"OVERSHOOT_API_KEY": "ovs-test"}
DISABLED = {
    "camera": {"type": "test"},
    "processing": {"interval_seconds": 2},
    "inference": {"prompt": "Who?", "model": "m"},
    "enabled": False,
}


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    async with opened(tmp_path) as spool:
        yield spool


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk()
    yield disk
    assert await disk.close(PATIENCE)


def file_at(path: Path) -> dict[str, object]:
    return {"type": "file", "path": str(path), "min_free_mb": 0}


async def left_behind(spool: Spool, *paths: Path, count: int = 3) -> None:
    """By an earlier run of the stream `gate`, for a file sink at each path."""
    configs = {f"file:{path}": FileSink.model_validate(file_at(path)) for path in paths}
    await remembered(spool, {name: config.model_dump_json() for name, config in configs.items()})
    await append(spool, count, "gate")


async def remembered(spool: Spool, sinks: Mapping[str, str]) -> None:
    for cursor in spool.attach("gate", sinks):
        await cursor.attach()


@asynccontextmanager
async def going_out(
    directory: Path, streams: Mapping[str, object], spool: Spool, disk: Disk, log: RememberingLog
) -> AsyncIterator[Outlets]:
    """The outlets of a daemon with these streams, once nothing waits any more."""
    settings = {"state_dir": str(directory), "streams": streams}
    async with running(directory, settings, spool, disk, log) as outlets:
        while await spool.strangers([], streams.keys()):
            pass
        yield outlets


@asynccontextmanager
async def running(
    directory: Path, settings: Mapping[str, object], spool: Spool, disk: Disk, log: RememberingLog
) -> AsyncIterator[Outlets]:
    """The outlets of a daemon with this configuration, whose brokers are all away."""
    (directory / "overshootd.yaml").write_text(json.dumps(settings))
    loaded = load(directory / "overshootd.yaml", KEY)
    ways = Ways(disk, Space(log), Output(None), {}, lambda _: Secret(""))
    outlets = Outlets(loaded, spool, ways, {}, lambda _: None, log)
    await outlets.begin()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        tasks.create_task(outlets.run())
        yield outlets
        outlets.stop()


async def known(outlets: Outlets, stream: str) -> Sequence[SinkNow]:
    """How far its sinks are, once the spool was asked."""
    await eventually(lambda: stream in outlets.sinks, "what its sinks have")
    return outlets.sinks[stream]


def seqs(path: Path) -> list[int]:
    return [record["seq"] for record in whole(path)]


async def test_what_waits_of_a_disabled_stream_goes_to_the_sinks_that_it_still_has(
    tmp_path: Path, spool: Spool, disk: Disk
) -> None:
    kept, removed, log = tmp_path / "kept.jsonl", tmp_path / "removed.jsonl", RememberingLog()
    await left_behind(spool, kept, removed)
    async with going_out(tmp_path, {"gate": {**DISABLED, "sinks": [file_at(kept)]}}, spool, disk, log):
        assert seqs(kept) == [1, 2, 3]
    assert not removed.exists()


async def test_a_disabled_stream_of_which_nothing_waits_makes_no_file(tmp_path: Path, spool: Spool, disk: Disk) -> None:
    path, log = tmp_path / "results" / "gate.jsonl", RememberingLog()
    async with going_out(tmp_path, {"gate": {**DISABLED, "sinks": [file_at(path)]}}, spool, disk, log) as outlets:
        assert [sink.waiting for sink in await known(outlets, "gate")] == [0]
    assert not path.parent.exists()
    assert log.lines == []


async def test_of_a_sink_nothing_is_told_before_it_is_known_what_waits(
    tmp_path: Path, spool: Spool, disk: Disk
) -> None:
    settings = {"state_dir": str(tmp_path), "streams": {"gate": DISABLED}}
    async with running(tmp_path, settings, spool, disk, RememberingLog()) as outlets:
        assert outlets.sinks == {}, "its task has not run yet"
        assert len(await known(outlets, "gate")) == 1


async def test_what_waits_of_a_broken_stream_goes_to_the_sinks_that_it_had(
    tmp_path: Path, spool: Spool, disk: Disk
) -> None:
    path, log = tmp_path / "gate.jsonl", RememberingLog()
    await left_behind(spool, path)
    async with going_out(tmp_path, {"gate": {**DISABLED, "sinks": [{"type": "fiel"}]}}, spool, disk, log):
        assert seqs(path) == [1, 2, 3]


async def test_what_waits_of_a_removed_stream_goes_to_the_sinks_that_it_had(
    tmp_path: Path, spool: Spool, disk: Disk
) -> None:
    path, log = tmp_path / "gate.jsonl", RememberingLog()
    await left_behind(spool, path)
    async with going_out(tmp_path, {}, spool, disk, log):
        assert seqs(path) == [1, 2, 3]


async def test_a_stream_whose_sinks_are_all_removed_forgets_them_for_the_file_that_it_has_instead(
    tmp_path: Path, spool: Spool, disk: Disk
) -> None:
    path, log = tmp_path / "gate.jsonl", RememberingLog()
    await left_behind(spool, path, count=0)
    async with going_out(tmp_path, {"gate": {**DISABLED, "sinks": []}}, spool, disk, log) as outlets:
        [sink] = await known(outlets, "gate")
    await append(spool, 1, "gate")
    [remembered] = (await spool.strangers([], ["gate"])).values()
    assert [*remembered] == [sink.name] != [f"file:{path}"]


@pytest.mark.parametrize(
    ("brokers", "told", "stays"),
    [
        ({}, "what waited for mqtt:home:results is dropped", False),
        ({"home": {"url": "mqtt://"}}, "what waits for broker home stays in the spool", True),
        ("home", "what waits for broker home stays in the spool", True),
    ],
    ids=["removed", "broken", "all of them broken"],
)
async def test_what_waits_of_a_removed_stream_for_a_broker_is_dropped_only_if_the_broker_is_removed_too(
    tmp_path: Path, spool: Spool, disk: Disk, brokers: object, told: str, stays: bool
) -> None:
    config = MqttSink(type="mqtt", broker="home", topic="results").model_dump_json()
    await remembered(spool, {"mqtt:home:results": config})
    await append(spool, 3, "gate")
    log = RememberingLog()
    async with running(tmp_path, {"state_dir": str(tmp_path), "brokers": brokers}, spool, disk, log):
        while not any(line.startswith(told) for line in log.lines):
            await spool.strangers([], ["gate"])
    assert bool(await spool.strangers([], ["gate"])) == stays
