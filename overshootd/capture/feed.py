"""One camera and its streams: opens it while somebody needs it, keeps it alive, and gives each stream its frames."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from overshootd.backoff import Backoff, Uniform
from overshootd.capture.drawn import Drawn
from overshootd.capture.privacy import Curtain, edges
from overshootd.capture.reader import Reader
from overshootd.capture.recovery import Recoverer
from overshootd.capture.scrutiny import Scrutiny
from overshootd.capture.subscription import FeedSubscription
from overshootd.config.cameras import View
from overshootd.contracts import Camera, CameraState, CaptureFormat, CaptureNeed, Log, Sample, Subscription
from overshootd.errors import CameraEnded, CameraLost, OvershootdError, Permanent

OnState = Callable[[CameraState, str], None]

EVERYTHING = View()

CAMERA = Backoff(base=0.5, cap=10.0)
"""A camera that was unplugged must be back soon after it is plugged in again; asking the kernel costs little."""

STABLE_SECONDS = 20.0
"""A camera that gave frames for so long works: its next failure starts the backoff anew."""

KEYFRAME_SECONDS = 10.0
"""From one keyframe to the next of a camera that does not say: the longest that network cameras are sold with."""

MAX_SIDE = 7680
"""The most pixels that are asked of a camera for a crop of it (config.model, MAX_SIDE)."""

WEDGED_LIMIT = 4
"""Threads that hang in a driver are left behind, for nothing ends them; past this many it is not opened."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a driver may take before it counts as lost, or as wedged."""

    open: float = 15.0  # RTSP over a mobile link, or a libcamera pipeline on a slow Pi
    silence: float = 5.0
    close: float = 3.0  # of the 10 s that the daemon has for its whole end
    read: float = 0.5  # how often the thread looks whether it shall stop


