"""The native transport with the `livekit` SDK, exactly as the API asks (api/README.md, v0.2 point 1), its traps kept
in here.

The traps are those of livekit-notes.md: a join is never cancelled, the first frame precedes the track, one Room an
identity.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from overshootd.access import NoToken, read
from overshootd.contracts import Log, Media, Picture, PublishPlan, PublishStats, PublishTarget, Target, Wish
from overshootd.errors import Transient
from overshootd.publish.first import within_reach
from overshootd.publish.health import Counters, Health
from overshootd.publish.source import options, source_for
from overshootd.remedy import explained

LOOK_SECONDS = 0.5
"""How often the path is looked at; a look took 0.3 ms."""

SOURCE_SECONDS = 1.0
"""How often what was taken is compared with what was sent: a frame may be late within the library, and be no loss."""

PUBLISH_TIMEOUT = 15.0
FIRST_FRAME_SECONDS = 0.1
STATS_TIMEOUT = 2.0
LAST_STATS_TIMEOUT = 0.5
LEAVE_TIMEOUT = 3.0
"""`disconnect()` did not block in any measured state (livekit-notes.md); the bound is for those not measured."""

REJOIN_SECONDS, REJOIN_ROUND_TRIPS = 2.0, 20
"""For beginning anew in the same room: 0.44 s without a delay (livekit-notes.md). Signalling, ICE and DTLS take some
ten round trips, and lose packets."""

RECONNECTING_SECONDS = 4.0
"""For the library's own reconnection, which is right where signalling alone was cut: a resume took 3.05 s
(livekit-notes.md). What it tries beyond that is slower than a new Room."""

JOIN_OPTIONS = rtc.RoomOptions(
    auto_subscribe=False,
    dynacast=False,
    connect_timeout=2.0,  # a join into a black hole then ends after 20 s, not 32 s (livekit-notes.md)
)


Participant = tuple[str, str, str]
"""A room server's URL, a room on it, and an identity in that."""


def participant(target: PublishTarget) -> Participant:
    """Who one is with this token."""
    try:
        access = read(target.token)
    except NoToken:
        return target.url, "", target.token
    return target.url, access.room, access.identity


