"""What recoveries leave behind in the process: memory, threads and descriptors.

`python -m bench.net.recoveries WAY COUNT` prints it as JSON. It enters a network namespace of its own, starts a real
livekit-server there, and keeps one stream's video arriving with the daemon's own Presence, which has to recover COUNT
times:

- `rejoin`: the kernel says that the path has changed, and the Room is kept;
- `new-room`: the server throws the participant out, and each time another Room is joined;
- `alone`: the SDK without us joins a Room, publishes, and leaves.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from livekit import rtc
from livekit.api import LiveKitAPI, RoomParticipantIdentity

from bench.net.rival import FPS, HEIGHT, WIDTH
from bench.net.standins import RESULT_SECONDS, Camera, Paths, Publishers, Session
from bench.process import Failure, memory_mb
from overshootd import presence
from overshootd.config.secret import Redactor
from overshootd.contracts import Log, PublishPlan
from overshootd.logs import open_log
from overshootd.presence import Presence
from overshootd.publish.livekit import LiveKit
from overshootd.simulator.livekit_child import LiveKitChild
from overshootd.simulator.tokens import publisher_identity
from overshootd.status import StreamState, Switch
from tests.integration import namespace

PLAN = PublishPlan(FPS, WIDTH, HEIGHT, 500_000, "vp8")
ROOM = "bench"
WARM_UP = 30
"""Recoveries after which all is there that the library needs once."""

BOUND = 30.0
FRAMES = 5
"""That the SDK alone publishes before it leaves."""

_PUBLISHER = RoomParticipantIdentity(room=ROOM, identity=publisher_identity(ROOM))


@dataclass(frozen=True)
class Held:
    """What this process holds. `memory`: resident, in MB (10^6 bytes)."""

    memory: float
    threads: int
    descriptors: int


def held() -> Held:
    own = Path("/proc/self")
    return Held(
        memory_mb(os.getpid(), Path("/nothing")), len(list((own / "task").iterdir())), len(list((own / "fd").iterdir()))
    )


async def main(way: str, count: int) -> None:
    server = LiveKitChild(namespace.ADDRESSES[0])
    await server.start()
    try:
        if way == "alone":
            samples = [sample async for sample in _alone(server, count)]
        else:
            # Rooms that do not hold are joined ever later; here it is we who put each out after a second.
            with patch.object(presence, "pause", lambda ladder, *, joined, uniform: 0.0):
                samples = [sample async for sample in _presence(server, way, count)]
    finally:
        await server.close()
    print(json.dumps(grown(samples[min(WARM_UP, count // 3) :])))


def grown(samples: Sequence[Held]) -> dict[str, float]:
    """By how much each grew in a recovery. Of memory the slope of the line through all: it goes up in steps."""
    numbers = range(len(samples))
    memory, _ = statistics.linear_regression(numbers, [sample.memory for sample in samples])
    last, first = samples[-1], samples[0]
    return {
        "memory": memory,
        "threads": (last.threads - first.threads) / (len(samples) - 1),
        "descriptors": (last.descriptors - first.descriptors) / (len(samples) - 1),
    }


async def _presence(server: LiveKitChild, way: str, count: int) -> AsyncIterator[Held]:
    """What is held after each."""
    log, paths, state = open_log(Redactor()), Paths(), StreamState()
    session, publishers = Session(server, ROOM), Publishers(LiveKit(), log)
    presence = _made(session, publishers, paths, state, log)
    tasks = [asyncio.create_task(presence.run()), asyncio.create_task(_prove(session, presence))]
    try:
        async with LiveKitAPI(_http(server), server.key, server.secret) as api:
            for number in range(count + 1):
                async with asyncio.timeout(BOUND):
                    await publishers.arrives.wait()
                publishers.arrives.clear()
                if number:
                    _check(state.switch, way)
                    yield held()
                if number == count:
                    return
                if way == "rejoin":
                    paths.change()
                else:
                    await api.room.remove_participant(_PUBLISHER)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await presence.close()


def _made(session: Session, publishers: Publishers, paths: Paths, state: StreamState, log: Log) -> Presence:
    return Presence(
        session=session,
        publishers=publishers,
        publisher=publishers(PLAN),
        plan=PLAN,
        camera=Camera(),
        begin=lambda: None,
        paths=paths,
        period=RESULT_SECONDS,
        state=state,
        changed=lambda: None,
        trouble=lambda why: None,
        log=log,
    )


async def _prove(session: Session, proved: Presence) -> None:
    async with aclosing(session.results()) as results:
        async for _ in results:
            proved.proved()


def _check(switch: Switch | None, way: str) -> None:
    """Raises Failure when that was not the way of this recovery."""
    if switch is None or switch.rung.replace(" ", "-") != way:
        raise Failure(f"not recovered by {way} but by {switch}")


async def _alone(server: LiveKitChild, count: int) -> AsyncIterator[Held]:
    session, camera = Session(server, ROOM), Camera()
    for _ in range(count):
        room = rtc.Room()
        await room.connect(session.target.url, session.target.token, rtc.RoomOptions(auto_subscribe=False))
        source = rtc.VideoSource(WIDTH, HEIGHT)
        track = rtc.LocalVideoTrack.create_video_track("camera", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=False)
        await room.local_participant.publish_track(track, options)
        for _ in range(FRAMES):
            picture = await camera.next()
            source.capture_frame(rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.I420, picture.data))
        await room.disconnect()
        await source.aclose()
        yield held()


def _http(server: LiveKitChild) -> str:
    return server.url.replace("ws://", "http://")


if __name__ == "__main__":
    namespace.enter()
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], int(sys.argv[2])))
    sys.stdout.flush()
    os._exit(0)  # as the daemon does: livekit-notes.md, Traps
