"""One stream's view of a camera: fed in the camera's thread, read in the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from overshootd.capture.drawn import Drawn
from overshootd.capture.privacy import LEAST_PIXELS, Curtain, seen
from overshootd.contracts import CaptureFormat, CaptureNeed, Due, Media
from overshootd.errors import CameraEnded, CameraLost, FrameSpoiled, Permanent
from overshootd.handoff import Handoff

Feedback = Callable[[bool, int | None, float | None], None]


@dataclass(slots=True)
class Wanted:
    """Which frames a stream wants: as pictures of a size, or as access units (all of them when there is no `due`).

    `owed` is the camera thread's: a due frame was spoiled, so the next one is taken in its place.
    """

    due: Due | None
    size: tuple[int, int] | None
    owed: bool = False


class FeedSubscription:
    """A `contracts.Subscription`. Made by CameraFeed.subscribe only, in the event loop.

    What the stream may not see is hidden by `curtain`; None where it may see all.
    """

    def __init__(
        self,
        need: CaptureNeed,
        curtain: Curtain | None,
        feedback: Feedback,
        leave: Callable[[FeedSubscription], None],
    ) -> None:
        self.need = need
        self.curtain = curtain
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
        self.kbps: int | None = None
        """The rate that this stream last wished for, as long as it takes what the camera encodes."""

    async def ready(self) -> CaptureFormat:
        while self._format is None:
            if not isinstance(self._error, CameraLost):
                self._check()
            await self._change()
        return self._seen(self._format)

    def start(self, due: Due, width: int, height: int) -> None:
        self._want(Wanted(due, (width, height)), Handoff())

    def start_encoded(self, due: Due | None = None) -> None:
        if self.curtain is not None:
            raise ValueError("what the camera encoded cannot be masked or cropped: it must be decoded")
        if due is None:
            self._want(Wanted(None, None), Handoff())
        else:
            # Of keyframes that stand for themselves the newest is wanted, not a run; and the first one soon.
            self._want(Wanted(due, None), Handoff(limit=1))
            self._feedback(True, None, None)

    def stop(self) -> None:
        told, self.kbps = self.kbps, None
        self._want(None, Handoff())
        if told is not None:  # what is left of the streams' wishes counts now
            self._feedback(False, told, None)

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
        self.kbps = self.kbps if kbps is None else kbps
        self._feedback(keyframe, kbps, fps)

    def close(self) -> None:
        self.stop()
        self._leave(self)

    def live(self, camera: CaptureFormat) -> None:
        """The camera gives frames. Called by the feed, in the loop, as often as it likes."""
        self._format, self._error = camera, None
        self._changed.set()

    def lost(self, error: CameraLost) -> None:
        """The camera is gone for now. What was not taken is stale by the time that it is back, so it goes too."""
        self.cut()
        self._format, self._error = None, error
        self._changed.set()

    def cut(self) -> None:
        """The camera is opened anew: what comes does not follow what was not taken."""
        with self._lock:
            # A copy, so that a thread that was left behind in a driver no longer offers what is wanted.
            self._wanted = self._wanted and replace(self._wanted, owed=False)
            self._handoff = self._handoff.fresh()

    def finish(self, error: CameraEnded | Permanent) -> None:
        """The camera will never give frames again; the last one may still be taken."""
        self._format, self._error = None, error
        self._changed.set()

    def offer(self, drawn: Drawn) -> None:
        """Take what is wanted of this frame. Called in the camera's thread. Raises CameraLost as `Drawn.whole`."""
        wanted = self._wanted
        media = None if wanted is None else _choose(wanted, drawn, self.curtain)
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

    def _want(self, wanted: Wanted | None, handoff: Handoff) -> None:
        with self._lock:  # what waits is of the last attempt's size, and as old as the pause was long
            self._wanted, self._handoff = wanted, handoff

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _check(self) -> None:
        if self._error is not None:
            # A new one each time: an exception raised twice collects the traceback of both.
            raise type(self._error)(str(self._error)) from self._error
        raw = self._format is not None and not self._format.encoded
        if raw and self._wanted is not None and self._wanted.size is None:
            raise CameraLost("the camera gives no encoded video (any more)")

    def _seen(self, camera: CaptureFormat) -> CaptureFormat:
        if self.curtain is None:
            return camera
        width, height = seen((camera.width, camera.height), self.curtain.view.crop)
        if min(width, height) < LEAST_PIXELS:
            raise Permanent(
                f"its crop leaves {width}x{height} of the camera's {camera.width}x{camera.height} pixels: "
                f"too few to be shown, {LEAST_PIXELS}x{LEAST_PIXELS} are needed"
            )
        return replace(camera, width=width, height=height)


def _choose(wanted: Wanted, drawn: Drawn, curtain: Curtain | None) -> Media | None:
    if wanted.size is None:
        unit = drawn.access_unit
        passes = wanted.due is None or (unit is not None and unit.keyframe and wanted.due(drawn.captured_ns))
        return unit if passes else None
    due = wanted.due is not None and wanted.due(drawn.captured_ns)
    if not due and not wanted.owed:  # a pacer is asked for every frame, also where one is owed
        return None
    try:
        picture = drawn.shown(*wanted.size, curtain)
    except FrameSpoiled:
        wanted.owed = True
        return None
    wanted.owed = False
    return picture
