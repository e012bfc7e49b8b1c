"""Where a sink lets what is live go first, a backlog goes beside it; none is lost, or given twice for nothing."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from aiohttp import web

from overshootd.backoff import Backoff
from overshootd.config.secret import Secret
from overshootd.config.sinks import WebhookSink as WebhookSinkConfig
from overshootd.sinks import lanes, suspects
from overshootd.sinks.disk import Disk
from overshootd.sinks.spool import FILE_NAME, Spool
from overshootd.sinks.webhook import WebhookSink
from overshootd.status import SinkNow
from tests.integration.delivery_lab import NEVER, PATIENCE, TellingLog, Wire, append, begin, opened
from tests.remembering import RememberingLog

SELDOM = Backoff(floor=NEVER)


@asynccontextmanager
async def refusing(odd: int, of: int) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A web server that does not take the record `odd`: its URL, and what is set once it has all others of `of`."""
    taken, all_others = set[int](), asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        if (seq := (await request.json())["seq"]) == odd:
            return web.Response(status=422)
        taken.add(seq)
        if len(taken) == of - 1:
            all_others.set()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", all_others
    finally:
        await runner.cleanup()


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    async with opened(tmp_path) as spool:
        yield spool


async def test_a_little_that_waits_goes_in_order_with_what_arrives(spool: Spool) -> None:
    await append(spool, lanes.FEW)
    wire = Wire()
    running = begin(spool, wire)
    await wire.until(lambda: len(wire.given) == lanes.FEW)
    await append(spool, 3)
    await wire.until(lambda: len(wire.given) == lanes.FEW + 3)
    assert wire.live == list(range(1, lanes.FEW + 4))
    await running.stop()


async def test_what_arrives_does_not_wait_for_the_backlog(spool: Spool) -> None:
    await append(spool, 1000)
    wire = Wire()
    wire.allow_backlog.clear()
    running = begin(spool, wire)
    await wire.until(lambda: wire.tried > 0)
    await append(spool, 3)
    await wire.until(lambda: wire.seqs == list(range(1001 - lanes.FEW, 1004)))
    wire.allow_backlog.set()
    await wire.until(lambda: len(wire.given) == 1003)
    assert wire.backlog == list(range(1, 1001 - lanes.FEW))
    await running.stop()


async def test_of_a_backlog_the_newest_few_go_as_live(spool: Spool) -> None:
    await append(spool, 1000)
    wire = Wire()
    running = begin(spool, wire)
    await wire.until(lambda: len(wire.given) == 1000)
    assert wire.live == list(range(1001 - lanes.FEW, 1001))
    await running.stop()


async def test_what_is_older_than_what_the_sink_has_is_backlog_over_a_restart_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await append(spool, 5)
        wire = Wire(refused={3})
        running = begin(spool, wire, backoff=SELDOM)
        await wire.until(lambda: running.cursor.settled and wire.live == [1, 2, 4, 5])
        await running.kill()
    async with opened(tmp_path) as spool:
        wire = Wire()
        running = begin(spool, wire)
        await wire.until(lambda: len(wire.given) == 1)
        assert wire.backlog == [3]
        await running.stop()


async def test_what_came_during_an_outage_is_backlog_and_what_comes_after_it_is_live(spool: Spool) -> None:
    wire, log = Wire(), RememberingLog()
    running = begin(spool, wire, log)
    await append(spool, 5)
    await wire.until(lambda: len(wire.given) == 5)
    wire.down = True
    await append(spool, 300)
    await wire.until(lambda: running.delivery.now.why == "the wire is cut")
    assert running.delivery.now.waiting == 300
    wire.allow_backlog.clear()
    wire.tried, wire.down = 0, False
    await wire.until(lambda: wire.tried > 0)
    await append(spool, 2)
    await wire.until(lambda: {306, 307} <= {*wire.live})
    wire.allow_backlog.set()
    await wire.until(lambda: running.delivery.now == SinkNow("wire", 0))
    assert sorted(wire.seqs) == list(range(1, 308)), "nothing twice"
    await running.stop()
    assert log.lines == ["delivery to wire: the wire is cut", "delivery to wire works again"]


async def test_a_backlog_that_fails_again_and_again_costs_nothing_that_was_delivered(spool: Spool) -> None:
    await append(spool, 2000)
    wire = Wire(syncs_fail=False)  # a sync that fails leaves in doubt what was given since the last one
    tries = iter(range(1_000_000))
    wire.fails = lambda: next(tries) % 3 == 0
    running = begin(spool, wire)
    await append(spool, 5)
    await wire.until(lambda: running.delivery.now.waiting == 0)
    wire.fails = lambda: False
    await running.stop()
    assert sorted(wire.seqs) == list(range(1, 2006)), "nothing twice"


