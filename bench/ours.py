"""overshootd with a camera that costs nothing: `python -m bench.ours PICTURES SPENT run -c FILE`.

The `test` camera is replaced by one that shows the pictures of a file, 30 a second. What its own calls cost (they
sleep, and wake 30 times a second) is counted by the clock of its thread and kept in SPENT, for the bench to leave out.
"""

from __future__ import annotations

import struct
import sys
import time
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

from bench.pictures import FPS, HEIGHT, WIDTH, Pictures
from overshootd.capture import testcam
from overshootd.cli import main
from overshootd.config.cameras import TestCamera
from overshootd.contracts import AccessUnit, CaptureFormat, CaptureNeed, Picture, PixelFormat

SPENT = struct.Struct("d")
"""Seconds of CPU."""


class PicturesCamera:
    """Satisfies contracts.Camera."""

    def __init__(self, pictures: Pictures, spent: mmap) -> None:
        self._pictures, self._spent = pictures, spent
        self._start_ns, self._number, self._spent_ns = 0, 0, 0

    def open(self, need: CaptureNeed) -> CaptureFormat:
        self._start_ns = time.monotonic_ns()
        return CaptureFormat(FPS, WIDTH, HEIGHT)

    def read(self, timeout: float) -> PicturesSample | None:
        before = time.thread_time_ns()
        self._number = max(self._number + 1, int((time.monotonic_ns() - self._start_ns) * FPS / 1e9))
        captured_ns = self._start_ns + round(self._number * 1e9 / FPS)
        time.sleep(max(captured_ns - time.monotonic_ns(), 0) / 1e9)
        sample = PicturesSample(self._pictures, self._number, captured_ns)
        self._spent_ns += time.thread_time_ns() - before
        SPENT.pack_into(self._spent, 0, self._spent_ns / 1e9)
        return sample

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class PicturesSample:
    pictures: Pictures
    number: int
    captured_ns: int
    access_unit: AccessUnit | None = None

    def picture(self, width: int, height: int) -> Picture:
        return Picture(self.pictures[self.number], width, height, PixelFormat.I420, self.captured_ns)


if __name__ == "__main__":
    pictures = Pictures(Path(sys.argv[1]))
    with Path(sys.argv[2]).open("r+b") as file:
        spent = mmap(file.fileno(), SPENT.size)

    def camera(config: TestCamera) -> PicturesCamera:
        return PicturesCamera(pictures, spent)

    vars(testcam)["TestCamera"] = camera
    sys.exit(main(sys.argv[3:]))
