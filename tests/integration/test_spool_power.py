"""The power goes at any moment: what was synced is there, in order, nothing else is, and no number comes again.

Simulated on copies of the files: what was written since the last sync may be missing, torn, or anything at all.
"""

from __future__ import annotations

import io
import random
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from overshootd.sinks import database, store
from overshootd.sinks.aside import log_of
from overshootd.sinks.progress import Progress
from overshootd.sinks.spool import FILE_NAME
from overshootd.sinks.store import Store
from overshootd.sinks.wal import HEADER, survey
from tests.integration.sink_lab import store_one
from tests.remembering import RememberingLog

STREAMS = tuple(f"camera {number}" for number in range(12))
SINKS = {"file:/a": "{}", "mqtt:b": "{}"}
BLOCK = 512

Damage = Callable[[random.Random, bytes], bytes]


def torn(chance: random.Random, data: bytes) -> bytes:
    """Nothing came after it."""
    return b""


def empty(chance: random.Random, data: bytes) -> bytes:
    """The file's size was written and its blocks were not."""
    return b"\0" * len(data)


def garbled(chance: random.Random, data: bytes) -> bytes:
    return chance.randbytes(len(data))


def out_of_order(chance: random.Random, data: bytes) -> bytes:
    """Some blocks came, others did not."""
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    return b"".join(chance.choice([block, b"\0" * len(block)]) for block in blocks)


