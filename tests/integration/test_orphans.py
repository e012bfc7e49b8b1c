"""What a stream still had to deliver when it was removed is delivered under its old name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from overshootd.contracts import Sink
from overshootd.errors import ConfigError, SpoolError
from overshootd.sinks.orphans import Orphans
from overshootd.sinks.spool import Spool
from tests.integration.delivery_lab import PATIENCE, SOON, Wire, append, opened
from tests.remembering import RememberingLog


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    async with opened(tmp_path) as spool:
        yield spool


class Outlets:
    """Builds a Wire for each configuration, but for those that are `gone`, or cannot be built just `now`."""

    def __init__(self, *gone: str, now: Sequence[str] = ()) -> None:
        self.gone, self.now = gone, now
        self.asked: list[tuple[str, str]] = []
        self.wires: dict[str, Wire] = {}

    def rebuild(self, stream: str, config: str) -> Sink | None:
        self.asked.append((stream, config))
        if config in self.gone:
            raise ConfigError("there is no such broker")
        return None if config in self.now else self.wires.setdefault(config, Wire(config))


async def left_behind(spool: Spool, stream: str, sinks: Sequence[str], count: int) -> None:
    """An earlier run's stream, whose sinks (their configuration is their name) were given nothing."""
    for cursor in spool.attach(stream, {name: name for name in sinks}):
        await cursor.attach()
    await append(spool, count, stream)


def orphans(
    spool: Spool, outlets: Outlets, log: RememberingLog | None = None, *, broken: Sequence[str] = ()
) -> Orphans:
    return Orphans(spool, outlets.rebuild, log or RememberingLog(), sound=["yard"], broken=broken, backoff=SOON)


async def waiting(spool: Spool) -> dict[str, dict[str, str]]:
    return await spool.strangers([], ["gate", "yard"])


async def test_each_sink_of_a_removed_stream_gets_what_it_lacked_and_the_stream_is_forgotten(spool: Spool) -> None:
    await left_behind(spool, "gate", ["a", "b"], 300)
    outlets = Outlets()
    async with asyncio.timeout(PATIENCE):
        await orphans(spool, outlets).run()
    assert sorted(outlets.asked) == [("gate", "a"), ("gate", "b")]
    assert [sorted(outlets.wires[name].seqs) for name in "ab"] == [list(range(1, 301))] * 2
    [cursor] = spool.attach("gate", {"new": ""})
    await cursor.attach()
    assert (await cursor.read(0, cursor.head)).lines == []


async def test_the_numbers_of_a_stream_that_comes_back_go_on(spool: Spool) -> None:
    await left_behind(spool, "gate", ["a"], 3)
    await orphans(spool, Outlets()).run()
    [cursor] = spool.attach("gate", {"a": "a"})
    await append(spool, 1, "gate")
    await cursor.attach()
    assert cursor.head == 4


async def test_a_stream_that_has_its_own_deliveries_is_left_alone(spool: Spool) -> None:
    await left_behind(spool, "yard", ["a"], 3)
    outlets = Outlets()
    await orphans(spool, outlets).run()
    assert outlets.asked == []
    assert await waiting(spool) == {"yard": {"a": "a"}}


async def test_where_nothing_waits_nothing_is_built(spool: Spool) -> None:
    await left_behind(spool, "gate", ["a"], 0)
    outlets = Outlets()
    await orphans(spool, outlets).run()
    assert outlets.asked == []


async def test_a_removed_stream_of_which_no_sink_can_be_built_is_dropped_with_a_line(spool: Spool) -> None:
    await left_behind(spool, "gate", ["a", "b"], 3)
    log = RememberingLog()
    await orphans(spool, Outlets("a", "b"), log).run()
    assert log.lines == [
        "nothing more is delivered to a: there is no such broker",
        "nothing more is delivered to b: there is no such broker",
        "what waited for a, b is dropped",
    ]
    assert await waiting(spool) == {}


async def test_what_a_removed_stream_has_for_a_sink_that_cannot_be_built_just_now_stays(spool: Spool) -> None:
    await left_behind(spool, "gate", ["a", "b", "c"], 3)
    outlets = Outlets("c", now=["a"])
    await orphans(spool, outlets).run()
    assert outlets.wires["b"].seqs == [1, 2, 3]
    assert await waiting(spool) == {"gate": {"a": "a", "b": "b"}}


async def test_of_a_removed_stream_of_which_no_sink_can_be_built_just_now_all_stays(spool: Spool) -> None:
    await left_behind(spool, "gate", ["a", "b"], 3)
    await orphans(spool, Outlets(now=["a", "b"])).run()
    assert await waiting(spool) == {"gate": {"a": "a", "b": "b"}}


