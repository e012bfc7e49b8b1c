"""Which way a camera's own H.264 takes to the room (design decision 2): encoded video is decoded only where it must be,
or where that costs less.

Of 720p30, in shares of a core: keyframes alone 0.2 %, decoded and sent at 0.5 fps 6 %, all of it passed on 7.2 %, all
of it decoded and encoded anew far more. So what must be seen to comes first, then the cheapest that is enough.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from overshootd.config.model import PublishConfig
from overshootd.contracts import CaptureFormat, Log

PASSABLE = 2.0
"""Times the publish rate that a camera may give and all of it be passed on."""

SLACK = 1.01
"""29.97 is 30."""

KEYFRAME_SLACK = 1.05
"""Keyframes may come a little later than they should: distances are measured, and cameras round them."""

NARROW_SECONDS = 3600.0
"""How long a path that took less than the camera gives is taken to stay so."""


class Kind(StrEnum):
    """What is handed to the publisher."""

    PICTURES = "pictures"
    UNITS = "units"  # every access unit, untouched
    KEYFRAMES = "keyframes"  # due ones, untouched; nothing in between


@dataclass(frozen=True, slots=True)
class Route:
    """The way, and why in a sentence for the log: empty where there was nothing to choose."""

    kind: Kind
    why: str


def route(
    camera: CaptureFormat,
    fps: float,
    publish: PublishConfig,
    *,
    hides: bool,
    narrow: bool = False,
    keyframes: float = math.inf,
) -> Route:
    """The way of this camera's frames, of which `fps` a second are wanted.

    `hides`: masks or a crop must act on every picture. `narrow`: the path took less than what was passed on.
    `keyframes`: seconds from one to the next that the transport can bear.
    """
    if not camera.encoded:
        always = publish.passthrough == "always"
        return Route(Kind.PICTURES, f"nothing can be passed on: the camera gives {camera.what}" if always else "")
    if (need := _need(camera, publish, hides)) is not None:
        return _decoded(need)
    if publish.passthrough == "always":
        return Route(Kind.UNITS, "the camera's H.264 is passed on untouched: publish.passthrough is always")
    if (size := _other_size(camera, publish)) is not None:
        return _decoded(size)
    if camera.keyframe_seconds is not None and camera.keyframe_seconds > keyframes * KEYFRAME_SLACK:
        return _decoded(
            f"the camera sends a keyframe every {camera.keyframe_seconds:.3g} s, and this transport needs one every "
            f"{keyframes:.3g} s"
        )
    if narrow:
        return _decoded("the path to the room took less than the camera gives")
    if camera.keyframe_seconds is not None and camera.keyframe_seconds * fps <= KEYFRAME_SLACK:
        return Route(
            Kind.KEYFRAMES,
            f"only keyframes of the camera's H.264 are passed on: one every {camera.keyframe_seconds:.3g} s is enough "
            f"for the {fps:.3g} fps to publish",
        )
    if not passable(camera.fps, fps):
        return _decoded(f"{camera.fps:.3g} fps are more than twice the {fps:.3g} fps to publish")
    return Route(
        Kind.UNITS,
        f"the camera's H.264 is passed on untouched: {camera.fps:.3g} fps are at most twice the {fps:.3g} fps to "
        "publish",
    )


def passable(camera_fps: float, fps: float) -> bool:
    """Whether all frames of a camera may be passed on where `fps` a second are wanted: not many more than those."""
    return camera_fps <= PASSABLE * fps * SLACK


def _need(camera: CaptureFormat, publish: PublishConfig, hides: bool) -> str | None:
    """Why its pictures must be seen, whatever that costs."""
    if hides:
        return "masks or a crop act on its pictures"
    if publish.codec not in (None, "h264"):
        return f"publish.codec is {publish.codec}"
    if publish.passthrough == "never":
        return "publish.passthrough is never"
    return None


def _other_size(camera: CaptureFormat, publish: PublishConfig) -> str | None:
    if publish.size is None or publish.size == (camera.width, camera.height):
        return None
    return f"publish.size is {publish.size[0]}x{publish.size[1]}, the camera's {camera.width}x{camera.height}"


def _decoded(why: str) -> Route:
    return Route(Kind.PICTURES, f"the camera's H.264 is decoded and encoded anew: {why}")


class Routes:
    """The ways of one stream, from attempt to attempt."""

    def __init__(self, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._told = ""
        self._narrow_until = float("-inf")

    def choose(
        self, camera: CaptureFormat, fps: float, publish: PublishConfig, *, hides: bool, keyframes: float = math.inf
    ) -> Kind:
        """As `route`; why is logged when it is another than before."""
        narrow = self._clock() < self._narrow_until
        way = route(camera, fps, publish, hides=hides, narrow=narrow, keyframes=keyframes)
        if way.why and way.why != self._told:
            self._log.info(way.why)
        self._told = way.why
        return way.kind

    def remember_congestion(self) -> None:
        """The path took far less than what was passed on."""
        self._narrow_until = self._clock() + NARROW_SECONDS
