"""Watches one LiveKit room as a subscriber and shows an Eye what is published there."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import time
from collections.abc import Callable

import numpy as np
from livekit import rtc
from yarl import URL

from overshootd.backoff import Backoff
from overshootd.simulator.media import ArrivedFrame, Eye, Luma

_LOG = logging.getLogger(__name__)
_REJOIN = Backoff(base=0.25, cap=0.3, floor=0.1)  # figures of recoveries carry this; nobody else pays for it
_SUCCESSION = 1.0  # seconds; who is evicted by its own next connection leaves first, for no reason that one could tell
_REACH = 2.0  # seconds
_STREAM_END = 2.0  # seconds for the SDK to end a video stream; a millisecond in fact


class Watcher:
    """A subscriber's stay in a room. Joins at `start`, rejoins by itself when it is thrown out, leaves at `close`.

    `token` gives the access token of each attempt. `publisher` is the identity whose leaving counts; None: whoever
    published. While it rejoins, nobody is reported as having left. `patience` is how many seconds it tries to rejoin
    before it gives up and calls `lost` with the reason; None: for ever.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        eye: Eye,
        publisher: str | None = None,
        *,
        patience: float | None = None,
        lost: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._url, self._token, self._eye, self._publisher = url, token, eye, publisher
        self._patience, self._lost = patience, lost
        self._closing = False
        self._wake = asyncio.Event()  # the connection has ended, or is to end
        self._joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._stay(), name=f"watching a room on {self._url}")

    async def join(self) -> None:
        """`start`, and wait for the first attempt. Raises RuntimeError when it fails; then nothing is left behind."""
        self.start()
        try:
            await asyncio.shield(self._joined)
        except rtc.ConnectError as error:
            await self.close()
            raise RuntimeError(f"cannot join the room on {self._url}: {error.message}") from error

    async def close(self) -> None:
        """Leave. An attempt to join that is under way ends by itself first, within 20 s: it must never be cancelled."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _stay(self) -> None:
        while (visit := await self._connected()) is not None:
            if not self._joined.done():
                self._joined.set_result(None)
            await self._wake.wait()
            await visit.leave()

    async def _connected(self) -> _Visit | None:
        """The next connection; None when this is to end, or patience has."""
        since, failures = time.monotonic(), 0
        while not self._closing:
            self._wake.clear()
            visit = _Visit(self._eye, self._publisher, self._wake)
            try:
                if failures:
                    await _reach(self._url)
                await visit.connect(self._url, self._token())
            except (rtc.ConnectError, OSError) as error:
                self._failed(error, failures)
                if self._patience is not None and time.monotonic() - since >= self._patience:
                    self._lost(str(error))
                    return None
                await self._pause(_REJOIN.delay(failures, random.uniform))
                failures += 1
            else:
                if failures:
                    _LOG.info("watching a room on %s after %d attempts", self._url, failures)
                return visit
        return None

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _failed(self, error: Exception, failures: int) -> None:
        if failures == 0:
            _LOG.warning("cannot watch a room on %s: %s", self._url, error)
        if not self._joined.done():
            self._joined.set_exception(error)
            self._joined.exception()  # whoever used `start` alone does not ask for it


class _Visit:
    """One connection to the room, from join to disconnection."""

    def __init__(self, eye: Eye, publisher: str | None, ended: asyncio.Event) -> None:
        self._eye, self._publisher = eye, publisher
        self._absence: asyncio.TimerHandle | None = None
        self._readers: dict[str, asyncio.Task[None]] = {}  # by track SID
        self._room = rtc.Room()
        self._room.on("track_subscribed", self._track_subscribed)
        self._room.on("track_unsubscribed", self._track_unsubscribed)
        self._room.on("participant_disconnected", self._participant_disconnected)
        self._room.on("disconnected", lambda _reason: ended.set())
        # Beside a room server on the same machine, this means that it died. The SDK's own attempts come up to 7 s
        # apart, and until one succeeds we would see nothing of a publisher that is back long since.
        self._room.on("reconnecting", ended.set)

    async def connect(self, url: str, token: str) -> None:
        """Raises rtc.ConnectError. Must not be cancelled (livekit-notes.md, "Traps")."""
        await self._room.connect(url, token, rtc.RoomOptions(auto_subscribe=True, connect_timeout=2.0))

    async def leave(self) -> None:
        if self._absence is not None:
            self._absence.cancel()
        for reader in self._readers.values():
            reader.cancel()
        await asyncio.gather(*self._readers.values(), return_exceptions=True)
        await self._room.disconnect()

    def _track_subscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        source = rtc.TrackSource.Name(publication.source)
        if publication.source != rtc.TrackSource.SOURCE_CAMERA:
            self._eye.violation(f"source: a track of source {source}, not SOURCE_CAMERA")
        if publication.kind != rtc.TrackKind.KIND_VIDEO:
            self._eye.violation("audio: a track that is not video")
            return
        if publication.simulcasted:
            self._eye.violation("simulcast: the publication has layers")
        if self._readers:
            self._eye.violation(f"{len(self._readers) + 1} tracks at a time")
            return
        if self._publisher is None:
            self._publisher = participant.identity
        reader = asyncio.create_task(self._read(track), name=f"reading {publication.sid}")
        self._readers[publication.sid] = reader

    def _track_unsubscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if (reader := self._readers.pop(publication.sid, None)) is not None:
            reader.cancel()

    def _participant_disconnected(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity != self._publisher or self._room.connection_state != rtc.ConnectionState.CONN_CONNECTED:
            return
        reason = rtc.DisconnectReason.Name(participant.disconnect_reason or rtc.DisconnectReason.UNKNOWN_REASON)
        loop = asyncio.get_running_loop()
        self._absence = loop.call_later(_SUCCESSION, self._look_for, participant.identity, reason.lower())

    def _look_for(self, identity: str, reason: str) -> None:
        if identity not in self._room.remote_participants:
            self._eye.publisher_left(reason)

    async def _read(self, track: rtc.Track) -> None:
        # newest wins; I420 is what the decoders give, so nothing is converted
        stream = rtc.VideoStream(track, capacity=1, format=rtc.VideoBufferType.I420)
        try:
            async for event in stream:
                self._eye.frame(arrived(event.frame))
        finally:
            async with asyncio.timeout(_STREAM_END):
                await stream.aclose()


async def _reach(url: str) -> None:
    """Raises OSError unless somebody listens there. The SDK alone would log ten lines an attempt, all night."""
    parts = URL(url)
    async with asyncio.timeout(_REACH):
        _, writer = await asyncio.open_connection(parts.host, parts.port)
    writer.close()


def arrived(frame: rtc.VideoFrame) -> ArrivedFrame:
    """`frame` as the SDK hands it over now."""
    return ArrivedFrame(frame.width, frame.height, time.time(), functools.partial(_luma, frame))


def _luma(frame: rtc.VideoFrame) -> Luma:
    count = frame.width * frame.height  # the SDK packs its lines
    return np.frombuffer(frame.data, np.uint8, count).reshape(frame.height, frame.width)
