"""The spool against a model of it: every sink is given every record once, whatever happens in between."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from overshootd.sinks import staging
from overshootd.sinks import store as store_module
from overshootd.sinks.heirs import heirs
from overshootd.sinks.progress import Progress
from overshootd.sinks.spool import FILE_NAME
from overshootd.sinks.store import Store
from tests.remembering import RememberingLog

STREAMS = ("yard", "door")
SINKS = ("file:/a", "mqtt:b", "stdout", "file:/c")
Places = dict[str, dict[str, Progress]]

streams = st.sampled_from(STREAMS)
sinks = st.sampled_from(SINKS)


@dataclass
class Model:
    """What the spool should hold: all lines that were ever stored in it, and what each sink has; by stream."""

    lines: dict[str, list[tuple[int, bytes]]] = field(default_factory=lambda: {stream: [] for stream in STREAMS})
    acked: Places = field(default_factory=lambda: {stream: {} for stream in STREAMS})

    def missing(self, stream: str, has: Progress) -> list[tuple[int, bytes]]:
        return [(seq, line) for seq, line in self.lines[stream] if not contains(has, seq)]


def contains(has: Progress, seq: int) -> bool:
    return seq <= has.floor or any(first <= seq <= last for first, last in has.spans)


class SpoolMachine(RuleBasedStateMachine):
    """Each sink is given each record once, in order or live first; no number is given out twice."""

    staged = False

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.generation = 0
        self.boot = 0
        self.model = Model()
        self.on_disk = Model()
        self.given: Places = {}
        self.numbers: dict[str, set[int]] = {stream: set() for stream in STREAMS}

    @property
    def path(self) -> Path:
        return self.directory / str(self.generation) / FILE_NAME

    @property
    def cut(self) -> Path:
        """A copy of what is on the disk for sure."""
        return self.directory / "cut"

    @property
    def stage(self) -> Path:
        return self.directory / "stage"

    @initialize()
    def start(self) -> None:
        self.stage.mkdir(exist_ok=True)
        self.log = RememberingLog()
        stage_dir = self.stage if self.staged else None
        self.store = Store(self.path, self.log, f"boot {self.boot}", stage_dir=stage_dir)
        for stream in STREAMS:
            self.attach(stream, set(self.model.acked[stream]) or set(SINKS[:2]))
        self.sync()

    @rule(stream=streams, named=st.sets(sinks, min_size=1))
    def attach(self, stream: str, named: set[str]) -> None:
        """What a sink has that stays; one that is new is an heir, or begins where the slowest was."""
        before = self.model.acked[stream]
        begin = Progress(min((has.floor for has in before.values()), default=0))
        _, found = self.store.attach(stream, {sink: f'{{"{sink}": 1}}' for sink in sorted(named)})
        was = heirs(before, named)
        expected = {sink: before.get(was.get(sink, sink), begin) for sink in named}
        assert {sink: self.model.missing(stream, has) for sink, has in found.items()} == {
            sink: self.model.missing(stream, has) for sink, has in expected.items()
        }
        self.model.acked[stream] = found
        self.given[stream] = dict(found)

    @rule(stream=streams, texts=st.lists(st.binary(max_size=1500), min_size=1, max_size=6))
    def append(self, stream: str, texts: list[bytes]) -> None:
        makes = [(stream, lambda seq, text=text: b"%d %s" % (seq, text)) for text in texts]
        for seq, text in zip(self.store.append_all(makes), texts, strict=True):
            assert isinstance(seq, int)
            assert seq > max(self.numbers[stream], default=0)
            self.numbers[stream].add(seq)
            self.model.lines[stream].append((seq, b"%d %s" % (seq, text)))

    @rule(stream=streams, sink=sinks, rows=st.integers(1, 20), size=st.integers(1, 20_000))
    def give(self, stream: str, sink: str, rows: int, size: int) -> None:
        """The oldest that it lacks."""
        given = self.given[stream].get(sink)
        head = max(self.numbers[stream], default=0)
        if given is None or (gap := given.gap(head)) is None:
            return
        expected = [item for item in self.model.missing(stream, given) if gap[0] <= item[0] <= gap[1]][:rows]
        found = self.store.read(stream, gap[0] - 1, gap[1], rows, size)
        assert found == expected[: len(found)]
        assert bool(found) == bool(expected)
        assert len(found) <= 1 or sum(len(line) for _, line in found) <= size
        self.given[stream][sink] = given.having(gap[0], found[-1][0] if found else gap[1])

    @rule(stream=streams, sink=sinks, rows=st.integers(1, 3))
    def give_live(self, stream: str, sink: str, rows: int) -> None:
        """The newest, past what waits."""
        given = self.given[stream].get(sink)
        newest = self.model.lines[stream][-rows:]
        if given is None or not newest or contains(given, newest[0][0]):
            return
        assert self.store.read(stream, newest[0][0] - 1, None, rows, 1 << 30) == newest
        self.given[stream][sink] = given.having(newest[0][0], newest[-1][0])

    @rule(stream=streams, sink=sinks)
    def ack(self, stream: str, sink: str) -> None:
        if sink in self.given[stream]:
            self.model.acked[stream][sink] = self.given[stream][sink]
            self.store.ack(stream, sink, self.given[stream][sink])
        while self.store.purge(stream):
            pass

    @rule(stream=streams, sink=sinks)
    def rewind(self, stream: str, sink: str) -> None:
        if sink in self.given[stream]:
            self.given[stream][sink] = self.model.acked[stream][sink]

    @rule(stream=streams)
    def everything_arrives(self, stream: str) -> None:
        for sink in self.given[stream]:
            self.give_live(stream, sink, 2)
            while self.model.missing(stream, self.given[stream][sink]):
                self.give(stream, sink, 1000, 1 << 30)
            self.ack(stream, sink)

    @rule(known=st.sets(streams))
    def look_for_strangers(self, known: set[str]) -> None:
        expected = {
            stream: {sink: f'{{"{sink}": 1}}' for sink, has in acked.items() if self.model.missing(stream, has)}
            for stream, acked in self.model.acked.items()
            if stream not in known
        }
        assert self.store.strangers(known, STREAMS) == {stream: owed for stream, owed in expected.items() if owed}

    @rule()
    def sync(self) -> None:
        self.store.sync({stream: max(self.numbers[stream], default=0) for stream in STREAMS})
        shutil.rmtree(self.cut, ignore_errors=True)
        shutil.copytree(self.path.parent, self.cut)
        self.on_disk = copy.deepcopy(self.model)

    @rule()
    def end_in_order(self) -> None:
        self.store.close()
        self.start()

    @rule()
    def kill(self) -> None:
        self._restart_from(self.path.parent, self.stage)

    @rule()
    def cut_the_power(self) -> None:
        self.boot += 1
        self.model = copy.deepcopy(self.on_disk)
        self._restart_from(self.cut)

    def _restart_from(self, files: Path, *memory: Path) -> None:
        old = self.store
        self.generation += 1
        shutil.copytree(files, self.path.parent)
        kept = {file: file.read_bytes() for path in memory for file in path.iterdir()}
        old.close()
        for file, content in kept.items():
            file.write_bytes(content)
        self.start()
        assert not any("gone" in line for line in self.log.lines)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)


@pytest.fixture(autouse=True, scope="module")
def purge_early() -> Iterator[None]:
    """So that few records suffice to see them deleted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "PURGE_ROWS", 2)
        patch.setattr(staging, "MIRROR_SECONDS", 0.0)
        patch.setattr(staging, "STAGE_BYTES", 60_000)
        yield


SpoolMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestSpoolMachine = SpoolMachine.TestCase


class StagedMachine(SpoolMachine):
    """The same where what is new is staged."""

    staged = True


StagedMachine.TestCase.settings = SpoolMachine.TestCase.settings
TestStagedMachine = StagedMachine.TestCase
