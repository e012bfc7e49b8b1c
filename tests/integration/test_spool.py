"""A result received is there again: after a kill, a power cut, a full disk; once and in order for every sink."""

from __future__ import annotations

import asyncio
import copy
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from overshootd.sinks import store as store_module
from overshootd.sinks.disk import Disk
from overshootd.sinks.progress import Progress
from overshootd.sinks.spool import FILE_NAME, Spool
from overshootd.sinks.store import Store
from tests.integration.sink_lab import RememberingLog

ROOT = Path(__file__).parents[2]
STREAMS = ("yard", "door")
SINKS = ("file:/a", "mqtt:b")

streams = st.sampled_from(STREAMS)
sinks = st.sampled_from(SINKS)


@dataclass
class Model:
    """What the spool should hold: all lines that were ever stored in it, and where each sink is."""

    lines: dict[str, list[tuple[int, bytes]]] = field(default_factory=lambda: {stream: [] for stream in STREAMS})
    acked: dict[tuple[str, str], int] = field(
        default_factory=lambda: {(stream, sink): 0 for stream in STREAMS for sink in SINKS}
    )


class SpoolMachine(RuleBasedStateMachine):
    """Each sink is given each record once and in order, whatever happens in between; no number is given out twice."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.generation = 0
        self.boot = 0
        self.model = Model()
        self.on_disk = Model()
        self.numbers: dict[str, set[int]] = {stream: set() for stream in STREAMS}

    @property
    def path(self) -> Path:
        return self.directory / str(self.generation) / FILE_NAME

    @property
    def cut(self) -> Path:
        """A copy of what is on the disk for sure."""
        return self.directory / "cut"

    @initialize()
    def start(self) -> None:
        self.store = Store(self.path, RememberingLog(), f"boot {self.boot}")
        for stream in STREAMS:
            _, acked = self.store.attach(stream, dict.fromkeys(SINKS, "{}"))
            assert acked == {sink: Progress(self.model.acked[stream, sink]) for sink in SINKS}
        self.given = dict(self.model.acked)
        self.sync()

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
        given = self.given[stream, sink]
        expected = [item for item in self.model.lines[stream] if item[0] > given][:rows]
        found = self.store.read(stream, given, None, rows, size)
        assert found == expected[: len(found)]
        assert bool(found) == bool(expected)
        assert len(found) <= 1 or sum(len(line) for _, line in found) <= size
        if found:
            self.given[stream, sink] = found[-1][0]

    @rule(stream=streams, sink=sinks)
    def ack(self, stream: str, sink: str) -> None:
        self.store.ack(stream, sink, Progress(self.given[stream, sink]))
        self.model.acked[stream, sink] = self.given[stream, sink]
        while self.store.purge(stream):
            pass

    @rule(stream=streams)
    def everything_arrives(self, stream: str) -> None:
        for sink in SINKS:
            self.give(stream, sink, 1000, 1 << 30)
            self.ack(stream, sink)

    @rule()
    def sync(self) -> None:
        self.store.sync()
        shutil.rmtree(self.cut, ignore_errors=True)
        shutil.copytree(self.path.parent, self.cut)
        self.on_disk = copy.deepcopy(self.model)

    @rule()
    def end_in_order(self) -> None:
        self.store.close()
        self.start()

    @rule()
    def kill(self) -> None:
        self._restart_from(self.path.parent)

    @rule()
    def cut_the_power(self) -> None:
        self.boot += 1
        self.model = copy.deepcopy(self.on_disk)
        self._restart_from(self.cut)

    def _restart_from(self, files: Path) -> None:
        old = self.store
        self.generation += 1
        shutil.copytree(files, self.path.parent)
        old.close()
        self.start()

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)


@pytest.fixture(autouse=True, scope="module")
def purge_early() -> Iterator[None]:
    """So that few records suffice to see them deleted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "PURGE_ROWS", 2)
        yield


SpoolMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestSpoolMachine = SpoolMachine.TestCase


CHILD = """
import asyncio, sys
from pathlib import Path
from overshootd.sinks.disk import Disk
from overshootd.sinks.spool import Spool
from tests.integration.sink_lab import RememberingLog, record

async def main():
    spool = Spool(Path(sys.argv[1]), Disk(), RememberingLog())
    while True:
        print(await spool.append(record("yard")), flush=True)

asyncio.run(main())
"""


def test_what_was_stored_when_the_process_was_killed_is_there_and_the_numbers_go_on(tmp_path: Path) -> None:
    told: list[int] = []
    for wanted in (1, 40, 300):
        command = [sys.executable, "-c", CHILD, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
            assert child.stdout is not None
            first, *_ = [int(child.stdout.readline()) for _ in range(wanted)]
            child.kill()
            rest = child.stdout.read()
        # The last record may have been stored although the child did not come to say so.
        assert first - (told[-1] if told else 0) in (1, 2)
        told += [*range(first, first + wanted), *(int(number) for number in rest.split())]
    lines = asyncio.run(everything(tmp_path))
    seqs = [line["seq"] for line in lines]
    assert seqs == list(range(1, len(seqs) + 1))
    assert set(told) <= set(seqs)
    assert len({line["uid"] for line in lines}) == len(lines)


async def everything(state_dir: Path) -> list[dict[str, object]]:
    """What a new sink is given."""
    disk = Disk()
    spool = Spool(state_dir, disk, RememberingLog())
    [cursor] = spool.attach("yard", {"test": ""})
    await cursor.attach()
    found: list[bytes] = []
    while (gap := cursor.given.gap(cursor.head)) is not None:
        batch = await cursor.read(gap[0] - 1, gap[1])
        cursor.gave(batch)
        found += batch.lines
    await spool.close(5)
    assert await disk.close(5)
    return [json.loads(line) for line in found]


def test_appending_syncs_nothing(tmp_path: Path) -> None:
    """Counted by strace: no more syncs in 300 appends than opening makes."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace, script = tmp_path / "trace", CHILD.replace("while True:", "for _ in range(300):")
    strace = ["strace", "-f", "-e", "trace=fsync,fdatasync,sync_file_range", "-o", str(trace)]
    command = [*strace, sys.executable, "-c", script, str(tmp_path / "state")]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "300"
    assert 0 < trace.read_text().count("sync(") < 20
