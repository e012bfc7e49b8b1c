"""The native transport with the `livekit` SDK, exactly as the API asks (api/README.md, v0.2 point 1), its traps kept
in here.

The traps are those of livekit-notes.md: a join is never cancelled, the first frame precedes the track, one Room an
identity.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from overshootd.contracts import Log, Media, PublishPlan, PublishStats, PublishTarget, Wish
from overshootd.errors import Transient
from overshootd.publish.health import Counters, Health
from overshootd.publish.source import options, source_for

PUBLISH_TIMEOUT = 15.0
FIRST_SECONDS = 20.0
"""For the first frame after the join, which is paid for: network cameras are sold with 10 s between keyframes."""
FIRST_FRAME_SECONDS = 0.1
STATS_TIMEOUT = 4.0
LAST_STATS_TIMEOUT = 0.5
LEAVE_TIMEOUT = 3.0
"""`disconnect()` did not block in any measured state (livekit-notes.md); the bound is for those not measured."""

JOIN_OPTIONS = rtc.RoomOptions(
    auto_subscribe=False,
    dynacast=False,
    connect_timeout=2.0,  # a join into a black hole then ends after 20 s, not 32 s (livekit-notes.md)
)


class LiveKit:
    """The SDK in this process: makes publishers, and owns the joins that outlive theirs."""

    def __init__(self) -> None:
        self._leaving: set[asyncio.Task[None]] = set()

    def publisher(self, plan: PublishPlan, log: Log) -> LiveKitPublisher:
        return LiveKitPublisher(self, plan, log)

    def adopt(self, room: rtc.Room, join: asyncio.Task[None], log: Log) -> None:
        """Let a join that nobody waits for any more end by itself, then leave its room."""
        log.info("a join is left to end by itself")
        leaving = asyncio.create_task(_leave_after(room, join, log), name="leave after join")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    @property
    def joins_under_way(self) -> int:
        """How many joins outlived their publishers and have not ended yet."""
        return len(self._leaving)

    async def close(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the joins still under way. What is left then dies with the process."""
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=timeout)


async def _leave_after(room: rtc.Room, join: asyncio.Task[None], log: Log) -> None:
    await asyncio.wait([join])
    if join.exception() is None:
        await _leave(room, log)


async def _leave(room: rtc.Room, log: Log) -> None:
    try:
        async with asyncio.timeout(LEAVE_TIMEOUT):
            await room.disconnect()
    except TimeoutError:
        log.warning(f"the room was not left within {LEAVE_TIMEOUT:g} s")


class LiveKitPublisher:
    """One Room with one track. Satisfies contracts.Publisher."""

    def __init__(self, owner: LiveKit, plan: PublishPlan, log: Log) -> None:
        self._owner = owner
        self._plan = plan
        self._log = log
        self._room = rtc.Room()
        self._join: asyncio.Task[None] | None = None
        self._source = source_for(plan, log)
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._sent = PublishStats()
        self._room.on("disconnected", self._on_disconnected)

    async def connect(self, target: PublishTarget, first: Callable[[], Awaitable[Media]]) -> None:
        self._join = asyncio.create_task(self._room.connect(target.url, target.token, JOIN_OPTIONS), name="join")
        try:
            await asyncio.shield(self._join)
        except rtc.ConnectError as error:
            raise Transient(f"joining the room failed: {error.message}") from error
        media = await self._within_reach(first)
        self.push(media)
        await self._publish()
        await self._until_encoded(media)

    async def _within_reach(self, first: Callable[[], Awaitable[Media]]) -> Media:
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                return await first()
        except TimeoutError as error:
            raise Transient(
                f"the camera gave nothing to begin with for {FIRST_SECONDS:g} s; "
                "if it encodes, let it send a keyframe every 2 s"
            ) from error

    async def _publish(self) -> None:
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT):
                await self._room.local_participant.publish_track(self._source.track(), options(self._plan))
        except (TimeoutError, PublishTrackError) as error:
            raise Transient(f"publishing the track failed: {str(error) or 'no answer'}") from error

    async def _until_encoded(self, first: Media) -> None:
        """Offer the first frame until it is encoded, which starts some 100 ms after the track is published.

        Else it would be lost, and at 0.5 fps the next one is 2 s away. It also finds a codec that nobody negotiated.
        An access unit that is offered is a keyframe: it stands for itself as often as it comes.
        """
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT):
                while self._sent.frames_encoded == 0:
                    # Each time as a new frame: the library drops one that is not newer than the one before.
                    self.push(replace(first, captured_ns=time.monotonic_ns()))
                    await asyncio.sleep(FIRST_FRAME_SECONDS)
                    asked = time.monotonic()
                    await self._rtc_stats(STATS_TIMEOUT)
        except TimeoutError as error:
            raise Transient(f"no frame was encoded within {PUBLISH_TIMEOUT:g} s of publishing") from error
        self._source.look(self._sent.frames_encoded, asked)

    def push(self, media: Media) -> Wish:
        return self._source.push(media)

    async def watch(self) -> None:
        health = Health(time.monotonic())
        while True:
            await asyncio.wait([self._lost], timeout=self._source.look_seconds)
            if self._lost.done():
                raise Transient(f"the room was left: {self._lost.result()}")
            asked = time.monotonic()
            counters = self._counters(await self._rtc_stats(STATS_TIMEOUT))
            if why := health.broken(counters):
                raise Transient(why)
            self._source.look(None if counters.responses is None else counters.encoded, asked)

    async def stats(self) -> PublishStats:
        await self._rtc_stats(STATS_TIMEOUT)
        return self._sent

    async def close(self) -> None:
        if self._join is None:
            return
        if not self._join.done():
            self._owner.adopt(self._room, self._join, self._log)
        elif not self._join.cancelled() and self._join.exception() is None:
            await self._rtc_stats(LAST_STATS_TIMEOUT)
            self._log.info(
                "leaving the room",
                frames_encoded=self._sent.frames_encoded,
                bytes_sent=self._sent.bytes_sent,
                **self._source.summary(),
            )
            await _leave(self._room, self._log)
        await self._source.close()

    async def _rtc_stats(self, timeout: float) -> list[rtc.stats.RtcStats]:
        """The publisher's stats; empty while the SDK reconnects, and after it gave up."""
        try:
            async with asyncio.timeout(timeout):
                stats = list((await self._room.get_rtc_stats()).publisher_stats)
        except (RuntimeError, TimeoutError):
            return []
        if (pair := _pair(stats)) is not None:
            self._sent = PublishStats(_encoded(stats), pair.bytes_sent, pair.current_round_trip_time)
        return stats

    def _counters(self, stats: list[rtc.stats.RtcStats]) -> Counters:
        pair = _pair(stats)
        return Counters(
            at=time.monotonic(),
            responses=pair.responses_received if pair is not None else None,
            encoded=_encoded(stats),
            pushed=self._source.taken,
        )

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        if not self._lost.done():
            self._lost.set_result(rtc.DisconnectReason.Name(reason))


def _pair(stats: Iterable[rtc.stats.RtcStats]) -> rtc.stats.CandidatePairStats | None:
    """The nominated candidate pair, or None."""
    for entry in stats:
        if entry.HasField("candidate_pair") and entry.candidate_pair.candidate_pair.nominated:
            return entry.candidate_pair.candidate_pair
    return None


def _encoded(stats: Iterable[rtc.stats.RtcStats]) -> int:
    return sum(s.outbound_rtp.outbound.frames_encoded for s in stats if s.HasField("outbound_rtp"))
