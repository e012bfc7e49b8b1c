"""The pictures that everybody publishes: 720p, raw, numbered, in one file that is mapped and never copied.

Real footage where it is (`../shared/media/vtest.avi`, a street), else a texture that is as hard. A camera of 30 fps
shows a new picture each time; footage of 10 fps so runs three times as fast, which spares no encoder anything.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS = 1280, 720, 30.0
SIZE = WIDTH * HEIGHT * 3 // 2
COUNT = 449
"""A prime: whoever publishes every 30th picture sees another one each time round."""

CELL, BITS = 16, 9
"""The number is at the top left in Gray code: one cell changes a picture, which costs an encoder next to nothing."""

Planes = NDArray[np.uint8]


class Pictures:
    """The file, mapped. `pictures[n]` is picture n (modulo COUNT) as packed I420, writable because the SDK insists."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._view = memoryview(mmap.mmap(file.fileno(), 0))

    def __getitem__(self, number: int) -> memoryview:
        start = number % COUNT * SIZE
        return self._view[start : start + SIZE]


def prepare(path: Path, footage: Path | None) -> None:
    """Write the file: 620 MB. `footage` None: a texture."""
    with path.open("wb") as file:
        for number, planes in enumerate(islice(_textures() if footage is None else _scaled(footage), COUNT)):
            _draw_number(planes, number)
            file.write(planes.data)
    if path.stat().st_size != COUNT * SIZE:
        raise ValueError(f"{footage}: fewer than {COUNT} pictures")


def read_number(luma: Planes) -> int:
    """The number in a decoded luma plane."""
    cells = luma[:CELL, : BITS * CELL].reshape(CELL, BITS, CELL)[4:-4, :, 4:-4].mean(axis=(0, 2)) > 127
    number = 0
    for cell in cells:
        number = number << 1 | (int(cell) ^ (number & 1))
    return number


def _draw_number(planes: Planes, number: int) -> None:
    gray = number ^ number >> 1
    luma = planes[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)
    for bit in range(BITS):
        luma[:CELL, bit * CELL : (bit + 1) * CELL] = 235 if gray >> (BITS - 1 - bit) & 1 else 16


def _scaled(footage: Path) -> Iterator[Planes]:
    with av.open(str(footage)) as container:
        for frame in container.decode(video=0):
            yield (
                frame.reformat(WIDTH, HEIGHT, "yuv420p", interpolation="BICUBIC")
                .to_ndarray()
                .astype(np.uint8, copy=False)
                .reshape(-1)
            )


def _textures() -> Iterator[Planes]:
    """Noise with the spectrum of a photograph (1/f), still as a wall, and a quarter of it wandering before that."""
    random = np.random.default_rng(1)
    still, moving = _photograph(random), _photograph(random)
    for number in range(COUNT):
        luma = still + random.normal(0, 1.5, still.shape)  # a sensor's noise
        top, left = (int(s * (0.5 + 0.5 * np.sin(number / p))) for s, p in ((HEIGHT // 2, 31), (WIDTH // 2, 47)))
        luma[top : top + HEIGHT // 2, left : left + WIDTH // 2] = moving[: HEIGHT // 2, : WIDTH // 2]
        yield np.concatenate([luma.clip(16, 235).astype(np.uint8).ravel(), np.full(SIZE // 3, 128, np.uint8)])


def _photograph(random: np.random.Generator) -> NDArray[np.float64]:
    frequencies = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None])
    spectrum = np.fft.rfft2(random.normal(size=(HEIGHT, WIDTH))) / np.maximum(frequencies, 1 / WIDTH)
    picture = np.fft.irfft2(spectrum, (HEIGHT, WIDTH))
    return np.asarray(120 + picture / picture.std() * 40)