class CameraFeed:
    """Owner of one camera. `on_state` is called in the loop, once a change, with a sentence for the log.

    `scrutiny` judges what it shows; `recoverer` may do more about a camera that cannot be opened than open it again.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Camera],
        *,
        on_state: OnState,
        log: Log,
        scrutiny: Scrutiny | None = None,
        recoverer: Recoverer | None = None,
        backoff: Backoff = CAMERA,
        uniform: Uniform = random.uniform,
        limits: Limits = Limits(),
    ) -> None:
        self._name, self._make, self._on_state, self._log = name, make, on_state, log
        self._scrutiny, self._recoverer = scrutiny or Scrutiny(), recoverer
        self._backoff, self._uniform, self._limits = backoff, uniform, limits
        self._changed = asyncio.Event()
        self._subscriptions: tuple[FeedSubscription, ...] = ()  # replaced, never changed: the thread walks over it
        self._state = CameraState.IDLE
        self._final: CameraEnded | Permanent | None = None
        self._reader: Reader | None = None
        self._wedged: list[Reader] = []
        self._proven = False
        self._nudged = False

    def subscribe(self, need: CaptureNeed, view: View = EVERYTHING) -> Subscription:
        """Take part, and see what `view` leaves. The camera opens when `run` is running, and reopens when it gives less
        than `need`, which is of what is seen."""
        curtain = self._curtain(view) if view.hides else None
        subscription = FeedSubscription(of_the_whole(need, view), curtain, self._feedback, self._leave)
        self._subscriptions = (*self._subscriptions, subscription)
        if self._final is not None:
            subscription.finish(self._final)
        self._changed.set()
        return subscription

    def nudge(self) -> None:
        """Something happened to the machine's cameras: a lost one is tried at once. The backoff grows all the same."""
        if self._state is CameraState.LOST:
            self._nudged = True
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled, or until the camera has ended or can never work. Never longer than `limits.close` after."""
        failures = 0
        while self._final is None:
            if not self._subscriptions:
                self._enter(CameraState.IDLE, "not needed")
            await self._until(lambda: self._subscriptions)
            nudged, self._nudged = self._nudged, False
            if (lived := await self._lived()) is not None:
                lasted = lived > STABLE_SECONDS
                failures = 0 if lasted else failures + 1
                await self._recover(lasted, nudged)
                await self._rest(self._backoff.delay(failures, self._uniform))

    async def _lived(self) -> float | None:
        """One try, to its end: for how many seconds the camera worked before it failed, None when it did not fail.

        Where too many threads hang in its driver none is added; that is a failure too, so recovery goes on.
        """
        return await self._opened() if self._unwedged() else 0.0

    async def _opened(self) -> float | None:
        """One opening, to its end. None when the camera is no longer needed, or not so."""
        need = _highest(self._subscriptions)
        reader = self._reader = Reader(self._make, need, self._changed)
        if self._state is not CameraState.LOST:  # a retry is no change
            self._enter(CameraState.OPENING, f"for {need.width}x{need.height} at {need.fps:g} fps")
        for subscription in self._subscriptions:
            subscription.cut()
        self._scrutiny.opened()
        reader.start(self._name, self._deliver, self._limits.read)
        try:
            error = await self._watch(reader)
            if error is not None:
                self._fail(error)  # before the driver has closed, which may take long
        finally:
            self._reader = None
            await self._stop(reader)
        if error is None:
            return None
        return 0.0 if reader.live_at is None else time.monotonic() - reader.live_at

    async def _watch(self, reader: Reader) -> Exception | None:
        while self._subscriptions and _suffices(reader, _highest(self._subscriptions)):
            if reader.error is not None:
                return reader.error
            if reader.live and reader.format is not None:
                self._go_live(reader.format)
            left = self._patience(reader.format) - (time.monotonic() - reader.progress)
            if left <= 0:
                what = "did not open" if reader.format is None else "gave no frame"
                return CameraLost(f"camera {self._name} {what} for {self._patience(reader.format):g} s")
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()
        return None

    def _patience(self, camera: CaptureFormat | None) -> float:
        """Seconds without progress that are no trouble; a camera of 0.1 fps is not silent after 5."""
        return self._limits.open if camera is None else max(self._limits.silence, 3 / camera.fps)

    async def _stop(self, reader: Reader) -> None:
        reader.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.close):
                await self._until(lambda: reader.finished)
        if not reader.finished:
            self._wedged.append(reader)
            full = len(self._wedged) >= WEDGED_LIMIT
            more = f"; {WEDGED_LIMIT} hang now, and it is not opened before one returns" if full else ""
            self._log.error(f"a camera's driver does not return, its thread is left behind{more}", camera=self._name)
        if reader.error is not None and not isinstance(reader.error, OvershootdError):
            self._log.error("an unexpected error from a camera", camera=self._name, exc_info=reader.error)

    async def _recover(self, lasted: bool, nudged: bool) -> None:
        """Do more than open again, if that was asked for. What a nudge brought about does not count: somebody who plugs
        things in and out must not make it reboot."""
        if self._recoverer is None or self._final is not None:
            return
        if lasted:
            self._recoverer.worked()
        elif not nudged:
            await self._recoverer.failed()

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._until(lambda: self._final or self._nudged or not self._subscriptions)

    async def _until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _unwedged(self) -> bool:
        self._wedged = [reader for reader in self._wedged if not reader.finished]
        return len(self._wedged) < WEDGED_LIMIT

    def _fail(self, error: Exception) -> None:
        # What worked once under this configuration is not wrong for good: a file that is gone may come again.
        if isinstance(error, CameraEnded) or (isinstance(error, Permanent) and not self._proven):
            self._finish(error)
        elif isinstance(error, CameraLost):
            self._lose(error)
        else:
            self._lose(CameraLost(str(error) if isinstance(error, OvershootdError) else f"unexpected: {error!r}"))

    def _go_live(self, camera: CaptureFormat) -> None:
        self._proven, self._nudged = True, False
        what = f", {camera.what}" if camera.what else ""
        self._enter(CameraState.LIVE, f"{camera.width}x{camera.height} at {camera.fps:g} fps{what}")
        for subscription in self._subscriptions:
            subscription.live(camera)

    def _lose(self, error: CameraLost) -> None:
        self._enter(CameraState.LOST, str(error))
        for subscription in self._subscriptions:
            subscription.lost(error)

    def _finish(self, error: CameraEnded | Permanent) -> None:
        self._final = error
        self._enter(CameraState.ENDED if isinstance(error, CameraEnded) else CameraState.FAILED, str(error))
        for subscription in self._subscriptions:
            subscription.finish(error)

    def _enter(self, state: CameraState, detail: str) -> None:
        if state is not self._state:
            self._state = state
            self._on_state(state, detail)

    def _deliver(self, reader: Reader, sample: Sample) -> bool:
        """In the camera's thread. False while the camera is under suspicion: nobody is given anything of it then.

        Raises CameraLost.
        """
        assert reader.format is not None, "open comes before read"
        patience = self._keyframe_patience(reader.format)
        if self._scrutiny.suspicion and not self._scrutiny.clears(sample.picture, sample.captured_ns, patience):
            return False
        drawn = Drawn(sample, reader.format, self._scrutiny, patience)
        for subscription in self._subscriptions:
            if self._reader is not reader:  # it was given up while it hung in the driver
                return False
            subscription.offer(drawn)
        drawn.glance()
        if drawn.needs_keyframe:
            self._feedback(True, None, None)
        return True

    def _keyframe_patience(self, camera: CaptureFormat) -> float:
        """Seconds without a frame that can be drawn that are no trouble: an encoded one may have to wait for a
        keyframe, and the next may be spoiled."""
        waits = camera.encoded or camera.inter_coded
        waiting = 2 * (camera.keyframe_seconds or KEYFRAME_SECONDS) if waits else 0.0
        return max(self._patience(camera), waiting)

    def _feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        """Streams that pass the same video on share one encoder: the lowest of their rates counts."""
        if kbps is not None:
            kbps = min((one.kbps for one in self._subscriptions if one.kbps is not None), default=kbps)
        reader = self._reader
        if reader is not None and reader.camera is not None:
            reader.camera.feedback(keyframe, kbps, fps)

    def _leave(self, subscription: FeedSubscription) -> None:
        self._subscriptions = tuple(one for one in self._subscriptions if one is not subscription)
        self._changed.set()

    def _curtain(self, view: View) -> Curtain:
        """Streams that may see the same share what is made for them."""
        there = (one.curtain for one in self._subscriptions if one.curtain is not None)
        return next((curtain for curtain in there if curtain.view == view), None) or Curtain(view)


def of_the_whole(need: CaptureNeed, view: View) -> CaptureNeed:
    """What the camera must give for a crop of it to have as many pixels as are needed."""
    if view.crop is None:
        return need
    (left, right), (top, bottom) = edges(view.crop)
    return CaptureNeed(need.fps, _whole_side(need.width, right - left), _whole_side(need.height, bottom - top))


def _whole_side(part: int, share: float) -> int:
    return MAX_SIDE if part >= MAX_SIDE * share else math.ceil(part / share)


def _highest(subscriptions: tuple[FeedSubscription, ...]) -> CaptureNeed:
    needs = [subscription.need for subscription in subscriptions]
    return CaptureNeed(max(n.fps for n in needs), max(n.width for n in needs), max(n.height for n in needs))


def _suffices(reader: Reader, want: CaptureNeed) -> bool:
    """Whether the camera was opened for as much, or gives it anyway."""
    camera = reader.format
    gives = camera is not None and _covers(CaptureNeed(camera.fps, camera.width, camera.height), want)
    return gives or _covers(reader.need, want)


def _covers(have: CaptureNeed, want: CaptureNeed) -> bool:
    return have.fps >= want.fps and have.width >= want.width and have.height >= want.height