async def test_the_live_lane_of_a_link_that_is_too_slow_jumps_to_the_newest(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "LAG_SECONDS", 0.2)
    wire = Wire()
    running = begin(spool, wire)
    await append(spool, 1)
    await wire.until(lambda: wire.live == [1])
    wire.seconds = 0.02
    await append(spool, 500)
    await wire.until(lambda: 501 in wire.live)
    assert len(wire.live) < 300, "it gave them all: no jump"
    wire.seconds = 0.0
    await wire.until(lambda: running.delivery.now.waiting == 0)
    await running.stop()
    assert sorted(wire.seqs) == list(range(1, 502))


async def test_a_batch_takes_what_the_link_takes_in_a_moment(spool: Spool) -> None:
    await append(spool, 2000)
    wire = Wire()
    running = begin(spool, wire)
    await wire.until(lambda: len(wire.given) == 2000)
    assert wire.largest == 256
    await running.stop()


async def test_what_comes_one_upon_another_goes_together(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "GATHER_SECONDS", NEVER)
    wire = Wire()
    running = begin(spool, wire)
    await append(spool, 1)
    await wire.until(lambda: wire.seqs == [1])
    for _ in range(5):
        await append(spool, 1)
    assert wire.seqs == [1]
    await running.stop()
    assert wire.seqs == [1, 2, 3, 4, 5, 6]
    assert wire.tried == 2


async def test_a_full_portion_is_followed_by_the_next_at_once(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "GATHER_SECONDS", NEVER)
    await append(spool, lanes.FEW)
    wire = Wire()
    running = begin(spool, wire)
    await wire.until(lambda: len(wire.given) == lanes.FEW)
    await append(spool, 1)
    await wire.until(lambda: len(wire.given) == lanes.FEW + 1)
    await running.stop()


# -- a record that is refused


async def test_a_live_record_that_is_refused_holds_back_nothing_live(spool: Spool) -> None:
    wire, log = Wire(refused={4}), RememberingLog()
    running = begin(spool, wire, log)
    await append(spool, 6)
    await wire.until(lambda: {*wire.seqs} == {1, 2, 3, 5, 6})
    await append(spool, 1)
    await wire.until(lambda: 7 in wire.live)
    await wire.until(lambda: "too odd" in running.delivery.now.why)
    wire.refused.clear()
    await wire.until(lambda: running.delivery.now.waiting == 0)
    assert wire.backlog == [4]
    await wire.until(lambda: running.delivery.now.why == "")
    await running.stop()
    assert log.lines == ["delivery to wire: a record is refused and tried again: too odd"]


async def test_a_record_that_is_refused_for_an_hour_is_passed_over_and_the_log_says_which(spool: Spool) -> None:
    await append(spool, 100)
    hours = 0.0
    wire, log = Wire(refused={50}), TellingLog()
    running = begin(spool, wire, log, clock=lambda: time.monotonic() + hours * 3600)
    await wire.until(lambda: running.delivery.now == SinkNow("wire", 1, "too odd"))
    hours = 1.1
    await wire.until(lambda: running.delivery.now.waiting == 0)
    await running.stop()
    assert sorted(wire.seqs) == [seq for seq in range(1, 101) if seq != 50]
    assert running.delivery.now == SinkNow("wire", 0, passed_over=1)
    assert log.lines[1] == "delivery to wire: a record is passed over: too odd"
    [uid] = log.uids
    assert len(uid) == 36


async def test_a_record_that_is_refused_for_certain_is_passed_over_at_once(spool: Spool) -> None:
    wire, log = Wire(refused={2}, certain=True), TellingLog()
    running = begin(spool, wire, log)
    await append(spool, 3)
    await wire.until(lambda: wire.seqs == [1, 3])
    await running.stop()
    assert log.lines == ["delivery to wire: a record is passed over: too odd"]


async def test_a_backlog_goes_on_behind_a_record_that_is_refused(spool: Spool) -> None:
    await append(spool, 1000)
    wire = Wire(refused={50, 60, 61})
    running = begin(spool, wire)
    await wire.until(lambda: running.delivery.now.waiting == 3)
    assert running.delivery.now.why == "too odd"
    wire.refused = {50}
    await wire.until(lambda: running.delivery.now == SinkNow("wire", 1, "too odd"))
    wire.refused.clear()
    await wire.until(lambda: running.delivery.now == SinkNow("wire", 0))
    assert sorted(wire.seqs) == list(range(1, 1001)), "nothing twice"
    await running.stop()


