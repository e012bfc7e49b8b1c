"""From the thread that demuxes to the one that reads: bounded, and nothing whose forerunners are missing."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

PACKETS, BYTES = 256, 8 * 2**20
"""What may wait: eight seconds of a 30 fps camera, or the second that a decoder was busy with at 60 Mbit/s."""


class NetworkPacket(NamedTuple):
    """One encoded frame. `seconds` is its time in the video, if it has one; `arrived_ns` is `time.monotonic_ns()`."""

    data: bytes
    keyframe: bool
    seconds: float | None
    arrived_ns: int


class Inbox:
    """What has come and was not taken. When it is full all of it goes, and what comes too, up to the next keyframe."""

    def __init__(self, packets: int = PACKETS, size: int = BYTES) -> None:
        self._limit = (packets, size)
        self._waiting: deque[NetworkPacket] = deque()
        self._size = 0
        self._broken = False  # until a keyframe comes
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self.dropped = 0
        """Packets that were not taken in time."""

    def put(self, packet: NetworkPacket) -> None:
        """Add the newest. Never blocks."""
        with self._changed:
            if len(self._waiting) >= self._limit[0] or self._size + len(packet.data) > self._limit[1]:
                self._drop()
            self._broken = self._broken and not packet.keyframe
            if self._broken:
                self.dropped += 1
                return
            self._waiting.append(packet)
            self._size += len(packet.data)
            self._changed.notify()

    def fail(self, error: Exception) -> None:
        """Nothing more will come: `take` raises this after what waits."""
        with self._changed:
            self._error = error
            self._changed.notify()

    def take(self, timeout: float) -> NetworkPacket | None:
        """The oldest, or None when none came within `timeout` seconds. Raises what `fail` was given."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._error, timeout)
            if self._waiting:
                packet = self._waiting.popleft()
                self._size -= len(packet.data)
                return packet
            if self._error is not None:
                raise self._error
            return None

    def _drop(self) -> None:
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._size = 0
        self._broken = True
