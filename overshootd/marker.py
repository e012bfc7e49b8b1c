"""A number and a time drawn into a picture, which a program can read back after lossy encoding and scaling.

The test camera draws it, the simulator reads it: so a result can say which frame was really seen, and how old it was.
The top 2/9 of the picture is a grid of 32 x 4 black and white cells. Each row begins with white, black, white, black,
from which the reader learns the two levels; the other 28 carry bits, most significant first: 32 of number, 48 of time,
32 of CRC-32 over both. All positions are fractions of the picture, so scaling does not matter, by whatever factors.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_WIDTH, MIN_HEIGHT = 160, 90
"""Pixels: cells of 5 x 5. Below, the encoder's blurring reaches the middle of a cell."""

COLUMNS, ROWS, ROWS_IN_PICTURE = 32, 4, 18
BAND = ROWS / ROWS_IN_PICTURE
"""The part of the picture's height that the marker covers, from the top."""

BLACK, WHITE = 16, 235  # the ends of the video range (ITU-R BT.601), which no converter clips
_LEVELS = (WHITE, BLACK, WHITE, BLACK)
_MIN_CONTRAST = 48
_SAMPLES = 4


@dataclass(frozen=True, slots=True)
class Marker:
    """`number` has 32 bits, `captured_ms` 48: wall-clock milliseconds since the epoch."""

    number: int
    captured_ms: int

    def pack(self) -> bytes:
        """10 bytes and their CRC-32. Numbers wrap: a camera that runs for years must not fail."""
        body = (self.number % 2**32).to_bytes(4, "big") + (self.captured_ms % 2**48).to_bytes(6, "big")
        return body + zlib.crc32(body).to_bytes(4, "big")


def draw_marker(luma: NDArray[np.uint8], number: int, captured_ms: int) -> None:
    """Draw into a Y plane (h, w) in place. Raises ValueError below MIN_WIDTH x MIN_HEIGHT."""
    height, width = luma.shape
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        raise ValueError(f"a marker needs at least {MIN_WIDTH}x{MIN_HEIGHT} pixels, not {width}x{height}")
    bits = np.unpackbits(np.frombuffer(Marker(number, captured_ms).pack(), np.uint8)).reshape(ROWS, -1)
    cells = np.empty((ROWS, COLUMNS), np.uint8)
    cells[:, : len(_LEVELS)] = _LEVELS
    cells[:, len(_LEVELS) :] = np.where(bits, np.uint8(WHITE), np.uint8(BLACK))
    rows = np.diff(np.arange(ROWS + 1) * height // ROWS_IN_PICTURE)
    columns = np.diff(np.arange(COLUMNS + 1) * width // COLUMNS)
    luma[: rows.sum()] = cells.repeat(columns, axis=1).repeat(rows, axis=0)


def read_marker(luma: NDArray[np.uint8]) -> Marker | None:
    """What `draw_marker` drew, or None when there is none or it cannot be read for sure."""
    height, width = luma.shape
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return None
    ys = _inner(ROWS, height / ROWS_IN_PICTURE)
    xs = _inner(COLUMNS, width / COLUMNS)
    cells = luma[np.ix_(ys, xs)].reshape(ROWS, _SAMPLES, COLUMNS, _SAMPLES).mean(axis=(1, 3))
    white, black = cells[:, 0 : len(_LEVELS) : 2].mean(), cells[:, 1 : len(_LEVELS) : 2].mean()
    if white - black < _MIN_CONTRAST:
        return None
    packed = np.packbits(cells[:, len(_LEVELS) :] > (white + black) / 2).tobytes()
    marker = Marker(int.from_bytes(packed[:4], "big"), int.from_bytes(packed[4:10], "big"))
    return marker if marker.pack() == packed else None


def _inner(cells: int, size: float) -> NDArray[np.intp]:
    """Pixels to look at in each cell: spread over its inner half, for its edges are mixed with its neighbours'."""
    within = 0.25 + (np.arange(_SAMPLES) + 0.5) / (2 * _SAMPLES)
    return ((np.arange(cells)[:, None] + within) * size).astype(np.intp).ravel()
