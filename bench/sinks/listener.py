"""`python -m bench.sinks.listener HOST PORT TOPIC`: tells of each record that a broker passes on its seq and when it
came, in monotonic seconds; first `ready`. A process of its own, so that it slows down nobody whom it measures."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiomqtt

from bench.process import Failure

SEQ = re.compile(rb'"seq":(\d+)')
READY_SECONDS = 20.0


async def listen(host: str, port: int, topic: str) -> None:
    async with aiomqtt.Client(host, port) as client:
        await client.subscribe(topic, qos=1)
        print("ready", flush=True)
        async for message in client.messages:
            now = time.monotonic()
            payload = message.payload
            assert isinstance(payload, bytes)
            if (found := SEQ.search(payload)) is not None:
                print(int(found[1]), now, flush=True)


@dataclass
class Listener:
    """`came`: the first time of each seq."""

    came: dict[int, float] = field(default_factory=dict)

    async def read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            seq, at = line.split()
            self.came.setdefault(int(seq), float(at))

    async def all_of(self, seqs: Sequence[int], within: float) -> bool:
        """Whether these came."""
        deadline = time.monotonic() + within
        while not self.came.keys() >= set(seqs):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True


@asynccontextmanager
async def listening(host: str, port: int, topic: str, where: Sequence[str] = ()) -> AsyncIterator[Listener]:
    """`where`: the words before a command that has to run in another namespace."""
    command = [*where, sys.executable, "-m", "bench.sinks.listener", host, str(port), topic]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    listener = Listener()
    reading: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(READY_SECONDS):
            if (await process.stdout.readline()).strip() != b"ready":
                raise Failure("nobody listens at the broker")
        reading = asyncio.create_task(listener.read(process.stdout))
        yield listener
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if reading is not None:
            await reading


if __name__ == "__main__":
    asyncio.run(listen(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
