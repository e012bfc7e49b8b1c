"""Whether a camera that gives frames still sees anything: black, frozen and spoiled pictures. Pure.

It looks at pictures as they were drawn to be published, before masks; their times are its only clock.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NoReturn

import numpy as np

from overshootd.contracts import Picture
from overshootd.errors import CameraLost, FrameSpoiled

Size = tuple[int, int]

SECOND_NS = 1_000_000_000

LOOK_NS = 1 * SECOND_NS
"""From one look to the next: one costs 0.3 ms at 720p on a PC, and what is looked for lasts a minute."""

GLANCE_NS = 60 * SECOND_NS
"""The same where a picture must be decoded only to be looked at."""

GLANCE_SIZE = (320, 180)

PROBE_NS = SECOND_NS // 4
"""From one picture to the next while a camera must prove itself."""

DARKEST, FLATTEST = 40, 4
"""A picture is black when no luma is above the one (a tenth of grey, 16 being black) and all lie within the other.

What is broken gives one value, give or take what JPEG makes of it. A sensor that sees nothing still gives noise: with
its gain turned up by the dark, ten levels and more over the thousands of pixels that are looked at.
"""

STEP = 8
"""Of 720p every eighth pixel of every eighth row is 14,400."""

SIZES = 8
"""Sizes whose last picture is remembered."""


class Scrutiny:
    """Judges one camera over all its openings. For the camera's thread.

    A camera that was given up for its pictures is under `suspicion`, the sentence that says why, until a picture
    `clears` it: opening it anew proves nothing.
    """

    def __init__(self, black_seconds: float = 0.0, frozen_seconds: float = 0.0) -> None:
        """Seconds after which black pictures, or the same one, are a broken camera; 0: never."""
        self.suspicion = ""
        self._black_ns = round(black_seconds * SECOND_NS)
        self._frozen_ns = round(frozen_seconds * SECOND_NS)
        self._looked_ns: int | None = None
        self._black_since: int | None = None
        self._same: dict[Size, tuple[int, int]] = {}  # by size: the last picture's sum, and since when it is that
        self._spoiled: tuple[int, int] | None = None  # the first spoiled frame in a row, and the last
        self._probe_size = GLANCE_SIZE
        self._frozen_sum: int | None = None
        self._probing_since: int | None = None
        self._probed_ns = 0

    def opened(self) -> None:
        """The camera was opened anew. What is held against it stands."""
        self._spoiled = self._probing_since = None

    def wants_a_glance(self, now_ns: int) -> bool:
        """Whether none was looked at for so long that one should be drawn for that alone."""
        scrutinised = self._black_ns or self._frozen_ns
        return bool(scrutinised) and (self._looked_ns is None or now_ns - self._looked_ns >= GLANCE_NS)

    def look(self, picture: Picture) -> None:
        """A picture that could be drawn. Raises CameraLost when such pictures have come for too long."""
        self._spoiled = None
        now = picture.captured_ns
        if not (self._black_ns or self._frozen_ns) or (self._looked_ns is not None and now < self._looked_ns + LOOK_NS):
            return
        self._looked_ns = now
        if _black(picture):
            self._same.clear()  # a black picture is no frozen one, and whoever puts up with black puts up with it
            self._look_at_black(picture)
        else:
            self._black_since = None
            self._look_for_change(picture)

    def spoiled(self, error: FrameSpoiled, now_ns: int, patience: float) -> bool:
        """A frame that could not be drawn. True for the first in a row.

        Raises CameraLost when there was no other for `patience` seconds.
        """
        limit = round(patience * SECOND_NS)
        first, last = self._spoiled or (now_ns, now_ns)
        anew = self._spoiled is None or now_ns - last > limit  # nothing was drawn in between: who knows
        if anew:
            first = now_ns
        self._spoiled = (first, now_ns)
        if now_ns - first >= limit:
            self._give_up(f"{error}, and no picture that can be shown for {patience:g} s", GLANCE_SIZE)
        return anew

    def clears(self, draw: Callable[[int, int], Picture], now_ns: int, patience: float) -> bool:
        """Whether a camera under suspicion gives pictures again that show something.

        Raises CameraLost, as before, when it gave none for `patience` seconds of this opening.
        """
        if self._probing_since is None:
            self._probing_since = now_ns
        elif now_ns < self._probed_ns + PROBE_NS:
            return False
        self._probed_ns = now_ns
        if self._shows_something(draw):
            self._forgive()
            return True
        if now_ns - self._probing_since >= patience * SECOND_NS:
            raise CameraLost(self.suspicion)
        return False

    def _look_at_black(self, picture: Picture) -> None:
        now = picture.captured_ns
        self._black_since = now if self._black_since is None else self._black_since
        if self._black_ns and now - self._black_since >= self._black_ns:
            self._give_up(f"black pictures for {self._black_ns / SECOND_NS:g} s", (picture.width, picture.height))

    def _look_for_change(self, picture: Picture) -> None:
        size, now = (picture.width, picture.height), picture.captured_ns
        summed = zlib.crc32(picture.data)
        before, since = self._same.get(size, (None, now))
        if summed != before:
            if size not in self._same and len(self._same) >= SIZES:
                self._same.clear()
            self._same[size] = (summed, now)
        elif self._frozen_ns and now - since >= self._frozen_ns:
            self._frozen_sum = summed
            self._give_up(f"the same picture for {self._frozen_ns / SECOND_NS:g} s", size)

    def _shows_something(self, draw: Callable[[int, int], Picture]) -> bool:
        try:
            picture = draw(*self._probe_size)
        except FrameSpoiled:
            return False
        if self._black_ns and _black(picture):
            return False
        return self._frozen_sum is None or zlib.crc32(picture.data) != self._frozen_sum

    def _give_up(self, why: str, size: Size) -> NoReturn:
        self.suspicion, self._probe_size = why, size
        raise CameraLost(why)

    def _forgive(self) -> None:
        self.suspicion = ""
        self._frozen_sum = self._black_since = self._looked_ns = None
        self._same.clear()


def _black(picture: Picture) -> bool:
    """Dark all over, and without any texture."""
    luma = np.frombuffer(picture.data, np.uint8, picture.width * picture.height)
    some = luma.reshape(picture.height, picture.width)[::STEP, ::STEP]
    brightest = int(some.max())
    return brightest <= DARKEST and brightest - int(some.min()) <= FLATTEST
