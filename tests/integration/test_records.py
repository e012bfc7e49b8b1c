"""What a stream tells, into a real spool: nothing lost on a full disk, every dark time told, no secret in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog

from overshootd.contracts import CameraState, Inference
from overshootd.errors import Transient
from overshootd.records import BACKLOG, STATES, Records
from overshootd.sinks.disk import Disk
from overshootd.sinks.record import Origin
from overshootd.sinks.spool import Spool
from overshootd.status import State, StreamState
from tests.integration.sink_lab import small_filesystem

PERIOD = 2.0
START = 1_790_000_000.0


@dataclass
class Bench:
    """Records on a spool, a clock that the test moves, and what was stored so far."""

    spool: Spool
    monotonic: float = 1000.0
    step: float = 0.0  # how far the wall clock was set
    synced: bool = True
    records: Records = field(init=False)

    def __post_init__(self) -> None:
        (self._cursor,) = self.spool.attach("yard", {"test": ""})
        self.records = Records(
            spool=self.spool,
            origin=Origin("pi", "yard", {}),
            prompt="Who?",
            with_schema=False,
            period=PERIOD,
            state=StreamState(),
            changed=lambda: None,
            redact=lambda text: text.replace("ovs_secret", "***"),
            synced=lambda: self.synced,
            log=structlog.get_logger(),
            clock=lambda: self.monotonic,
        )

    async def result(self, after: float = PERIOD, text: str = "nobody") -> None:
        self.monotonic += after
        at = START + self.monotonic + self.step
        await self.records.result(Inference(at, {"id": "1", "result": text, "ok": True}), "s1")

    async def stored(self, kind: str) -> list[dict[str, Any]]:
        await self._cursor.attach()
        batch = await self._cursor.read(self._cursor.given.floor, self._cursor.head)
        if batch.lines:
            self._cursor.gave(batch)
        self._seen.extend(json.loads(line) for line in batch.lines)
        return [record for record in self._seen if record["type"] == kind]

    _seen: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    one = Disk()
    yield one
    await one.close(5.0)


@pytest.fixture
async def bench(disk: Disk, tmp_path: Path) -> AsyncIterator[Bench]:
    spool = Spool(tmp_path, disk, structlog.get_logger())
    yield Bench(spool)
    await spool.close(5.0)


async def test_results_on_time_leave_no_gap(bench: Bench) -> None:
    for _ in range(5):
        await bench.result()
    assert await bench.stored("gap") == []
    assert len(await bench.stored("result")) == 5


async def test_results_that_stay_away_leave_a_gap_though_the_stream_is_live(bench: Bench) -> None:
    await bench.result()
    await bench.result(after=11.0)
    (gap,) = await bench.stored("gap")
    assert gap["why"] == "no results came"
    assert seconds(gap["to"]) - seconds(gap["from"]) == pytest.approx(11.0, abs=0.01)


async def test_a_gap_is_as_long_as_it_was_though_the_clock_was_set_back(bench: Bench) -> None:
    await bench.result()
    await bench.records.enter(State.WAITING, "keepalive: 503")
    bench.step = -3600.0
    await bench.result(after=30.0)
    (gap,) = await bench.stored("gap")
    assert gap["why"] == "keepalive: 503"
    assert seconds(gap["to"]) - seconds(gap["from"]) == pytest.approx(30.0, abs=0.01)


@asynccontextmanager
async def storing(records: Records) -> AsyncIterator[None]:
    """As the daemon does, in the background."""
    task = asyncio.create_task(records.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def told(bench: Bench, count: int) -> list[tuple[str, str]]:
    """Wait for so many states: the stream's or the camera's by its name, and which."""
    async with asyncio.timeout(10):
        while len(states := await bench.stored("state")) < count:  # noqa: ASYNC110 - it comes to a database
            await asyncio.sleep(0.01)
    return [(record.get("camera", "stream"), record["state"]) for record in states]


async def test_what_happens_to_the_camera_is_stored_without_a_result(bench: Bench) -> None:
    async with storing(bench.records):
        bench.records.camera("gate", CameraState.LIVE, "1280x720 at 30 fps")
        bench.records.camera("gate", CameraState.LOST, "unplugged")
        bench.records.camera("gate", CameraState.ENDED, "played to its end")
        assert (await told(bench, 4))[1:] == [("gate", "lost"), ("stream", "waiting"), ("gate", "ended")]
    lost = (await bench.stored("state"))[1]
    assert lost["why"] == "unplugged"
    assert list(lost)[-4:] == ["clock_synced", "camera", "state", "why"]


async def test_that_a_camera_is_opened_anew_for_another_stream_is_no_news(bench: Bench) -> None:
    for state in (CameraState.OPENING, CameraState.LIVE) * 3:
        bench.records.camera("gate", state, "")
    await bench.records.close()
    assert await told(bench, 1) == [("gate", "live")]


async def test_a_camera_that_is_not_there_at_the_start_makes_the_stream_wait(bench: Bench) -> None:
    bench.records.camera("gate", CameraState.LOST, "no such device ovs_secret")
    assert (bench.records.state.state, bench.records.state.why) == (State.WAITING, "no such device ***")
    await bench.records.close()
    assert await told(bench, 2) == [("gate", "lost"), ("stream", "waiting")]


async def test_the_gap_of_a_lost_camera_is_the_cameras_whatever_the_attempt_died_of(bench: Bench) -> None:
    await bench.result()
    bench.records.camera("gate", CameraState.LOST, "unplugged")
    await bench.records.enter(State.WAITING, "keepalive: 404")
    bench.records.camera("gate", CameraState.LIVE, "")
    await bench.records.enter(State.WAITING, "create: 503")
    await bench.result(after=30.0)
    (gap,) = await bench.stored("gap")
    assert gap["why"] == "unplugged"
    assert seconds(gap["to"]) - seconds(gap["from"]) == pytest.approx(30.0, abs=0.01)


async def test_storing_that_is_cut_off_is_neither_lost_nor_doubled(bench: Bench) -> None:
    """The end of the daemon comes at any time."""
    for number in range(20):
        task = asyncio.create_task(bench.records.run())
        bench.records.camera("gate", CameraState.LOST, str(number))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await bench.records.close()
    whys = [record["why"] for record in await bench.stored("state") if "camera" in record]
    assert whys == [str(number) for number in range(20)]


async def test_a_camera_that_flaps_while_nothing_can_be_stored_fills_no_memory(disk: Disk, tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "card", "size=256k") as card:
        spool = Spool(card, disk, structlog.get_logger())
        bench = Bench(spool)
        await bench.result()
        fill(card / "filler")
        for number in range(10 * STATES):
            bench.records.camera("gate", CameraState.LOST, f"flap {number}")
        assert len(bench.records._waiting) <= STATES + 1
        await spool.close(5.0)


async def test_the_first_sync_of_the_clock_tells_by_how_much_it_was_wrong(bench: Bench) -> None:
    bench.synced = False
    await bench.result()
    bench.synced, bench.step = True, 86400.0
    await bench.result()
    (_, told) = await bench.stored("state")
    assert (told["state"], told["offset_seconds"]) == ("clock synced", 86400.0)
    assert [record["clock_synced"] for record in await bench.stored("result")] == [False, True]


async def test_a_secret_that_a_server_repeats_is_in_no_record_and_no_status(bench: Bench) -> None:
    await bench.records.enter(State.REFUSED, "create: 401 Incorrect API key: ovs_secret")
    (record,) = await bench.stored("state")
    assert record["why"] == bench.records.state.why == "create: 401 Incorrect API key: ***"


async def test_a_full_disk_costs_no_result_and_no_time_of_one(disk: Disk, tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "card", "size=256k") as card:
        spool = Spool(card, disk, structlog.get_logger())
        bench = Bench(spool)
        await bench.result(text="before")
        filler = card / "filler"
        fill(filler)
        for number in range(20):
            await bench.result(text=f"{number} " + "x" * 8000)
        filler.unlink()
        await bench.result(text="after")
        results = await bench.stored("result")
        while len(results) < 22 and len(results) < len(results := await bench.stored("result")):
            pass
        times = [seconds(record["received_at"]) for record in results]
        assert [round(later - earlier, 2) for earlier, later in pairwise(times)] == [PERIOD] * 21
        await spool.close(5.0)


async def test_a_disk_that_stays_full_ends_the_stream(disk: Disk, tmp_path: Path) -> None:
    with small_filesystem(tmp_path / "card", "size=256k") as card:
        spool = Spool(card, disk, structlog.get_logger())
        bench = Bench(spool)
        await bench.result()
        fill(card / "filler")
        with pytest.raises(Transient, match="cannot be stored"):
            await many(bench, BACKLOG + 50)


async def many(bench: Bench, count: int) -> None:
    for _ in range(count):
        await bench.result(text="x" * 8000)


def fill(path: Path) -> None:
    """Leave no room on the filesystem."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return


def seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


async def test_a_pause_is_told_and_so_is_the_time_in_which_nobody_looked(bench: Bench) -> None:
    """Up to its end, whatever becomes of this process then, and from there to the next result."""
    await bench.result()
    await bench.records.enter(State.WAITING, "keepalive: 503")
    await bench.records.enter(State.PAUSED, "")
    bench.monotonic += 3600.0
    bench.records.rested(START, synced=False)
    await bench.records.enter(State.STARTING, "")
    assert lengths(await bench.stored("gap")) == [("paused", 3600)]
    await bench.result(after=60.0)
    await bench.result()
    assert lengths(await bench.stored("gap")) == [("paused", 3600), ("paused", 60)]
    assert [record["state"] for record in await bench.stored("state")] == [
        *("live", "waiting", "paused", "starting", "live"),
    ]


def lengths(gaps: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Why, and for how many seconds."""
    return [(gap["why"], round(seconds(gap["to"]) - seconds(gap["from"]))) for gap in gaps]


@pytest.mark.parametrize(("then", "now"), [(True, True), (True, False), (False, True)])
async def test_a_pause_of_a_process_before_is_told_from_its_begin(bench: Bench, then: bool, now: bool) -> None:
    bench.synced = now
    await bench.records.enter(State.PAUSED, "")
    bench.records.rested(START, synced=then)
    await bench.records.enter(State.STARTING, "")
    (gap,) = await bench.stored("gap")
    assert (gap["why"], seconds(gap["from"]), gap["clock_synced"]) == ("paused", START, then and now)


async def test_a_pause_that_seems_to_begin_in_the_future_makes_no_gap_that_ends_before_it_begins(bench: Bench) -> None:
    """Where no clock runs while the power is off it may."""
    await bench.records.enter(State.PAUSED, "")
    bench.records.rested(253_402_300_799.0, synced=True)
    await bench.records.enter(State.STARTING, "")
    assert lengths(await bench.stored("gap")) == [("paused", 0)]


async def test_a_pause_before_the_first_result_makes_no_gap_of_the_second(bench: Bench) -> None:
    await bench.records.enter(State.PAUSED, "")
    bench.records.rested(START, synced=True)
    await bench.records.enter(State.STARTING, "")
    await bench.result()
    told = len(await bench.stored("gap"))
    await bench.result()
    assert len(await bench.stored("gap")) == told


async def test_another_prompt_is_told_once_with_its_text(bench: Bench) -> None:
    async with storing(bench.records):
        await bench.result()
        bench.records.asked("What?")
        bench.records.asked("What?")
        await bench.result()
        states = await bench.stored("state")
    assert [state.get("prompt") for state in states] == ["Who?", "What?"]
    assert states[0]["prompt_sha"] != states[1]["prompt_sha"]


async def test_a_prompt_that_changes_while_the_stream_is_not_live_is_told_when_it_is(bench: Bench) -> None:
    await bench.result()
    await bench.records.enter(State.WAITING, "keepalive: 503")
    bench.records.asked("What?")
    await bench.result()
    assert [state.get("prompt") for state in await bench.stored("state")] == ["Who?", None, "What?"]
