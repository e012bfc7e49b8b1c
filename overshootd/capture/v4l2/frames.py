"""A running camera's buffers as frames: one at a time, the newest, each with a time that can be believed."""

from __future__ import annotations

import time
from dataclasses import dataclass

from overshootd.capture.v4l2.device import BUFFERS, Device, Filled

OLD_NS = 10_000_000_000
"""A frame that says it is older tells the time of another clock."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, as long as it is the last that was taken."""

    device: Device
    filled: Filled
    captured_ns: int

    def copy(self) -> bytes:
        """Its bytes. Costs a copy, so ask for what will be used."""
        return self.device.copy(self.filled)


class Frames:
    """Reads a device that was started. `all_of_them`: for frames that depend on each other, none may be left out."""

    def __init__(self, device: Device, *, all_of_them: bool) -> None:
        self._device, self._all = device, all_of_them
        self._held: Filled | None = None
        self._captured_ns = 0

    def next(self, timeout: float) -> Frame | None:
        """The newest good frame, or None when there was none within `timeout` seconds. Raises CameraLost.

        The frame before goes back to the driver.
        """
        self._give_back()
        end = time.monotonic() + timeout
        while self._held is None:
            if not self._take(end - time.monotonic()):
                return None
        if not self._all:
            self._catch_up()
        self._captured_ns = believable(self._held.stamp_ns, time.monotonic_ns(), self._captured_ns)
        return Frame(self._device, self._held, self._captured_ns)

    def _catch_up(self) -> None:
        """Whoever was away for a while finds old frames first."""
        for _ in range(BUFFERS):
            if not self._take(0):
                return

    def _take(self, timeout: float) -> bool:
        """Hold the next buffer instead of the last, if there is something in it. False: there is no next."""
        filled = self._device.take(timeout)
        if filled is None:
            return False
        if filled.damaged or not filled.size:
            self._device.give_back(filled)
        else:
            self._give_back()
            self._held = filled
        return True

    def _give_back(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._device.give_back(held)


def believable(stamp_ns: int | None, now_ns: int, before_ns: int) -> int:
    """When a frame was captured: what its driver says, unless it does not, or not later than the frame before, or it
    names a time to come or one long past. Pure."""
    if stamp_ns is None or not max(before_ns, now_ns - OLD_NS) < stamp_ns <= now_ns:
        return max(now_ns, before_ns)
    return stamp_ns
