"""Records on the standard output: whole lines, each once, whatever the reader does; and nobody waits for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from overshootd.contracts import Sink
from overshootd.errors import ConfigError, Transient
from overshootd.sinks.record import encode
from overshootd.sinks.stdout import PIPE_BUF, Output, StdoutSink
from tests.integration.sink_lab import record

BOUND = 20.0
PATIENCE = 0.05
"""Seconds that a reader has in these tests."""

PIPE = 65536
"""Bytes that a pipe takes while nobody reads (pipe(7))."""


class Pipe:
    """An output, and the reader of it."""

    def __init__(self, read_end: int, write_end: int) -> None:
        self.read_end, self.write_end = read_end, write_end
        self.output = Output(self.write_end, PATIENCE)
        self.got = b""

    @property
    def lines(self) -> list[bytes]:
        assert self.got.endswith(b"\n"), "torn"
        return self.got.splitlines()

    async def read(self, lines: int, at_once: int = 65536) -> None:
        """Read until so many have come, in pieces of at most so many bytes."""
        async with asyncio.timeout(BOUND):
            while self.got.count(b"\n") < lines:
                await self._readable()
                self.got += os.read(self.read_end, at_once)

    async def _readable(self) -> None:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.read_end, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self.read_end)

    async def hang_up(self) -> None:
        os.close(self.read_end)
        self.read_end = -1

    async def close(self) -> None:
        if self.read_end >= 0:
            os.close(self.read_end)
        assert await self.output.close(BOUND)
        os.close(self.write_end)


@pytest.fixture
async def pipe() -> AsyncIterator[Pipe]:
    pipe = Pipe(*os.pipe())
    yield pipe
    await pipe.close()


def lines(begin: int, end: int, size: int = 0, stream: str = "yard") -> list[bytes]:
    return [encode(record(stream, "x" * size), f"uid-{number}", number) for number in range(begin, end)]


async def persistently(sink: Sink, given: list[bytes]) -> int:
    """Deliver as a delivery does: the same again until it is done. Returns how often it failed."""
    failed = 0
    async with asyncio.timeout(BOUND):
        while True:
            try:
                await sink.deliver(given)
            except Transient:
                failed += 1
            else:
                return failed


async def test_records_are_lines(pipe: Pipe) -> None:
    sink: Sink = StdoutSink(pipe.output)
    await sink.open()
    await sink.deliver(lines(0, 2))
    await sink.deliver(lines(2, 3))
    await sink.sync()
    await sink.close()
    await pipe.read(3)
    assert pipe.lines == lines(0, 3)
    assert (sink.name, sink.live_first) == ("stdout", False)


async def test_no_write_is_larger_than_what_a_pipe_takes_at_once(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger one would block although poll(2) said that there is room."""
    sizes, write = list[int](), os.write

    def seen(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", seen)
    await StdoutSink(pipe.output).deliver(lines(0, 1, 10_000))
    assert max(sizes) == PIPE_BUF


async def test_a_reader_that_does_not_read_is_told_and_gets_each_line_once_when_it_does(pipe: Pipe) -> None:
    sink = StdoutSink(pipe.output)
    given = lines(0, 40, 10_000)
    for _ in range(3):
        with pytest.raises(Transient, match="does not: let it read, or remove the sink"):
            await sink.deliver(given)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(persistently(sink, given))
        tasks.create_task(pipe.read(40))
    assert pipe.lines == given


async def test_lines_longer_than_a_pipe_are_whole_when_streams_take_turns(pipe: Pipe) -> None:
    """And the reader is slow enough for each to fail."""
    sinks = {stream: StdoutSink(pipe.output) for stream in ("yard", "gate", "door")}
    given = {stream: lines(0, 6, 3 * PIPE, stream) for stream in sinks}
    failing = [asyncio.create_task(sink.deliver(given[stream])) for stream, sink in sinks.items()]
    results = await asyncio.gather(*failing, return_exceptions=True)
    assert all(isinstance(result, Transient) for result in results)
    async with asyncio.TaskGroup() as tasks:
        for stream, sink in sinks.items():
            tasks.create_task(persistently(sink, given[stream]))
        tasks.create_task(pipe.read(18, 5000))
    assert {stream: [line for line in pipe.lines if stream.encode() in line] for stream in sinks} == given
    assert len(pipe.lines) == 18


async def test_a_delivery_that_is_given_up_leaves_no_half_line_to_the_next(pipe: Pipe) -> None:
    given = lines(0, 3, 2 * PIPE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(PATIENCE / 2):
            await StdoutSink(pipe.output).deliver(given)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(persistently(StdoutSink(pipe.output), lines(7, 8)))
        tasks.create_task(pipe.read(2))
    assert pipe.lines == [given[0], *lines(7, 8)]


async def test_a_reader_that_is_gone_is_told(pipe: Pipe) -> None:
    sink = StdoutSink(pipe.output)
    await pipe.hang_up()
    for _ in range(2):
        with pytest.raises(Transient, match="is gone: start it again"):
            await sink.deliver(lines(0, 2))


async def test_the_next_reader_of_a_fifo_gets_the_line_whole_that_was_torn(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    first = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    pipe = Pipe(first, os.open(fifo, os.O_WRONLY))
    sink = StdoutSink(pipe.output)
    given = lines(0, 2, 2 * PIPE)
    with pytest.raises(Transient, match="does not"):
        await sink.deliver(given)
    await pipe.hang_up()
    with pytest.raises(Transient, match="gone"):
        await sink.deliver(given)
    pipe.read_end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(persistently(sink, given))
        tasks.create_task(pipe.read(3))
    torn, *whole = pipe.lines
    assert whole == given
    assert given[0].startswith(torn)
    await pipe.close()


async def test_a_file_as_standard_output_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    output, synced = Output(file), list[int]()
    monkeypatch.setattr(os, "fdatasync", synced.append)
    sink = StdoutSink(output)
    await sink.deliver(lines(0, 1))
    await sink.sync()
    assert synced == [file]
    assert (tmp_path / "out").read_bytes() == lines(0, 1)[0] + b"\n"
    assert await output.close(BOUND)
    os.close(file)


async def test_without_a_standard_output_a_person_must_act() -> None:
    output = Output(None)
    sink = StdoutSink(output)
    with pytest.raises(ConfigError, match="the standard output is closed"):
        await sink.open()
    with pytest.raises(Transient, match=r"cannot be written to \(closed\)"):
        await sink.deliver(lines(0, 1))
    assert await output.close(BOUND)