async def test_where_all_of_a_backlog_is_refused_few_are_tried(spool: Spool) -> None:
    await append(spool, 100)
    wire = Wire(refused=set(range(1, 101)))
    running = begin(spool, wire, backoff=SELDOM)
    await wire.until(lambda: {suspects.FEW + 1, 100} <= {*wire.alone})
    await running.stop()
    assert wire.alone.count(1) == 1
    live = range(101 - lanes.FEW, 101)
    assert {*wire.alone} - {*live} == set(range(1, suspects.FEW + 2))
    assert running.delivery.now.waiting == 100


async def test_an_end_is_not_held_up_by_a_record_that_waits_to_be_tried_again(spool: Spool) -> None:
    await append(spool, 100)
    wire = Wire(refused={50})
    running = begin(spool, wire, backoff=SELDOM)
    await wire.until(lambda: running.delivery.now.waiting == 1)
    await running.stop()
    assert len(wire.given) == 99


async def test_one_record_that_a_web_server_refuses_holds_up_no_other(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    await append(spool, 100)
    async with refusing(7, of=100) as (url, taken):
        config = WebhookSinkConfig.model_validate({"type": "webhook", "url": url})
        running = begin(spool, WebhookSink(config, lambda _: Secret(""), RememberingLog()), backoff=SELDOM)
        async with asyncio.timeout(PATIENCE):
            await taken.wait()
        await running.stop()
    assert running.delivery.now.waiting == 1


async def test_in_order_a_refused_record_is_waited_for(spool: Spool) -> None:
    wire = Wire(live_first=False, refused={4})
    running = begin(spool, wire)
    await append(spool, 6)
    await wire.until(lambda: "too odd" in running.delivery.now.why)
    assert wire.seqs == [1, 2, 3]
    wire.refused.clear()
    await wire.until(lambda: len(wire.given) == 6)
    assert wire.seqs == [1, 2, 3, 4, 5, 6]
    await running.stop()


# -- what the spool learns


async def test_the_cursor_moves_while_records_never_cease_to_come(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        wire = Wire()
        running = begin(spool, wire, sync_seconds=0.05)
        while wire.syncs < 3:
            await append(spool, 5)
        given = len(wire.given)
        await running.kill()
    async with opened(tmp_path) as spool:
        [cursor] = spool.attach("yard", {"wire": ""})
        await cursor.attach()
        assert 0 < cursor.given.floor <= given


@pytest.mark.parametrize("live_first", [True, False])
async def test_a_large_backlog_leaves_the_spool_as_it_goes(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, live_first: bool
) -> None:
    monkeypatch.setattr(lanes, "PLENTY", 1000)
    await append(spool, 5000)
    wire = Wire(live_first=live_first)
    running = begin(spool, wire, sync_seconds=NEVER)
    async with asyncio.timeout(PATIENCE):
        while (await running.cursor.read(0, 4000)).lines:
            pass
    await running.stop()


async def test_what_was_given_during_a_sync_is_not_taken_for_synced(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        wire = Wire()
        wire.allow_sync.clear()
        running = begin(spool, wire)
        await append(spool, 1)
        await wire.until(lambda: wire.syncing == 1)
        await append(spool, 1)
        await wire.until(lambda: len(wire.given) == 2)
        wire.allow_sync.set()
        await wire.until(lambda: wire.syncs == 1)
        wire.allow_sync.clear()
        await wire.until(lambda: wire.syncing == 2)
        await running.kill()
    async with opened(tmp_path) as spool:
        wire = Wire()
        running = begin(spool, wire)
        await wire.until(lambda: wire.seqs == [2])
        await running.stop()


async def test_what_a_sink_has_is_learned_before_a_long_outage(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        wire = Wire()
        running = begin(spool, wire, sync_seconds=NEVER)
        await append(spool, 5)
        await wire.until(lambda: len(wire.given) == 5)
        wire.down = True
        await append(spool, 1)
        await wire.until(lambda: running.cursor.settled)
        await running.kill()
    async with opened(tmp_path) as spool:
        wire = Wire()
        running = begin(spool, wire)
        await wire.until(lambda: wire.seqs == [6])
        await running.stop()


async def test_numbers_that_a_power_cut_left_out_are_nothing_that_waits(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        running = begin(spool, Wire())
        await append(spool, 3)
        await running.stop()
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("UPDATE store SET boot = 'another'")  # as if this had been it, without an end in order
    async with opened(tmp_path) as spool:
        wire = Wire()
        running = begin(spool, wire)
        await wire.until(lambda: running.cursor.head > 3)
        assert running.delivery.now.waiting == 0
        await append(spool, 1)
        await wire.until(lambda: len(wire.given) == 1)
        await running.stop()
        assert wire.seqs == [running.cursor.head]


async def test_what_waits_over_a_power_cut_is_what_was_stored(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        running = begin(spool, Wire(down=True), backoff=SELDOM)
        await append(spool, 3)
        await running.kill()
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("UPDATE store SET boot = 'another'")
    async with opened(tmp_path) as spool:
        wire = Wire(down=True)
        running = begin(spool, wire)
        await append(spool, 2)
        await wire.until(lambda: running.cursor.attached and running.cursor.head > 3)
        assert running.delivery.now.waiting == 5
        wire.down = False
        await wire.until(lambda: len(wire.given) == 5)
        await running.stop()
        assert sorted(wire.seqs) == [1, 2, 3, 1_000_001, 1_000_002]


async def test_what_was_dropped_waits_no_more(tmp_path: Path) -> None:
    disk = Disk()
    spool = Spool(tmp_path, disk, RememberingLog(), max_bytes=100_000)
    wire = Wire(down=True)
    running = begin(spool, wire, backoff=SELDOM)
    await wire.until(lambda: running.cursor.attached)
    for _ in range(100):  # there is room made before some are stored together
        await append(spool, 10)
    assert running.delivery.now.waiting == 1000 - spool.now.dropped < 1000
    await running.kill()
    await spool.close(PATIENCE)
    assert await disk.close(PATIENCE)


async def test_what_was_left_out_while_the_spool_was_replaced_does_not_wait(spool: Spool) -> None:
    wire = Wire(down=True)
    running = begin(spool, wire, backoff=SELDOM)
    await wire.until(lambda: running.cursor.attached)
    await append(spool, 3)
    running.cursor.announce(2_000_000)
    assert running.delivery.now.waiting == 4
    await running.kill()


async def test_a_failure_is_over_as_soon_as_it_is_though_nothing_comes(spool: Spool) -> None:
    async def rename(table: str, to: str) -> None:
        await spool.within(lambda connection: connection.execute(f"ALTER TABLE {table} RENAME TO {to}").fetchall())

    await rename("cursors", "gone")
    wire, log = Wire(), RememberingLog()
    running = begin(spool, wire, log)
    await wire.until(lambda: "no such table" in running.delivery.now.why)
    await rename("gone", "cursors")
    await wire.until(lambda: running.delivery.now == SinkNow("wire", 0))
    await running.stop()
    assert log.lines[-1] == "delivery to wire works again"


# -- the end


async def test_a_backlog_that_hangs_at_the_end_costs_nothing_that_was_given(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await append(spool, 100)
        wire, log = Wire(), RememberingLog()
        wire.allow_backlog.clear()
        running = begin(spool, wire, log, sync_seconds=NEVER)
        await wire.until(lambda: wire.tried > 0)
        await append(spool, 7)
        await wire.until(lambda: len(wire.live) == lanes.FEW + 7)
        await running.stop(within=0.2)
        assert log.lines == ["delivery to wire: no time to finish; the rest is in the spool for the next start"]
    async with opened(tmp_path) as spool:
        wire = Wire()
        running = begin(spool, wire)
        backlog = 100 - lanes.FEW
        await wire.until(lambda: running.delivery.now.waiting == 0 and len(wire.given) >= backlog)
        await running.stop()
        assert sorted(wire.seqs) == list(range(1, backlog + 1))


async def test_what_is_given_in_the_last_moments_does_not_come_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await append(spool, 1000)
        first = Wire(seconds=0.001)
        running = begin(spool, first, sync_seconds=NEVER)
        await first.until(lambda: len(first.given) > 0)
        await running.stop(within=0.5)
        assert len(first.given) < 1000
    async with opened(tmp_path) as spool:
        second = Wire()
        running = begin(spool, second)
        await second.until(lambda: len(first.given) + len(second.given) >= 1000)
        await running.stop()
    assert sorted(first.seqs + second.seqs) == list(range(1, 1001))


async def test_the_end_is_bounded_after_any_number_of_failures(spool: Spool) -> None:
    wire = Wire(down=True)
    running = begin(spool, wire)
    await append(spool, 100)
    await wire.until(lambda: running.delivery.now.why != "")
    async with asyncio.timeout(PATIENCE):
        for _ in range(50):
            await append(spool, 1)
    wire.allow_live.clear()
    wire.allow_backlog.clear()
    wire.tried, wire.down = 0, False
    await wire.until(lambda: wire.tried > 0)
    async with asyncio.timeout(PATIENCE):
        await running.stop(within=0.1)
    assert not running.task.cancelled()