async def test_one_sink_that_cannot_be_built_keeps_another_from_nothing(spool: Spool) -> None:
    await left_behind(spool, "gate", ["a", "b"], 3)
    outlets = Outlets("a")
    await orphans(spool, outlets).run()
    assert outlets.wires["b"].seqs == [1, 2, 3]
    assert await waiting(spool) == {}


async def test_a_stream_that_is_merely_broken_is_delivered_and_its_sinks_are_remembered(spool: Spool) -> None:
    await left_behind(spool, "gate", ["a"], 3)
    outlets = Outlets()
    await orphans(spool, outlets, broken=["gate"]).run()
    assert outlets.wires["a"].seqs == [1, 2, 3]
    [cursor] = spool.attach("gate", {"a": "a"})
    await cursor.attach()
    assert (cursor.given.floor, cursor.head) == (3, 3)


async def test_a_sink_that_cannot_be_built_of_a_stream_that_is_merely_broken_loses_nothing(spool: Spool) -> None:
    await left_behind(spool, "gate", ["a", "b"], 3)
    outlets = Outlets("a")
    await orphans(spool, outlets, broken=["gate"]).run()
    assert outlets.wires["b"].seqs == [1, 2, 3]
    lacks, has = spool.attach("gate", {"a": "a", "b": "b"})
    await asyncio.gather(lacks.attach(), has.attach())
    assert (lacks.waiting, has.waiting) == (3, 0)


async def test_a_sink_that_fails_is_tried_again_and_what_waits_is_told(spool: Spool) -> None:
    await left_behind(spool, "gate", ["a"], 3)
    outlets = Outlets()
    outlets.wires["a"] = wire = Wire("a", down=True)
    looked = orphans(spool, outlets)
    running = asyncio.create_task(looked.run())
    await wire.until(lambda: [now.why for now in looked.now.get("gate", [])] == ["the wire is cut"])
    assert looked.now["gate"][0].waiting == 3
    wire.down = False
    async with asyncio.timeout(PATIENCE):
        await running
    assert wire.seqs == [1, 2, 3]
    assert looked.now == {}


async def test_a_record_that_is_refused_at_first_is_delivered_all_the_same(spool: Spool) -> None:
    await left_behind(spool, "gate", ["a"], 3)
    outlets = Outlets()
    outlets.wires["a"] = wire = Wire("a", refused={2})
    looked = orphans(spool, outlets)
    running = asyncio.create_task(looked.run())
    await wire.until(lambda: "gate" in looked.now and looked.now["gate"][0].why == "too odd")
    wire.refused.clear()
    async with asyncio.timeout(PATIENCE):
        await running
    assert sorted(wire.seqs) == [1, 2, 3]


async def test_at_the_end_what_is_not_delivered_stays_for_the_next_start(spool: Spool) -> None:
    await left_behind(spool, "gate", ["a"], 3)
    outlets = Outlets()
    outlets.wires["a"] = wire = Wire("a", down=True)
    looked = orphans(spool, outlets)
    running = asyncio.create_task(looked.run())
    await wire.until(lambda: "gate" in looked.now)
    looked.stop(0.1)
    async with asyncio.timeout(PATIENCE):
        await running
    assert await waiting(spool) == {"gate": {"a": "a"}}


async def test_a_spool_that_cannot_be_read_yet_is_asked_again(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    await left_behind(spool, "gate", ["a"], 3)
    log, outlets, ask, failures = RememberingLog(), Outlets(), spool.strangers, iter(range(3))

    async def failing(known: Sequence[str], named: Sequence[str]) -> dict[str, dict[str, str]]:
        if next(failures, None) is not None:
            raise SpoolError("no disk")
        return await ask(known, named)

    monkeypatch.setattr(spool, "strangers", failing)
    async with asyncio.timeout(PATIENCE):
        await orphans(spool, outlets, log).run()
    assert outlets.wires["a"].seqs == [1, 2, 3]
    told = "looking in the spool for streams that are configured no more"
    assert log.lines[:2] == [f"{told}: no disk", f"{told} works again"]


async def test_who_is_stopped_before_there_is_anything_to_stop_ends(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await left_behind(spool, "gate", ["a"], 3)
    outlets, ask = Outlets(), spool.strangers
    outlets.wires["a"] = Wire("a", down=True)
    looked = orphans(spool, outlets)

    async def stopping(known: Sequence[str], named: Sequence[str]) -> dict[str, dict[str, str]]:
        looked.stop(0.1)
        return await ask(known, named)

    monkeypatch.setattr(spool, "strangers", stopping)
    async with asyncio.timeout(PATIENCE):
        await looked.run()
    assert outlets.wires["a"].given == []
