"""One stream's view of a camera: fed in the camera's thread, read in the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass

from overshootd.contracts import CaptureFormat, CaptureNeed, Due, Media, Picture, Sample
from overshootd.errors import CameraEnded, CameraLost, Permanent
from overshootd.handoff import Handoff

Feedback = Callable[[bool, int | None, float | None], None]
Pictures = dict[tuple[int, int], Picture]
"""What has been made of one sample already, by size: each size is converted once, however many streams want it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which frames a stream wants as pictures, and how large; all access units when there is no `due`."""

    due: Due | None
    width: int = 0
    height: int = 0


class FeedSubscription:
    """A `contracts.Subscription`. Made by CameraFeed.subscribe only, in the event loop."""

    def __init__(self, need: CaptureNeed, feedback: Feedback, leave: Callable[[FeedSubscription], None]) -> None:
        self.need = need
        self._feedback = feedback
        self._leave = leave
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._format: CaptureFormat | None = None
        self._error: CameraLost | CameraEnded | Permanent | None = None
        self._lock = threading.Lock()  # over what both sides touch: the three fields below
        self._wanted: Wanted | None = None
        self._handoff = Handoff()
        self._announced = False

    async def ready(self) -> CaptureFormat:
        while self._format is None:
            if not isinstance(self._error, CameraLost):
                self._check()
            await self._change()
        return self._format

    def start(self, due: Due, width: int, height: int) -> None:
        self._want(Wanted(due, width, height))

    def start_encoded(self) -> None:
        self._want(Wanted(None))

    def stop(self) -> None:
        self._want(None)

    async def next(self) -> Media:
        while True:
            with self._lock:
                self._announced = False
                media = self._handoff.take()
            if media is not None:
                return media
            self._check()
            await self._change()

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        self._feedback(keyframe, kbps, fps)

    def close(self) -> None:
        self._want(None)
        self._leave(self)

    def live(self, camera: CaptureFormat) -> None:
        """The camera gives frames. Called by the feed, in the loop, as often as it likes."""
        self._format, self._error = camera, None
        self._changed.set()

    def lost(self, error: CameraLost) -> None:
        """The camera is gone for now. What was not taken is stale by the time that it is back, so it goes too."""
        with self._lock:
            self._handoff = Handoff()
        self._format, self._error = None, error
        self._changed.set()

    def finish(self, error: CameraEnded | Permanent) -> None:
        """The camera will never give frames again; the last one may still be taken."""
        self._format, self._error = None, error
        self._changed.set()

    def offer(self, sample: Sample, made: Pictures) -> None:
        """Take what is wanted of this frame. Called in the camera's thread. Raises CameraLost as `Sample.picture`."""
        wanted = self._wanted
        media = None if wanted is None else _choose(wanted, sample, made)
        if media is None:
            return
        with self._lock:
            if self._wanted is not wanted:
                return
            keyframe = self._handoff.put(media)
            announced, self._announced = self._announced, True
        if keyframe:
            self._feedback(True, None, None)
        if not announced:
            # One call that is waiting in the loop is enough, and however long the loop is stuck, there is no second.
            self._loop.call_soon_threadsafe(self._changed.set)

    def _want(self, wanted: Wanted | None) -> None:
        with self._lock:  # what waits is of the last attempt's size, and as old as the pause was long
            self._wanted, self._handoff = wanted, Handoff()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _check(self) -> None:
        if self._error is not None:
            # A new one each time: an exception raised twice collects the traceback of both.
            raise type(self._error)(str(self._error)) from self._error
        raw = self._format is not None and not self._format.encoded
        if raw and self._wanted is not None and self._wanted.due is None:
            raise CameraLost("the camera gives no encoded video (any more)")


def _choose(wanted: Wanted, sample: Sample, made: Pictures) -> Media | None:
    if wanted.due is None:
        return sample.access_unit
    if not wanted.due(sample.captured_ns):
        return None
    size = (wanted.width, wanted.height)
    if size not in made:
        made[size] = sample.picture(*size)
    return made[size]
