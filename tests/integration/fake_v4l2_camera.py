"""A camera of a fake kernel: what it offers, and what it does wrong."""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from linuxpy.video import raw

from tests.integration.v4l2_sources import Source, source_for

Caps, Type = raw.Capability, raw.CtrlType
VIDEO, METADATA = Caps.VIDEO_CAPTURE | Caps.STREAMING, Caps.META_CAPTURE | Caps.STREAMING
BUFFER = 2**21 // mmap.PAGESIZE * mmap.PAGESIZE
"""Bytes of every buffer: enough for YUYV at 720p."""


@dataclass(frozen=True)
class Mode:
    """One format: sizes are (width, height), or one range ((least, most, step), (least, most, step))."""

    fourcc: str
    sizes: tuple[Any, ...]
    rates: tuple[float, ...] = (20.0,)
    """Frames per second; two with `any_rate` are the ends of a range."""
    any_rate: bool = False
    padding: int = 0
    """Bytes at the end of each row of a raw picture."""

    @property
    def ranged(self) -> bool:
        return len(self.sizes[0]) == 3


@dataclass
class Knob:
    """A control."""

    title: str
    type: int = Type.INTEGER
    minimum: int = 0
    maximum: int = 255
    default: int = 128
    step: int = 1
    flags: int = 0
    entries: Mapping[int, str | int] = field(default_factory=dict)
    refuses: int = 0
    """The error number that setting it ends with."""
    value: int = field(init=False)

    def __post_init__(self) -> None:
        self.value = self.default


@dataclass(eq=False)
class FakeCamera:
    """A device and what it does wrong. All attributes may be changed at any time."""

    modes: tuple[Mode, ...] = (Mode("MJPG", ((320, 240),)),)
    knobs: tuple[Knob, ...] = ()
    card: str = "Fake Camera"
    driver: str = "uvcvideo"
    caps: int = VIDEO
    errors: dict[str, int] = field(default_factory=dict)
    """Error numbers by the names of ioctls: EBUSY for S_FMT is a camera in use."""
    silent: bool = False
    damaged: bool = False
    stuck: bool = False
    """All frames claim the time of the first."""
    truncated: bool = False
    beheaded: bool = False
    """The first frame, which is a keyframe, gets lost."""
    clock: Callable[[], int] = time.monotonic_ns
    flags: int = raw.BufferFlag.TIMESTAMP_MONOTONIC
    sent: int = 0
    """Frames that were put into buffers."""
    queued: deque[int] = field(default_factory=deque)
    settings: list[tuple[str, int]] = field(default_factory=list)
    """What was set of its controls, in order."""

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.memory = os.memfd_create("buffers")
        os.truncate(self.memory, 8 * BUFFER)
        self.fifo = -1
        self.done: deque[tuple[int, int, int]] = deque()
        self.now: tuple[Mode, int, int] = (self.modes[0], 0, 0)
        self.fps = (*self.modes[0].rates, 20.0)[0]
        self.keyframe = False
        self._stop = threading.Event()
        self._driver: threading.Thread | None = None

    def knob(self, title: str) -> Knob:
        return next(knob for knob in self.knobs if knob.title == title)

    @property
    def streaming(self) -> bool:
        return self._driver is not None

    def stream(self) -> None:
        gop = next((knob.value for knob in self.knobs if knob.title in ("Video GOP Size", "H264 I-Frame Period")), 10)
        mode, width, height = self.now
        source = source_for(mode.fourcc, width, height, self.stride, gop)
        self._stop.clear()
        self._driver = threading.Thread(target=self._run, args=(source,), daemon=True)
        self._driver.start()

    def halt(self) -> None:
        if self._driver is not None:
            self._stop.set()
            self._driver.join()
            self._driver = None
        self.queued.clear()
        while self.done:
            self.done.popleft()
            os.read(self.fifo, 1)

    @property
    def stride(self) -> int:
        mode, width, _ = self.now
        return {"YUYV": 2 * width, "NV12": width, "YU12": width, "GREY": width}.get(mode.fourcc, 0) + mode.padding

    def wake(self) -> None:
        """Make poll return, as the end of a buffer or of the device does."""
        os.write(self.fifo, b"!")

    def _run(self, source: Source) -> None:
        begun, first = time.monotonic(), self.clock()
        for number in count():
            if self._stop.wait(max(begun + number / self.fps - time.monotonic(), 0)):
                return
            with self.lock:
                if self.queued and not self.silent:
                    data = source(number, self.keyframe)
                    self.keyframe = False
                    if self.beheaded and number == 0:
                        continue
                    self._fill(self.queued.popleft(), data, first if self.stuck else self.clock())

    def _fill(self, index: int, data: bytes, stamp_ns: int) -> None:
        if self.truncated:
            data = data[: len(data) // 2]
        os.pwrite(self.memory, data, index * BUFFER)
        self.done.append((index, len(data), stamp_ns))
        self.sent += 1
        self.wake()
