"""Frames as samples: nothing is copied or decoded before somebody asks, save what later frames need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from overshootd.capture.v4l2.device import Given
from overshootd.capture.v4l2.frames import Frame
from overshootd.capture.v4l2.negotiate import KINDS
from overshootd.contracts import AccessUnit, Picture, PixelFormat, Sample
from overshootd.errors import FrameSpoiled
from overshootd.ffmpeg.draw import Drawer
from overshootd.ffmpeg.live import JpegDecoder, RawPictures, UnitDecoder
from overshootd.h264 import IDR, SLICE, ParameterSets, kinds


class Sampler(Protocol):
    """Makes samples of one camera's frames."""

    def sample(self, frame: Frame) -> Sample | None:
        """None for a frame with nothing to see in it."""


def sampler_for(given: Given, name: str, drawer: Drawer, *, turned: bool, want_keyframe: Callable[[], None]) -> Sampler:
    """What reads this format. `turned`: `drawer` turns, so that access units would show something else.

    `want_keyframe` is called when pictures wait for one. Raises CameraLost when this FFmpeg has no such decoder.
    """
    match KINDS[given.fourcc]:
        case "h264":
            return Units(given, UnitDecoder(name, drawer), encoded=not turned, want_keyframe=want_keyframe)
        case "mjpeg":
            return Stills(JpegDecoder(name, drawer))
        case _:
            return Stills(RawPictures(name, drawer, given.fourcc, given.width, given.height, given.stride))


class Decoder(Protocol):
    """Pictures that can be understood one by one."""

    def picture(self, data: bytes, width: int, height: int) -> memoryview: ...


class Stills:
    """Of a camera each of whose frames is a picture by itself."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def sample(self, frame: Frame) -> Still:
        return Still(self._decoder, frame)


@dataclass(slots=True)
class Still:
    """A frame that is still in the driver's buffer."""

    decoder: Decoder
    frame: Frame
    access_unit: AccessUnit | None = None
    data: bytes | None = field(default=None, init=False)

    @property
    def captured_ns(self) -> int:
        return self.frame.captured_ns

    def picture(self, width: int, height: int) -> Picture:
        if self.data is None:
            self.data = self.frame.copy()
        picture = self.decoder.picture(self.data, width, height)
        return Picture(picture, width, height, PixelFormat.I420, self.captured_ns)


class Units:
    """Of a camera that encodes: every frame is kept for those that refer to it."""

    def __init__(self, given: Given, decoder: UnitDecoder, *, encoded: bool, want_keyframe: Callable[[], None]) -> None:
        self._size, self._decoder = (given.width, given.height), decoder
        self._encoded, self._want_keyframe = encoded, want_keyframe
        self._sets = ParameterSets()

    def sample(self, frame: Frame) -> Unit | None:
        data, keyframe = self._sets.complete(frame.copy())
        if not {IDR, SLICE} & set(kinds(data)):
            return None  # parameter sets, which some encoders send in a buffer of their own; the next IDR gets them
        self._decoder.add(data, keyframe)
        unit = AccessUnit(data, *self._size, keyframe, frame.captured_ns) if self._encoded else None
        return Unit(self, frame.captured_ns, unit)

    def picture(self, width: int, height: int) -> memoryview:
        try:
            return self._decoder.picture(width, height)
        except FrameSpoiled:
            self._want_keyframe()
            raise


@dataclass(frozen=True, slots=True)
class Unit:
    """An access unit. What it shows is known as long as it is the newest."""

    units: Units
    captured_ns: int
    access_unit: AccessUnit | None

    def picture(self, width: int, height: int) -> Picture:
        return Picture(self.units.picture(width, height), width, height, PixelFormat.I420, self.captured_ns)
