"""How fast a sensor and its encoder run for what is published. Pure."""

from __future__ import annotations

import math

SLOWEST_FPS = 10.0
"""Exposure and white balance settle within some 20 frames, and a picture comes out two or three frames after it was
taken: at 0.5 fps that would be 40 s and 6 s, and a night's exposure two seconds of blur."""

KEYFRAME_SECONDS = 2.0
"""The publish interval of the slowest streams (pacing.MIN_FPS): of a camera that is there for faster ones too they can
take the keyframes alone."""

QUIET_BITRATE = 150_000


def sensor_fps(configured: float | None, needed: float) -> float:
    """What to run the sensor at: as configured, or fast enough for what is needed."""
    return configured or max(needed, SLOWEST_FPS)


def keyframe_frames(fps: float, published: float) -> int:
    """Frames from one keyframe to the next of an encoder that runs at `fps`.

    Where it runs at more than twice the rate that is published, its keyframes alone are passed on (design decision 2),
    so there is one for each that is due. Elsewhere everything is, and keyframes are dear.
    """
    seconds = 1 / published if fps > 2 * published else KEYFRAME_SECONDS
    return max(int(fps * seconds + 1e-6), 1)


def bitrate(width: int, height: int, fps: float) -> int:
    """Bits per second to begin with: what VP8 takes for a busy street (pacing.auto_bitrate), and half as much again,
    for encoders in hardware are made for speed."""
    return max(QUIET_BITRATE, round(157_500 * width * height / (1280 * 720) * math.pow(fps, 0.63)))
