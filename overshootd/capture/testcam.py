"""The `test` camera: a moving picture whose every frame says its number and when it was captured."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overshootd.config.cameras import TestCamera as TestCameraConfig
from overshootd.contracts import AccessUnit, CaptureFormat, CaptureNeed, Picture, PixelFormat
from overshootd.marker import BAND, MIN_HEIGHT, MIN_WIDTH, draw_marker

Planes = NDArray[np.uint8]

CYCLE_SECONDS = 10.0
"""The box goes right and back in this time, slowly at the ends, so that motion comes and goes."""

LIGHT_SECONDS = 4.0
LIGHTS = (0, 24, 48, 24)
"""What is added to the luma, one after the other: brightness comes and goes as with clouds."""


class TestCamera:
    """Gives frame n at n / fps seconds after `open`; numbers that nobody was in time for are left out."""

    __test__ = False  # pytest collects classes named Test…

    def __init__(self, config: TestCameraConfig) -> None:
        self._config = config
        self._backgrounds: dict[tuple[int, int], Planes] = {}
        self._start_ns = 0
        self._number = -1

    def open(self, need: CaptureNeed) -> CaptureFormat:
        """Like most cameras it has one size and rate, whatever is needed."""
        self._start_ns = time.monotonic_ns()
        return CaptureFormat(self._config.fps, self._config.width, self._config.height)

    def read(self, timeout: float) -> TestSample | None:
        now = time.monotonic_ns()
        number = max(self._number + 1, int((now - self._start_ns) * self._config.fps / 1e9))
        captured_ns = self._start_ns + round(number * 1e9 / self._config.fps)
        wait = (captured_ns - now) / 1e9
        if wait > timeout:
            time.sleep(timeout)
            return None
        time.sleep(max(wait, 0.0))
        self._number = number
        return TestSample(self, number, captured_ns)

    def draw(self, number: int, captured_ns: int, width: int, height: int) -> Picture:
        """Frame `number` at this even size."""
        size = (width, height)
        if size not in self._backgrounds:
            self._backgrounds[size] = background(width, height)
        frame = self._backgrounds[size].copy()
        seconds = number / self._config.fps
        luma = frame[: width * height].reshape(height, width)
        luma += np.uint8(LIGHTS[int(seconds / LIGHT_SECONDS) % len(LIGHTS)])
        _draw_box(luma, seconds)
        if width >= MIN_WIDTH and height >= MIN_HEIGHT:
            draw_marker(luma, number, _wall_ms(captured_ns))
        return Picture(frame.data, width, height, PixelFormat.I420, captured_ns)

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        pass

    def abort(self) -> None:
        pass

    def close(self) -> None:
        self._backgrounds.clear()


@dataclass(frozen=True, slots=True)
class TestSample:
    """A frame not drawn yet."""

    __test__ = False

    camera: TestCamera
    number: int
    captured_ns: int
    access_unit: AccessUnit | None = None

    def picture(self, width: int, height: int) -> Picture:
        return self.camera.draw(self.number, self.captured_ns, width, height)


def background(width: int, height: int) -> Planes:
    """I420: slopes with squares on them, luma 60 to 180, colours that change from corner to corner."""
    x, y = np.arange(width), np.arange(height)[:, None]
    slope, columns, rows = ((60 + x * 80 // width), x * 16 // width, y * 9 // height)
    # Bytes from here on: in NumPy's own integers a 720p plane takes 7 MB, and a daemon keeps the memory of its peak.
    luma = slope.astype(np.uint8) + (columns.astype(np.uint8) + rows.astype(np.uint8)) % np.uint8(2) * np.uint8(40)
    u = np.tile((96 + x[: width // 2] * 128 // width).astype(np.uint8), height // 2)
    v = np.repeat((96 + y[: height // 2, 0] * 128 // height).astype(np.uint8), width // 2)
    return np.concatenate([luma.ravel(), u, v])


def _draw_box(luma: Planes, seconds: float) -> None:
    height, width = luma.shape
    side = max(height // 5, 2)
    left = round((width - side) * (0.5 - 0.5 * math.cos(2 * math.pi * seconds / CYCLE_SECONDS)))
    top = round(height * (BAND + (1 - BAND) / 2)) - side // 2
    luma[top : top + side, left : left + side] = 235


def _wall_ms(captured_ns: int) -> int:
    return (time.time_ns() - (time.monotonic_ns() - captured_ns)) // 1_000_000