class LiveKit:
    """The SDK in this process: makes publishers, and owns the joins that outlive theirs."""

    def __init__(self) -> None:
        self._leaving: dict[asyncio.Task[None], Participant] = {}
        self.joined: dict[LiveKitPublisher, frozenset[str]] = {}
        """The hosts that each publisher in a room speaks to: names or addresses."""

    def publisher(self, plan: PublishPlan, log: Log) -> LiveKitPublisher:
        return LiveKitPublisher(self, plan, log)

    def peers(self) -> frozenset[str]:
        """Every host that video or signalling goes to now."""
        return frozenset().union(*self.joined.values())

    def adopt(self, room: rtc.Room, join: asyncio.Task[None], who: Participant, log: Log) -> None:
        """Let a join that nobody waits for any more end by itself, then leave its room."""
        log.info("a join is left to end by itself")
        leaving = asyncio.create_task(_leave_after(room, join, log), name="leave after join")
        self._leaving[leaving] = who
        leaving.add_done_callback(self._leaving.pop)

    async def left(self, who: Participant) -> None:
        """Wait for the end of joins that are under way in this participant's name: two that are in the room at once
        put each other out for ever (livekit-notes.md, Tokens)."""
        if same := [leaving for leaving, theirs in self._leaving.items() if theirs == who]:
            await asyncio.wait(same)

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
        self._host = ""
        self._who: Participant = ("", "", "")
        self._newest: Media | None = None
        self._health = Health(time.monotonic())
        self._reconnecting: float | None = None  # since when the library does so by itself
        self._republished = asyncio.Event()
        self._room.on("disconnected", self._on_disconnected)
        self._room.on("connection_state_changed", self._on_state)
        self._room.on("local_track_republished", lambda *_: self._republished.set())

    async def source(self) -> Mapping[str, Any]:
        return {"type": "native"}

    async def connect(self, target: Target | None, first: Callable[[], Awaitable[Media]]) -> None:
        if not isinstance(target, PublishTarget):
            raise Transient("the API named no room")
        self._who = participant(target)
        await self._owner.left(self._who)
        self._join = asyncio.create_task(self._room.connect(target.url, target.token, JOIN_OPTIONS), name="join")
        try:
            await asyncio.shield(self._join)
        except rtc.ConnectError as error:
            raise Transient(f"joining the room failed: {explained(error.message, target.url)}") from error
        self._host = urlsplit(target.url).hostname or ""
        await self._unless_lost(self._begin(first))

    async def _begin(self, first: Callable[[], Awaitable[Media]]) -> None:
        media = await within_reach(first)
        self.push(media)
        await self._publish()
        await self._until_encoded(media)

    async def _unless_lost(self, doing: Coroutine[Any, Any, None]) -> None:
        """Raises Transient as soon as the room was left, which the library itself tells late or never."""
        task = asyncio.create_task(doing, name="begin in the room")
        try:
            either: list[asyncio.Future[Any]] = [task, self._lost]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if task.cancelled():
            raise Transient(f"the room was left: {self._lost.result()}")
        task.result()

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
        self._health = Health(time.monotonic())

    @property
    def connected(self) -> bool:
        return self._room.connection_state == rtc.ConnectionState.CONN_CONNECTED and self._room.isconnected()

    async def rejoin(self) -> None:
        bound = REJOIN_SECONDS + REJOIN_ROUND_TRIPS * (self._sent.round_trip or 0.0)
        try:
            async with asyncio.timeout(bound):
                await self._begin_anew()
        except TimeoutError as error:
            raise Transient(f"the room could not be joined anew within {bound:.1f} s") from error
        self._health = Health(time.monotonic())

    async def _begin_anew(self) -> None:
        """Raises Transient."""
        self._republished.clear()
        try:
            # Documented for testing, and the one way to say that the path is another (livekit-notes.md): the same Room
            # and track over a new peer connection, and no memory lost.
            await self._room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
        except RuntimeError as error:
            raise Transient(f"the room cannot be joined anew: {error}") from error
        republished = asyncio.create_task(self._republished.wait(), name="republished")
        either: list[asyncio.Future[Any]] = [self._lost, republished]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            republished.cancel()
        while not self._lost.done():
            counters = self._counters(await self._rtc_stats(STATS_TIMEOUT))
            # An encoder elsewhere may take its time: whether it does is looked after by `watch`.
            if counters.responses and (counters.encoded or self._plan.encoded):
                return self._source.begin_anew()
            if isinstance(self._newest, Picture):
                self._source.push(replace(self._newest, captured_ns=time.monotonic_ns()))
            await asyncio.sleep(FIRST_FRAME_SECONDS)
        raise Transient(f"the room was left: {self._lost.result()}")

    def push(self, media: Media) -> Wish:
        self._newest = media
        return self._source.push(media)

    async def watch(self) -> None:
        looked = time.monotonic()
        while True:
            await asyncio.wait([self._lost], timeout=LOOK_SECONDS)
            if self._lost.done():
                raise Transient(f"the room was left: {self._lost.result()}")
            asked = time.monotonic()
            if self._reconnecting is not None and asked - self._reconnecting >= RECONNECTING_SECONDS:
                raise Transient(f"the library has been reconnecting for {RECONNECTING_SECONDS:g} s")
            counters = self._counters(await self._rtc_stats(STATS_TIMEOUT))
            if why := self._health.broken(counters):
                raise Transient(why)
            if asked - looked >= SOURCE_SECONDS:
                looked = asked
                self._source.look(None if counters.responses is None else counters.encoded, asked)

    async def stats(self) -> PublishStats:
        await self._rtc_stats(STATS_TIMEOUT)
        return self._sent

    async def close(self) -> None:
        join, self._join = self._join, None
        if join is None:
            pass
        elif not join.done():
            self._owner.adopt(self._room, join, self._who, self._log)
        elif not join.cancelled() and join.exception() is None:
            await self._rtc_stats(LAST_STATS_TIMEOUT)
            self._log.info(
                "leaving the room",
                frames_encoded=self._sent.frames_encoded,
                bytes_sent=self._sent.bytes_sent,
                **self._source.summary(),
            )
            await _leave(self._room, self._log)
        self._owner.joined.pop(self, None)
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
            self._owner.joined[self] = frozenset({self._host, _address(stats, pair.remote_candidate_id)} - {""})
        return stats

    def _counters(self, stats: list[rtc.stats.RtcStats]) -> Counters:
        pair = _pair(stats)
        return Counters(
            at=time.monotonic(),
            # What comes from there in other packets (RTCP) is as good an answer as that to a STUN request.
            responses=None if pair is None else pair.responses_received + pair.bytes_received,
            encoded=_encoded(stats),
            pushed=self._source.taken,
        )

    def _on_state(self, state: rtc.ConnectionState.ValueType) -> None:
        reconnecting = state == rtc.ConnectionState.CONN_RECONNECTING
        self._reconnecting = time.monotonic() if reconnecting else None

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        if not self._lost.done():
            self._lost.set_result(rtc.DisconnectReason.Name(reason))


def _pair(stats: Iterable[rtc.stats.RtcStats]) -> rtc.stats.CandidatePairStats | None:
    """The nominated candidate pair, or None."""
    for entry in stats:
        if entry.HasField("candidate_pair") and entry.candidate_pair.candidate_pair.nominated:
            return entry.candidate_pair.candidate_pair
    return None


def _address(stats: Iterable[rtc.stats.RtcStats], candidate: str) -> str:
    """Where this remote candidate is; empty when the library does not say."""
    for entry in stats:
        if entry.HasField("remote_candidate") and entry.remote_candidate.rtc.id == candidate:
            return entry.remote_candidate.candidate.address
    return ""


def _encoded(stats: Iterable[rtc.stats.RtcStats]) -> int:
    return sum(s.outbound_rtp.outbound.frames_encoded for s in stats if s.HasField("outbound_rtp"))
