"""One picture of a camera that nobody else has open, as one view of it may be shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from overshootd.capture.privacy import LEAST_PIXELS, Curtain, Size, seen
from overshootd.config.cameras import View
from overshootd.contracts import Camera, CaptureFormat, CaptureNeed, Picture, Sample
from overshootd.errors import CameraLost, FrameSpoiled, Permanent

SETTLE_SECONDS, SETTLE_FRAMES, SETTLE_LIMIT = 1.0, 5, 5.0
"""A sensor's first pictures are too dark or too bright: exposure takes some frames to settle, and at least this long.
Where frames are rare it may not take longer than the limit."""

CLOSE_SECONDS = 3.0
READ_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Shot:
    """What to take. `size` tells the picture's even size from that of what may be seen; `settle` waits for exposure."""

    make: Callable[[], Camera]
    need: CaptureNeed
    view: View
    size: Callable[[int, int], Size]
    settle: bool


def take(shot: Shot, name: str, timeout: float) -> Picture:
    """Open the camera, take one picture, close it. Blocks for `timeout` seconds at most, and CLOSE_SECONDS.

    Raises CameraLost, CameraEnded or Permanent.
    """
    taken: Future[Picture] = Future()
    attempt = _Attempt()

    def run() -> None:
        try:
            taken.set_result(_taken(shot, name, attempt))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            taken.set_exception(error)

    # A daemon thread, because one that hangs in a driver must not keep the process from ending.
    thread = threading.Thread(target=run, name=f"camera {name}", daemon=True)
    thread.start()
    try:
        return taken.result(timeout)
    except TimeoutError:
        raise CameraLost(f"{name} gave no picture within {timeout:g} s") from None
    finally:
        attempt.stop()
        thread.join(CLOSE_SECONDS)


def settled(seconds: float, frames: int) -> bool:
    """Whether a picture can be believed so long after the first frame, and so many frames with it."""
    return (seconds >= SETTLE_SECONDS and frames >= SETTLE_FRAMES) or seconds >= SETTLE_LIMIT


class _Attempt:
    """Whether to go on, for the camera's thread; the other one stops it, in the middle of a call too."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.camera: Camera | None = None

    def stop(self) -> None:
        self.stopped.set()
        if self.camera is not None:
            self.camera.abort()


def _taken(shot: Shot, name: str, attempt: _Attempt) -> Picture:
    camera = attempt.camera = shot.make()
    try:
        if attempt.stopped.is_set():  # `stop` may have found no camera
            raise CameraLost(f"{name} gave no picture in time")
        given = camera.open(shot.need)
        draw = _drawing(shot, name, given)
        began, frames = None, 0
        while not attempt.stopped.is_set():
            if (sample := camera.read(READ_SECONDS)) is None:
                continue
            began, frames = began or time.monotonic(), frames + 1
            picture = draw(sample)
            if picture and (not shot.settle or settled(time.monotonic() - began, frames)):
                return picture
        raise CameraLost(f"{name} gave no picture in time")
    finally:
        camera.close()


def _drawing(shot: Shot, name: str, given: CaptureFormat) -> Callable[[Sample], Picture | None]:
    """How to make a picture of a frame; None when that one cannot be shown. Raises Permanent for too small a crop."""
    pixels = given.width, given.height
    shown = seen(pixels, shot.view.crop)
    if min(shown) < LEAST_PIXELS:
        raise Permanent(f"{name}: its crop leaves {shown[0]}x{shown[1]} pixels of {given.width}x{given.height}")
    curtain, size = Curtain(shot.view), shot.size(*shown)

    def draw(sample: Sample) -> Picture | None:
        # Every one, wanted or not: an encoded camera keeps no more than a few frames that nobody asked for.
        try:
            return curtain.show(sample.picture, pixels, *size)
        except FrameSpoiled:
            return None

    return draw
