"""The encoder in an H.264 camera: how far apart its keyframes are, how many bits it may take, and who may ask."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

from overshootd.capture.v4l2.controls import Control, Setting
from overshootd.contracts import Wish
from overshootd.route import passable

DISTANCE = ("h264_i_frame_period", "video_gop_size")
"""Frames from one keyframe to the next. Drivers have the one or the other, and those that have both keep to the
smaller."""

HEADERS = ("repeat_sequence_header", "prepend_sps_and_pps_to_idr")
BITRATE, KEYFRAME_NOW = "video_bitrate", "force_key_frame"

PASSED_ON_SECONDS = 2.0
"""Between keyframes of video that is passed on whole. Who lost one waits that long where none can be asked for."""

BITS_PER_PIXEL = 0.1
"""To begin with, until the receiver says what it wants: 2.8 Mbit/s at 720p30."""


def keyframe_distance(fps: float, needed_fps: float) -> int:
    """Frames from one keyframe to the next.

    Where the camera gives many more frames than are needed, as many as pass in one publish interval, so that keyframes
    alone will do; otherwise those of PASSED_ON_SECONDS.
    """
    seconds = PASSED_ON_SECONDS if passable(fps, needed_fps) else 1 / needed_fps
    return max(int(fps * seconds * 1.001), 1)


def encoder_settings(
    controls: Mapping[str, Control], fps: float, needed_fps: float, size: tuple[int, int], configured: Collection[str]
) -> list[Setting]:
    """What to set of those controls that the camera has and the configuration leaves alone."""
    wanted: dict[str, float] = dict.fromkeys(DISTANCE, keyframe_distance(fps, needed_fps))
    wanted |= dict.fromkeys(HEADERS, 1) | {BITRATE: BITS_PER_PIXEL * size[0] * size[1] * fps}
    return [
        (controls[name], controls[name].nearest(value))
        for name, value in wanted.items()
        if name in controls and controls[name].writable and name not in configured
    ]


class Wishes:
    """What receivers wish of an encoder: said in any thread, fulfilled in the camera's, for a driver may take long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wish = Wish()

    def add(self, keyframe: bool, kbps: int | None) -> None:
        with self._lock:
            self._wish = Wish(self._wish.keyframe or keyframe, self._wish.kbps if kbps is None else kbps)

    def take(self) -> Wish:
        with self._lock:
            wish, self._wish = self._wish, Wish()
            return wish