@dataclass
class World:
    """A spool, what was put into it, and what of its files is on the disk for sure."""

    root: Path
    chance: random.Random
    staged: bool = False
    boot: int = 0
    cuts: int = 0
    lost: int = 0
    given_out: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lines: dict[str, dict[int, bytes]] = field(default_factory=lambda: defaultdict(dict))
    acked: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    synced: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    synced_acks: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    log: RememberingLog = field(default_factory=RememberingLog)
    store: Store = field(init=False)
    _head: bytes = b""
    _safe: int = 0
    _database: bytes = b""

    @property
    def directory(self) -> Path:
        return self.root / str(self.cuts)

    @property
    def path(self) -> Path:
        return self.directory / FILE_NAME

    def open(self) -> None:
        stage = self.root / "stage"
        stage.mkdir(exist_ok=True)
        self.store = Store(self.path, self.log, f"boot {self.boot}", stage_dir=stage if self.staged else None)
        if self.path.exists():
            self.note_synced()  # what is there at the start of a machine is there
            self._database = self.path.read_bytes()
        self.store.open()
        self.note()

    def step(self) -> None:
        stream, sink = self.chance.choice(STREAMS), self.chance.choice([*SINKS])
        match self.chance.choice(["append"] * 10 + ["ack"] * 5 + ["everything arrives", "sync", "end"]):
            case "append":
                text = self.chance.randbytes(self.chance.choice([0, 50, 700, 3000]))
                makes = [(stream, lambda seq: b"%d " % seq + text)] * self.chance.randint(1, 4)
                for seq in self.store.append_all(makes):
                    assert isinstance(seq, int)
                    assert seq > self.given_out[stream]
                    self.given_out[stream] = seq
                    self.lines[stream][seq] = b"%d " % seq + text
            case "ack":
                there = [seq for seq in self.lines[stream] if seq >= self.acked[stream, sink]]
                self.ack(stream, sink, self.chance.choice([*there, self.acked[stream, sink]]))
            case "everything arrives":
                for sink in SINKS:
                    self.ack(stream, sink, max([*self.lines[stream], self.acked[stream, sink]]))
            case "sync":
                self.store.sync()
                self.all_is_synced()
            case "end":
                self.store.close()
                self.all_is_synced()
                self.boot += self.chance.choice([0, 1])
                self.open()
        self.note()

    def ack(self, stream: str, sink: str, seq: int) -> None:
        self.store.attach(stream, SINKS)
        self.acked[stream, sink] = seq
        self.store.ack(stream, sink, Progress(seq))
        while self.store.purge(stream):
            pass

    def all_is_synced(self) -> None:
        self.synced.update({stream: max(self.lines[stream], default=0) for stream in STREAMS})
        self.synced_acks.update(self.acked)

    def note(self) -> None:
        """A checkpoint, which the database's file shows, has synced the log before and the file behind it."""
        content, log = self.path.read_bytes(), log_of(self.path).read_bytes()
        if content != self._database:
            self.note_synced()
        self._database = content
        if log[: HEADER.size] != self._head:
            self._head, self._safe = log[: HEADER.size], 0

    def note_synced(self) -> None:
        log = log_of(self.path).read_bytes() if log_of(self.path).exists() else b""
        self._head, self._safe = log[: HEADER.size], survey(io.BytesIO(log)).whole

    def cut_the_power(self, damage: Damage) -> None:
        log = log_of(self.path).read_bytes()
        cut = self.chance.randint(self._safe, len(log))
        before = self.directory
        self.boot += 1
        self.cuts += 1
        shutil.copytree(before, self.directory)
        self.store.close()
        log_of(self.path).write_bytes(log[:cut] + damage(self.chance, log[cut:]))
        self.open()
        self.check()

    def check(self) -> None:
        for stream in STREAMS:
            _, places = self.store.attach(stream, SINKS)
            found = dict(self.store.read(stream, 0, None, 1 << 30, 1 << 40))
            had = {sink: self.synced_acks[stream, sink] for sink in places}
            delivered = min(self.acked[stream, sink] for sink in places) if self.staged else 0
            for sink, has in places.items():
                assert self.staged or had[sink] <= has.floor
                assert [seq for seq in found if self.acked[stream, sink] < seq and has.contains(seq)] == []
                assert [seq for seq in found if has.floor < seq <= had[sink]] == [], "given to the sink again"
            # Beyond that come numbers that are left out.
            floor = max(delivered, min(min(has.floor, self.acked[stream, sink]) for sink, has in places.items()))
            self.acked.update({(stream, sink): has.floor for sink, has in places.items()})
            self.synced_acks.update({(stream, sink): has.floor for sink, has in places.items()})
            expected = {seq: line for seq, line in self.lines[stream].items() if seq > floor}
            survived = {seq: line for seq, line in found.items() if seq > floor}
            assert list(survived.items()) == list(expected.items())[: len(survived)], "the first of them, in order"
            assert [seq for seq in expected if seq <= self.synced[stream] and seq not in survived] == []
            self.lost += len(expected) - len(survived)
            assert found.items() <= self.lines[stream].items(), "and nothing that was never stored"
            self.lines[stream] = found
            self.synced[stream] = max(found, default=0)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that short runs see everything: checkpoints, logs that start over, records deleted."""
    settings = [setting for setting in database.SETTINGS if "autocheckpoint" not in setting]
    monkeypatch.setattr(database, "SETTINGS", (*settings, "wal_autocheckpoint = 200"))
    monkeypatch.setattr(store, "PURGE_ROWS", 4)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("damage", [torn, empty, garbled, out_of_order])
@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_what_was_synced_survives_in_order_and_no_number_comes_again(
    tmp_path: Path, seed: int, staged: bool, damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, random.Random(seed), staged)
    # The log is whole up to here whenever the store has it synced, by itself too.
    monkeypatch.setattr("os.fdatasync", lambda descriptor: world.note_synced())
    world.open()
    for _ in range(8):
        for _ in range(world.chance.choice([3, 20, 60])):
            world.step()
        world.cut_the_power(damage)
    assert world.lost > 0, "or nothing was tried"
    world.store.close()


@pytest.mark.parametrize(("lost", "told"), [(1, True), (0, False)])
def test_a_torn_end_is_told_once_and_a_whole_one_not(tmp_path: Path, lost: int, told: bool) -> None:
    running = Store(tmp_path / "running" / FILE_NAME, RememberingLog(), "boot 1")
    for _ in range(10):
        store_one(running, "yard", lambda seq: b"%d" % seq)
    shutil.copytree(tmp_path / "running", tmp_path / "next")
    running.close()
    path = tmp_path / "next" / FILE_NAME
    log = log_of(path).read_bytes()
    log_of(path).write_bytes(log[: len(log) - lost])
    after = RememberingLog()
    for boot in ("boot 2", "boot 3"):
        store = Store(path, after, boot)
        assert [seq for seq, _ in store.read("yard", 0, None, 100, 1 << 20)] == [*range(1, 11 - lost)]
        store.close()
    assert ["cut off" in line for line in after.lines] == [True] * told


def zeros(tail: bytes) -> bytes:
    return bytes(len(tail))


def noise(tail: bytes) -> bytes:
    return random.Random(1).randbytes(len(tail))


def one_bit_of_the_first(tail: bytes) -> bytes:
    return tail[:30] + bytes([tail[30] ^ 1]) + tail[31:]


@pytest.mark.parametrize("boot", ["boot 1", "boot 2"])
@pytest.mark.parametrize("behind", [1, 3, 10])
@pytest.mark.parametrize("damaged", [zeros, noise])
def test_what_nobody_wrote_at_the_end_is_told_and_costs_numbers_in_any_boot(
    tmp_path: Path, damaged: Callable[[bytes], bytes], behind: int, boot: str
) -> None:
    after, found, following = damaged_end(tmp_path, behind, damaged, boot)
    assert found == [*range(1, 11 - behind)]
    assert following > 1_000_000
    assert ["cut off" in line for line in after.lines] == [True]


def damaged_end(
    directory: Path, behind: int, damaged: Callable[[bytes], bytes], boot: str
) -> tuple[RememberingLog, list[int], int]:
    """Ten records were stored in "boot 1", and the log is `damaged` from the last `behind` on: what is told at the
    start in `boot`, which are left, and the next number."""
    running = Store(directory / "running" / FILE_NAME, RememberingLog(), "boot 1")
    running.attach("yard", {})
    ends = [log_of(directory / "running" / FILE_NAME).stat().st_size]
    for _ in range(10):
        store_one(running, "yard", lambda seq: b"%d" % seq)
        ends.append(log_of(directory / "running" / FILE_NAME).stat().st_size)
    shutil.copytree(directory / "running", directory / "next")
    running.close()
    path = directory / "next" / FILE_NAME
    log, end = log_of(path).read_bytes(), ends[-1 - behind]
    log_of(path).write_bytes(log[:end] + damaged(log[end:]))
    after = RememberingLog()
    store = Store(path, after, boot)
    found = [seq for seq, _ in store.read("yard", 0, None, 100, 1 << 20)]
    following = store_one(store, "yard", lambda seq: b"")
    store.close()
    return after, found, following


@pytest.mark.parametrize(("behind", "told"), [(3, True), (1, False)])
def test_in_the_same_boot_only_what_no_kill_leaves_is_a_torn_end(tmp_path: Path, behind: int, told: bool) -> None:
    """A disk may be pulled out; but a kill, or a full disk, leaves half a commit."""
    after, found, following = damaged_end(tmp_path, behind, one_bit_of_the_first, "boot 1")
    assert found == [*range(1, 11 - behind)]
    assert (following > 1_000_000) is told
    assert ["cut off" in line for line in after.lines] == [True] * told


@pytest.mark.parametrize("staged", [False, True], ids=["at once", "staged"])
def test_numbers_shortly_before_a_million_do_not_come_again_either(tmp_path: Path, staged: bool) -> None:
    (tmp_path / "stage").mkdir()
    stage_dir = tmp_path / "stage" if staged else None
    path = tmp_path / "before" / FILE_NAME
    store = Store(path, RememberingLog(), "boot 1", stage_dir=stage_dir)
    store.attach("yard", SINKS)
    store.within(lambda connection: connection.execute("UPDATE main.streams SET seq = 999990"))
    store.close()
    store = Store(path, RememberingLog(), "boot 1", stage_dir=stage_dir)
    store.attach("yard", SINKS)
    shutil.copytree(path.parent, tmp_path / "after")
    last = [store_one(store, "yard", lambda seq: b"x") for _ in range(20)][-1]
    store.close()
    store = Store(tmp_path / "after" / FILE_NAME, RememberingLog(), "boot 2", stage_dir=stage_dir)
    assert store_one(store, "yard", lambda seq: b"x") > last > 1_000_000
    store.close()


def test_what_went_ahead_and_was_synced_stays_delivered(tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    store = Store(tmp_path / "before" / FILE_NAME, RememberingLog(), "boot 1", stage_dir=tmp_path / "stage")
    store.attach("yard", SINKS)
    for _ in range(10):
        store_one(store, "yard", lambda seq: b"x")
    store.sync()
    store.ack("yard", "mqtt:b", Progress(0, ((6, 10),)))
    store.sync()
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    store.close()
    store = Store(tmp_path / "after" / FILE_NAME, RememberingLog(), "boot 2", stage_dir=tmp_path / "stage")
    _, places = store.attach("yard", SINKS)
    assert [seq for seq in range(1, 11) if not places["mqtt:b"].contains(seq)] == [1, 2, 3, 4, 5]
    store.close()
