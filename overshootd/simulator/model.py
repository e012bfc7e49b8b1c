"""The "model" measures pictures instead of understanding them: a result says what was really published. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overshootd.marker import read_marker
from overshootd.simulator.media import Luma
from overshootd.simulator.schema_fill import Unsatisfiable, fill

CHARACTERS_PER_TOKEN = 4
"""Rough, as every model's tokens differ."""

_GRID = (90, 160)
"""Points looked at, rows and columns. Measured at 720p: 0.15 ms with the marker; a mean over all pixels alone, 0.55."""

Thumb = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame, measured.

    `number` and `captured` (`time.time()`, seconds) are the marker's, or, without one, the count of arrived frames and
    the time of arrival. `brightness` is the mean luma, 0 to 255; `motion` the mean absolute difference to the frame
    sampled before.
    """

    number: int
    captured: float
    arrived: float
    width: int
    height: int
    brightness: float
    motion: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says: `finish_reason` is `stop` or `length`; `error` is None when all is well."""

    text: str
    finish_reason: str | None
    error: str | None


def measure(luma: Luma, previous: Thumb | None, count: int, arrived: float) -> tuple[Sample, Thumb]:
    """Look at one Y plane (height, width); `previous` is the thumb of the frame sampled before."""
    height, width = luma.shape
    rows = np.arange(_GRID[0]) * height // _GRID[0]
    columns = np.arange(_GRID[1]) * width // _GRID[1]
    thumb = luma[np.ix_(rows, columns)].astype(np.int16)
    marker = read_marker(luma)
    sample = Sample(
        number=marker.number if marker else count,
        captured=marker.captured_ms / 1000 if marker else arrived,
        arrived=arrived,
        width=width,
        height=height,
        brightness=round(float(thumb.mean()), 1),
        motion=0.0 if previous is None else round(float(np.abs(thumb - previous).mean()), 1),
    )
    return sample, thumb


def observe(samples: Sequence[Sample], now: float, *, clip: bool) -> dict[str, Any]:
    """What a result tells: the newest frame, and for a clip the count of distinct frames and their mean motion."""
    newest = samples[-1]
    seen: dict[str, Any] = {
        "frame": newest.number,
        "age_ms": round((now - newest.captured) * 1000),
        "width": newest.width,
        "height": newest.height,
        "brightness": newest.brightness,
        "motion": round(sum(sample.motion for sample in samples) / len(samples), 1),
    }
    return {**seen, "frames": len(samples)} if clip else seen


def answer(seen: dict[str, Any], schema: dict[str, Any] | None, max_output_tokens: int) -> Answer:
    """Put `seen` into words, or into JSON that satisfies `schema`, cut off at about `max_output_tokens`."""
    if schema is None:
        text = sentence(seen)
    else:
        try:
            text = json.dumps(fill(schema, seen))
        except Unsatisfiable as error:
            return Answer("", None, f"the output schema could not be satisfied: {error}")
    room = max_output_tokens * CHARACTERS_PER_TOKEN
    return Answer(text, "stop", None) if len(text) <= room else Answer(text[:room], "length", None)


def sentence(seen: dict[str, Any]) -> str:
    """E.g. `frame 123, age 412 ms, 1280x720, brightness 118.2, motion 0.8`; a clip adds `, 6 frames`."""
    clip = f", {seen['frames']} frames" if "frames" in seen else ""
    return (
        f"frame {seen['frame']}, age {seen['age_ms']} ms, {seen['width']}x{seen['height']}, "
        f"brightness {seen['brightness']:.1f}, motion {seen['motion']:.1f}{clip}"
    )
