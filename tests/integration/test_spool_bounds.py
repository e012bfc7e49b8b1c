"""The spool holds no more than it may: what is oldest over all streams goes first, counted, told once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overshootd.sinks import bounds, housekeeping
from overshootd.sinks.bounds import Bounds
from overshootd.sinks.progress import Progress
from overshootd.sinks.spool import FILE_NAME
from overshootd.sinks.store import Store
from tests.integration.sink_lab import fill, small_filesystem, store_one
from tests.remembering import RememberingLog

NOW = 1_785_000_000.0
FOREVER = 1e12
HOUR = 3600.0
STREAMS = ("yard", "door", "gate")
FULL_SOON = Bounds(200_000, FOREVER)


@dataclass
class Bench:
    """A store whose clock the test moves; None: it is not trusted."""

    directory: Path
    bounds: Bounds = FULL_SOON
    now: float | None = NOW
    log: RememberingLog = field(default_factory=RememberingLog)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.directory / FILE_NAME, self.log, "boot", self.bounds, lambda: self.now)

    def append(self, stream: str = "yard", count: int = 1, size: int = 1000) -> list[int]:
        return [store_one(self.store, stream, lambda seq: b"%d " % seq + b"x" * size) for _ in range(count)]

    def left(self, stream: str = "yard") -> list[int]:
        return [seq for seq, _ in self.store.read(stream, 0, None, 1 << 30, 1 << 40)]

    @property
    def used(self) -> int:
        return self.store.within(bounds.used)[0]

    def told(self) -> list[str]:
        return [line for line in self.log.lines if "keeping every record" in line]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.store.close()


def test_a_full_spool_drops_what_is_oldest_counts_it_and_tells_once(bench: Bench) -> None:
    bench.store.attach("yard", {"file:/a": ""})
    stored = bench.append(count=1000)
    left = bench.left()
    assert left == stored[-len(left) :]
    assert bench.store.now.dropped == 1000 - len(left) > 0
    assert bench.told() == [
        "keeping every record: 0.2 MB wait in the spool (spool.max_mb): the oldest are dropped undelivered"
    ]


def test_what_was_dropped_is_remembered_for_ever(bench: Bench) -> None:
    bench.store.attach("yard", {"file:/a": ""})
    bench.append(count=1000)
    before = bench.store.now.dropped
    bench.store.close()
    again = Store(bench.directory / FILE_NAME, bench.log, "boot 2")
    again.open()
    assert again.now.dropped == before > 0
    again.close()


def test_only_what_some_sink_lacked_counts_as_dropped(bench: Bench) -> None:
    bench.store.attach("yard", {"file:/a": "", "mqtt:b": ""})
    for seq in bench.append(count=150):
        bench.store.ack("yard", "file:/a", Progress(seq))
    bench.store.ack("yard", "mqtt:b", Progress(100, ((120, 150),)))
    bench.now = NOW + 1
    bench.append("door", count=1000)
    assert bench.left() == []
    assert bench.store.now.dropped == 19


def test_a_quiet_stream_keeps_what_is_younger_than_what_a_busy_one_has(bench: Bench) -> None:
    bench.append("yard", 50)
    bench.now = NOW + 10
    quiet = bench.append("door", 20)
    bench.now = NOW + 20
    for second in range(400):
        bench.now = NOW + 20 + second / 10
        bench.append("yard")
        if bench.left("door") != quiet:
            break
    assert bench.left("yard")[0] > 50, "all that is older went before"
    assert quiet[0] not in bench.left("door")


def test_numbers_go_on_when_everything_was_dropped(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Bounds(200_000, HOUR))
    last = bench.append(count=20)[-1]
    bench.now = NOW + 2 * HOUR
    bench.store.tend()
    assert bench.left() == []
    bench.store.close()
    assert Bench(tmp_path).append() == [last + 1]


def test_what_is_too_old_is_dropped_though_nothing_comes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Bounds(1 << 30, HOUR))
    bench.store.attach("yard", {"file:/a": ""})
    bench.append(count=700)
    bench.now = NOW + HOUR / 2
    young = bench.append(count=10)
    bench.store.tend()
    assert len(bench.left()) == 710
    bench.now = NOW + HOUR + 1
    bench.store.tend()
    assert bench.left() == young
    assert bench.store.now.dropped == 700
    assert bench.store.now.oldest_at == NOW + HOUR / 2
    assert bench.told() == [
        "keeping every record: some are older than 0.0416667 days (spool.max_days) and dropped undelivered"
    ]
    bench.store.close()


def test_a_clock_that_leaps_from_1970_makes_nothing_old(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Bounds(1 << 30, HOUR), now=None)
    before = bench.append(count=300)
    bench.store.tend()
    bench.now = NOW
    bench.store.tend()
    assert bench.left() == before, "nobody knows how old they are"
    after = bench.append()
    bench.now = NOW + HOUR + 1
    bench.store.tend()
    assert (bench.left(), after) == ([], [301]), "as old as the next whose time is known"
    bench.store.close()


def test_of_streams_whose_times_nobody_knows_the_longest_queue_gives_way(bench: Bench) -> None:
    bench.now = None
    short = bench.append("door", 10)
    bench.append("yard", 1000)
    assert bench.left("door") == short


def test_many_without_a_time_are_looked_at_once_each(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "LOOK_ROWS", 10)
    bench.now = None
    bench.append(count=35, size=10)
    bench.now = NOW
    bench.append(size=10)
    ages = bounds.Ages()
    found = [bench.store.within(lambda connection: ages.of(connection, 1, rows=10)) for _ in range(6)]
    assert [None if one is None else one.at for one in found] == [None, None, None, NOW, NOW, NOW]


def test_it_is_told_that_nothing_is_dropped_any_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.store.attach("yard", {"file:/a": ""})
    bench.append(count=400)
    bench.store.tend()
    assert len(bench.told()) == 1
    monkeypatch.setattr(housekeeping, "QUIET_SECONDS", 0.0)
    bench.store.tend()
    assert bench.told()[1:] == ["keeping every record works again"]


def test_looking_for_what_is_old_writes_nothing(bench: Bench) -> None:
    bench.append(count=100)
    before = {path.name: path.read_bytes() for path in bench.directory.iterdir()}
    bench.store.tend()
    assert {path.name: path.read_bytes() for path in bench.directory.iterdir()} == before


def test_a_file_whose_records_were_delivered_gives_its_room_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Bounds(1 << 30, FOREVER))
    bench.store.attach("yard", {"file:/a": ""})
    last = bench.append(count=400, size=100_000)[-1]
    bench.store.tend()
    assert size(tmp_path) > 40_000_000
    bench.store.ack("yard", "file:/a", Progress(last - 1))
    while bench.store.purge("yard"):
        pass
    bench.store.tend()
    assert size(tmp_path) < 1_000_000
    assert bench.left() == [last]
    bench.store.close()


def test_a_disk_without_room_to_make_the_file_small_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "FREE_BYTES", 100_000)
    with small_filesystem(tmp_path / "card", "size=8m") as card:
        bench = Bench(card, Bounds(1 << 30, FOREVER))
        bench.store.attach("yard", {"file:/a": ""})
        last = bench.append(count=400, size=10_000)[-1]
        bench.store.ack("yard", "file:/a", Progress(last - 50))
        while bench.store.purge("yard"):
            pass
        bench.store.close()
        bench = Bench(card, Bounds(1 << 30, FOREVER))
        bench.append()  # its log is small again: there is nothing in it to be written over
        other = card / "other"
        fill(other)
        for _ in range(3):
            bench.store.tend()
        assert bench.log.lines == ["making the spool's file small: no space left on the disk for it"]
        other.unlink()
        bench.store.tend()
        assert bench.log.lines[1:] == ["making the spool's file small works again"]
        bench.store.close()


def size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


steps = st.lists(
    st.tuples(
        st.sampled_from(STREAMS), st.integers(1, 12), st.integers(0, 4000), st.sampled_from([0, 0, 1, 5]), st.booleans()
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_it_never_holds_more_than_it_may_and_one_batch_and_always_the_oldest_go(
    steps: list[tuple[str, int, int, int, bool]],
) -> None:
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "DROP_ROWS", 3)
        patch.setattr(housekeeping, "ROUNDS", 200)  # so that hundreds of empty ones are not too many to go at once
        bench = Bench(Path(directory), Bounds(60_000, FOREVER))
        with closing(bench.store):
            came: dict[str, list[tuple[int, int | None]]] = {stream: [] for stream in STREAMS}
            seconds = int(NOW)
            for stream, count, length, pause, trusted in steps:
                seconds += pause
                bench.now = seconds if trusted else None
                makes = [(stream, lambda seq, length=length: b"x" * length)] * count
                for seq in bench.store.append_all(makes):
                    assert isinstance(seq, int)
                    came[stream].append((seq, seconds if trusted else None))
                assert bench.used <= 60_000 + count * (length + 2000)
                assert_oldest_went(came, {stream: bench.left(stream) for stream in STREAMS})


def assert_oldest_went(came: dict[str, list[tuple[int, int | None]]], left: dict[str, list[int]]) -> None:
    """What is left is the end of each stream, and nothing that went is younger than anything that stayed. (When what
    has no time itself went, it was perhaps not known yet how old it was.)"""
    went_last, stays_first = 0.0, float("inf")
    for stream, records in came.items():
        seqs = [seq for seq, _ in records]
        gone = len(seqs) - len(left[stream])
        assert seqs[gone:] == left[stream]
        times = [at for _, at in records]
        went_last = max([went_last, *(at for at in times[:gone] if at is not None)])
        stays_first = min([stays_first, *(age for age in effective(times)[gone:] if age is not None)])
    assert went_last <= stays_first


def effective(times: list[int | None]) -> list[int | None]:
    """Each without a time is as old as the next that has one."""
    found: list[int | None] = []
    following: int | None = None
    for at in reversed(times):
        following = at if at is not None else following
        found.append(following)
    return found[::-1]
