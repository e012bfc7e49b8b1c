"""A camera that does as it is told, its feed, and eyes on both."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from overshootd.backoff import Backoff
from overshootd.capture.feed import EVERYTHING, CameraFeed, Limits
from overshootd.config.cameras import View
from overshootd.contracts import (
    AccessUnit,
    CameraState,
    CaptureFormat,
    CaptureNeed,
    Media,
    Picture,
    PixelFormat,
    Subscription,
)

SMALL = CaptureNeed(1.0, 640, 360)
LARGE = CaptureNeed(15.0, 1280, 720)
RAW = CaptureFormat(30.0, 1280, 720)
ENCODED = CaptureFormat(30.0, 1280, 720, encoded=True)
PATIENT = Limits(open=10, silence=10, close=5, read=0.02)
HASTY = Limits(open=0.3, silence=0.3, close=0.1, read=0.02)
BOUND = 15.0


@dataclass
class Script:
    """What the camera will do, and what was done with it; shared by all its openings."""

    format: CaptureFormat = RAW
    steps: queue.Queue[int | AccessUnit | Exception] = field(default_factory=queue.Queue)
    paint: Callable[[int, int, int], bytes] = lambda captured_ns, width, height: bytes(width * height * 3 // 2)
    """What a frame looks like at a size; may raise."""
    refuse: Exception | None = None
    wedge: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    needs: list[CaptureNeed] = field(default_factory=list)
    closed: int = 0
    made: list[tuple[int, int, int]] = field(default_factory=list)
    feedback: list[tuple[bool, int | None, float | None]] = field(default_factory=list)

    @property
    def opened(self) -> int:
        return len(self.needs)


@dataclass
class ScriptedCamera:
    script: Script
    frames: int = 0

    def open(self, need: CaptureNeed) -> CaptureFormat:
        self.script.needs.append(need)
        self._hang("open")
        if self.script.refuse:
            raise self.script.refuse
        return self.script.format

    def read(self, timeout: float) -> ScriptedSample | None:
        self._hang("read")
        try:
            step = self.script.steps.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(step, Exception):
            raise step
        unit = step if isinstance(step, AccessUnit) else None
        return ScriptedSample(self.script, unit.captured_ns if unit else step, unit)  # type: ignore[arg-type]

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        self.script.feedback.append((keyframe, kbps, fps))

    def abort(self) -> None: ...

    def close(self) -> None:
        self._hang("close")
        self.script.closed += 1

    def _hang(self, where: str) -> None:
        if self.script.wedge == where:
            self.script.released.wait(60)


@dataclass
class ScriptedSample:
    script: Script
    captured_ns: int
    access_unit: AccessUnit | None

    def picture(self, width: int, height: int) -> Picture:
        self.script.made.append((self.captured_ns, width, height))
        data = self.script.paint(self.captured_ns, width, height)
        return Picture(data, width, height, PixelFormat.I420, self.captured_ns)


class Journal:
    """A `Log` that remembers."""

    def __init__(self) -> None:
        self.infos: list[str] = []
        self.warnings: list[str] = []
        self.errors: list[str] = []

    def bind(self, **context: Any) -> Journal:
        return self

    def debug(self, event: str, **context: Any) -> None: ...

    def info(self, event: str, **context: Any) -> None:
        self.infos.append(f"{event} {context}")

    def warning(self, event: str, **context: Any) -> None:
        self.warnings.append(f"{event} {context}")

    def error(self, event: str, **context: Any) -> None:
        self.errors.append(f"{event} {context}")


@dataclass
class Bench:
    script: Script
    feed: CameraFeed
    journal: Journal
    states: list[CameraState]
    details: list[str]
    running: asyncio.Task[None]

    async def start(
        self, need: CaptureNeed = SMALL, size: tuple[int, int] = (64, 36), view: View = EVERYTHING
    ) -> Subscription:
        """Subscribe to all frames of a camera that gives them."""
        subscription = self.feed.subscribe(need, view)
        if self.states[-1:] != ["live"]:
            self.script.steps.put(0)
        async with asyncio.timeout(BOUND):
            await subscription.ready()
        subscription.start(lambda captured_ns: True, *size)
        return subscription

    async def live(self, step: int | AccessUnit, view: View = EVERYTHING) -> Subscription:
        """Subscribe to a camera that gives this frame first; nothing is started."""
        subscription = self.feed.subscribe(SMALL, view)
        self.script.steps.put(step)
        async with asyncio.timeout(BOUND):
            await subscription.ready()
        return subscription

    async def give(self, subscription: Subscription, step: int | AccessUnit) -> Media:
        self.script.steps.put(step)
        async with asyncio.timeout(BOUND):
            return await subscription.next()


@asynccontextmanager
async def bench(script: Script | None = None, limits: Limits = PATIENT, **parts: Any) -> AsyncIterator[Bench]:
    """A feed that runs, of a camera that follows the script; `parts` are the feed's other arguments."""
    script, states, details, journal = script or Script(), list[CameraState](), list[str](), Journal()

    def on_state(state: CameraState, detail: str) -> None:
        states.append(state)
        details.append(detail)

    feed = CameraFeed(
        "yard",
        lambda: ScriptedCamera(script),
        on_state=on_state,
        log=journal,
        limits=limits,
        **{"backoff": Backoff(base=0.01, cap=0.05)} | parts,
    )
    running = asyncio.create_task(feed.run())
    try:
        yield Bench(script, feed, journal, states, details, running)
    finally:
        script.released.set()
        running.cancel()
        await asyncio.wait([running], timeout=BOUND)
        assert running.done(), "run() does not end when it is cancelled"


async def until(condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(BOUND):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in threads
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {BOUND} s: {what}") from None


def unit(number: int, keyframe: bool = False) -> AccessUnit:
    return AccessUnit(b"", 1280, 720, keyframe, number)
