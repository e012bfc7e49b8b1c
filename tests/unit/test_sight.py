"""What a name shows, and when the daemon and a command mean the same by it."""

from __future__ import annotations

import dataclasses

import pytest

from overshootd.config.cameras import Rectangle, TestCamera, View
from overshootd.contracts import CaptureNeed
from overshootd.sight import Sight

MASK = Rectangle(x=0, y=0, width=0.5, height=0.5)


def sight(**changes: object) -> Sight:
    camera = TestCamera(type="test")
    plain = Sight("yard", camera, None, View(), CaptureNeed(1.0, 640, 360), None, lambda width, height: (8, 8))
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def test_the_size_is_the_one_that_was_told_or_else_the_one_that_fits() -> None:
    assert sight(told=(320, 180)).size(640, 360) == (320, 180)
    assert sight().size(640, 360) == (8, 8)


def test_the_same_has_the_same_fingerprint() -> None:
    assert sight().fingerprint == sight().fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"view": View(masks=(MASK,))},
        {"view": View(crop=MASK)},
        {"told": (320, 180)},
        {"camera": TestCamera(type="test", width=640)},
        {"source": "of a"},
    ],
    ids=["masks", "crop", "size", "camera", "source"],
)
def test_what_shows_another_picture_has_another_fingerprint(changes: dict[str, object]) -> None:
    assert sight(**changes).fingerprint != sight().fingerprint
