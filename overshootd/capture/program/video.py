"""What a program writes, as samples: pictures that stand alone, and H.264."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from overshootd.capture.program.framing import FixedFraming, Frame, Framing, JpegFraming, jpeg_size
from overshootd.capture.program.process import PIPE_BYTES, Program
from overshootd.contracts import AccessUnit, CaptureFormat, Picture, PixelFormat, Sample
from overshootd.errors import CameraLost
from overshootd.ffmpeg.draw import Drawer
from overshootd.ffmpeg.live import JpegDecoder, RawPictures, UnitDecoder
from overshootd.ffmpeg.split import UnitSplitter
from overshootd.h264 import ParameterSets, Sps, has_b_slice, parse_sps

PUBLISH_SLACK, MEASURE_SLACK, MEASURE_SECONDS = 1.1, 0.3, 4.0
"""A second keyframe is waited for as long as the publish interval (times the first, and so many seconds more), and at
most so many seconds: whether one comes later does not matter, for keyframes alone would be too few then."""

Draw = Callable[[memoryview, int, int], memoryview]


class Video(Protocol):
    """The video of one program."""

    def begin(self, seconds: float) -> CaptureFormat:
        """Wait for the first frame. Called once. Raises CameraLost when there is none within `seconds`."""

    def read(self, timeout: float) -> Sample | None:
        """As `contracts.Camera.read`."""


@dataclass(frozen=True, slots=True)
class FrameSample:
    """A picture that stands alone, not decoded yet."""

    data: bytes | bytearray
    captured_ns: int
    draw: Draw
    access_unit: AccessUnit | None = None

    def picture(self, width: int, height: int) -> Picture:
        drawn = self.draw(memoryview(self.data), width, height)
        return Picture(drawn, width, height, PixelFormat.I420, self.captured_ns)


class Frames:
    """Pictures that stand alone: of several that wait the newest is given, and the others have cost nothing."""

    def __init__(self, program: Program, framing: Framing, draw: Draw) -> None:
        self._program, self._framing, self._draw = program, framing, draw
        self._first: Frame | None = None
        self._captured_ns = 0

    def first(self, seconds: float) -> Frame:
        """The frame that `read` will give first. Raises CameraLost."""
        self._first = self._newest(seconds)
        if self._first is None:
            raise _no_frame(self._program, seconds, self._framing.missed)
        return self._first

    def read(self, timeout: float) -> FrameSample | None:
        frame, self._first = self._first or self._newest(timeout), None
        if frame is None:
            return None
        self._captured_ns = max(frame.began_ns, self._captured_ns + 1)
        return FrameSample(frame.data, self._captured_ns, self._draw)

    def _newest(self, timeout: float) -> Frame | None:
        end = time.monotonic() + timeout
        newest, waiting = None, PIPE_BYTES
        while True:
            data = self._program.read(0.0 if newest else end - time.monotonic())
            frames = self._framing.feed(data, time.monotonic_ns())
            newest = frames[-1] if frames else newest
            if newest:
                waiting -= len(data)
                # What comes once the pipe has been emptied was written meanwhile: no end of that may ever come.
                if not data or waiting <= 0:
                    return newest
            elif time.monotonic() >= end:
                return None


class RawVideo:
    """Uncompressed pictures of one size and layout."""

    def __init__(self, program: Program, drawer: Drawer, layout: str, width: int, height: int, fps: float) -> None:
        """`layout` is one of `ffmpeg.live.RAW_FORMATS`; its rows and planes are packed."""
        pictures = RawPictures(program.name, drawer, layout, width, height)
        self._frames = Frames(program, FixedFraming(pictures.size), pictures.picture)
        self._format = CaptureFormat(fps, width, height, what=f"{layout}, converted where it is published")

    def begin(self, seconds: float) -> CaptureFormat:
        self._frames.first(seconds)
        return self._format

    def read(self, timeout: float) -> FrameSample | None:
        return self._frames.read(timeout)


class JpegVideo:
    """JPEG pictures, one after the other."""

    def __init__(self, program: Program, drawer: Drawer, fps: float) -> None:
        decoder = JpegDecoder(program.name, drawer)
        self._name, self._fps = program.name, fps
        self._frames = Frames(program, JpegFraming(), decoder.picture)

    def begin(self, seconds: float) -> CaptureFormat:
        size = jpeg_size(self._frames.first(seconds).data)
        if size is None:
            raise CameraLost(f"{self._name} writes JPEG pictures that do not say their size")
        return CaptureFormat(self._fps, *size, what="MJPEG, decoded where it is published")

    def read(self, timeout: float) -> FrameSample | None:
        return self._frames.read(timeout)


@dataclass(frozen=True, slots=True)
class UnitSample:
    """An access unit, decoded when a picture is asked of it."""

    captured_ns: int
    access_unit: AccessUnit | None
    draw: Callable[[int, int], memoryview]

    def picture(self, width: int, height: int) -> Picture:
        return Picture(self.draw(width, height), width, height, PixelFormat.I420, self.captured_ns)


class Unit(NamedTuple):
    """An access unit as `h264.ParameterSets.complete` gives it, and the sequence parameter set that holds for it."""

    data: bytes
    keyframe: bool
    sps: bytes | None
    began_ns: int


class UnitVideo:
    """H.264 in Annex B form. None of it is left out: access units depend on each other."""

    def __init__(
        self,
        program: Program,
        drawer: Drawer,
        fps: float,
        publish_fps: float,
        *,
        turned: bool,
        known: float | None = None,
    ) -> None:
        """`turned`: it must be turned to be upright, so it cannot be passed on. `known`: seconds from one keyframe to
        the next, to be measured unless given."""
        self._program, self._fps, self._turned, self._known = program, fps, turned, known
        self._patience = min(PUBLISH_SLACK / publish_fps + MEASURE_SLACK, MEASURE_SECONDS)
        self._splitter = UnitSplitter(program.name)
        self._sets = ParameterSets()
        self._decoder = UnitDecoder(program.name, drawer)
        self._units: deque[Unit] = deque()
        """What came with one read; it is empty before the next."""
        self._size: tuple[int, int] = (0, 0)
        self._sps = b""
        self._encoded = False
        self._captured_ns = 0

    def begin(self, seconds: float) -> CaptureFormat:
        first = self._keyframe(seconds)
        if first is None:
            waiting = self._splitter.waiting
            raise _no_frame(self._program, seconds, f"{waiting} bytes came without a keyframe" if waiting else "")
        sps = self._parameters(first)
        obstacle = sps.obstacle or ("it must be turned" if self._turned else None)
        distance = self._known
        if obstacle or distance:
            self._units.appendleft(first)
        else:
            distance, b_frames = self._measured(first, look=sps.reorders is None)
            obstacle = "it has B-frames" if b_frames else None
        self._encoded = obstacle is None
        if obstacle:
            return CaptureFormat(
                self._fps, *self._size, what=f"H.264, decoded where it is published, for {obstacle}", inter_coded=True
            )
        return CaptureFormat(self._fps, *self._size, True, distance, f"H.264 as {self._program.name} encodes it")

    def read(self, timeout: float) -> UnitSample | None:
        unit = self._next(timeout)
        if unit is None:
            return None
        if unit.keyframe and unit.sps != self._sps:
            before = self._size
            self._parameters(unit)
            if self._size != before:
                sizes = "x".join(map(str, before)), "x".join(map(str, self._size))
                raise CameraLost(f"{self._program.name} has changed its picture from {sizes[0]} to {sizes[1]}")
        self._decoder.add(unit.data, unit.keyframe)
        self._captured_ns = max(unit.began_ns, self._captured_ns + 1)
        access_unit = AccessUnit(unit.data, *self._size, unit.keyframe, self._captured_ns)
        return UnitSample(self._captured_ns, access_unit if self._encoded else None, self._decoder.picture)

    def _next(self, timeout: float) -> Unit | None:
        end = time.monotonic() + timeout
        while not self._units:
            data = self._program.read(end - time.monotonic())
            for unit, began_ns in self._splitter.feed(data, time.monotonic_ns()) if data else ():
                self._units.append(Unit(*self._sets.complete(unit), self._sets.sps, began_ns))
            if not self._units and time.monotonic() >= end:
                return None
        return self._units.popleft()

    def _keyframe(self, seconds: float) -> Unit | None:
        end = time.monotonic() + seconds
        # One that writes as fast as it can must not hold us either.
        while (left := end - time.monotonic()) > 0 and (unit := self._next(left)) is not None:
            if unit.keyframe:
                return unit
        return None

    def _parameters(self, keyframe: Unit) -> Sps:
        """What its parameter set says. Raises CameraLost."""
        self._sps = keyframe.sps or b""
        try:
            sps = parse_sps(self._sps)
        except ValueError as error:
            raise CameraLost(f"{self._program.name} writes H.264 that cannot be read: {error}") from error
        self._size = (sps.width, sps.height)
        return sps

    def _measured(self, first: Unit, *, look: bool) -> tuple[float | None, bool]:
        """Seconds from this keyframe to the next if that comes in time, and whether B-frames came meanwhile: `look`
        where the parameter sets do not tell. What is read here is not given any more, save that next keyframe."""
        end = time.monotonic() + self._patience
        self._decoder.add(first.data, first.keyframe)
        frames, b_frames = 0, False
        while (left := end - time.monotonic()) > 0 and (unit := self._next(left)) is not None:
            frames += 1
            b_frames = b_frames or (look and has_b_slice(unit.data))
            if unit.keyframe:
                self._units.appendleft(unit)
                # A program that has just begun may write faster than it will: the longer of both is on the safe side.
                return max((unit.began_ns - first.began_ns) / 1e9, frames / self._fps), b_frames
            self._decoder.add(unit.data, unit.keyframe)
        return None, b_frames


def _no_frame(program: Program, seconds: float, missed: str) -> CameraLost:
    return CameraLost(program.explained(f"gave no frame within {seconds:g} s{missed and f' ({missed})'}"))
