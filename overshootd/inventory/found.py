"""A camera of this machine, and what to say of it: folded for people, whole for programs, ready to paste. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from overshootd.capture.v4l2.offers import Offer

DEVICE_KEY = {"v4l2": "device", "picamera2": "camera", "argus": "sensor_id"}
"""The key that says which camera is meant, by the type of camera."""

PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@-]*")
"""Text that is the same in YAML without quotes, save words that mean something."""

WORDS = {"true", "false", "null"}


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """What is known of one camera. `device` is its stable name, libcamera's id or the number of its sensor.

    `also` are its other names, `offers` its formats (none when they could not be read), `users` who has it open, and
    `trouble` why it cannot be used now.
    """

    type: str
    device: str | int
    title: str
    bus: str = ""
    driver: str = ""
    also: tuple[str, ...] = ()
    serial: str | None = None
    offers: tuple[Offer, ...] = ()
    users: tuple[str, ...] = ()
    trouble: str | None = None

    @property
    def config(self) -> dict[str, str | int]:
        """What stands under its name in `cameras`."""
        return {"type": self.type, DEVICE_KEY[self.type]: self.device}


@dataclass(frozen=True, slots=True)
class Inventory:
    """All cameras, and what a person may do to see more of them."""

    cameras: tuple[FoundCamera, ...]
    hints: tuple[str, ...] = ()


def named(cameras: Sequence[FoundCamera]) -> dict[str, FoundCamera]:
    """The cameras by names that they may have in the configuration."""
    names: dict[str, FoundCamera] = {}
    for camera in cameras:
        slug = re.sub(r"[^a-z0-9]+", "-", camera.title.lower()).strip("-")[:50].strip("-")
        if not slug or slug.startswith("x-"):  # keys that begin so are notes
            slug = f"camera-{slug}".strip("-")
        free = (slug if number == 1 else f"{slug}-{number}" for number in range(1, len(cameras) + 1))
        names[next(name for name in free if name not in names)] = camera
    return names


def yaml_lines(cameras: dict[str, FoundCamera]) -> str:
    """The map `cameras` of a configuration file."""
    lines = ["cameras:"]
    for name, camera in cameras.items():
        lines += [f"  {_scalar(name)}:", *(f"    {key}: {_scalar(value)}" for key, value in camera.config.items())]
    return "\n".join(lines) + "\n"


def _scalar(value: str | int) -> str:
    """A value in YAML's core schema, on one line."""
    if isinstance(value, int):
        return str(value)
    if PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    return f'"{"".join(map(_escaped, value))}"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def folded(offers: Iterable[Offer]) -> list[tuple[str, str]]:
    """Formats with their sizes and rates, the largest size first; alike ones in one line.

    Such as ("MJPG, H264", "1920x1080, 1280x720 at 30, 15, 5 fps; 640x480 at 60, 30 fps").
    """
    by_format: dict[str, list[Offer]] = {}
    for offer in offers:
        by_format.setdefault(offer.fourcc, []).append(offer)
    by_text: dict[str, list[str]] = {}
    for fourcc, alike in by_format.items():
        by_text.setdefault(_sizes(alike), []).append(fourcc)
    return [(", ".join(filter(None, fourccs)), text) for text, fourccs in by_text.items()]


def _sizes(offers: Sequence[Offer]) -> str:
    ordered = sorted(set(offers), key=lambda offer: (-offer.width * offer.height, -offer.width, offer.rates))
    parts = []
    for rates, alike in groupby(ordered, key=lambda offer: offer.rates):
        sizes = ", ".join(f"{offer.width}x{offer.height}" for offer in alike)
        shown = ", ".join(f"{rate:.4g}" for rate in sorted(rates, reverse=True))
        parts.append(f"{sizes} at {shown} fps" if rates else sizes)
    return "; ".join(parts)


def as_object(name: str, camera: FoundCamera) -> dict[str, Any]:
    """One camera as `--json` gives it."""
    return {
        "name": name,
        "type": camera.type,
        "device": camera.device,
        "title": camera.title,
        "bus": camera.bus,
        "driver": camera.driver,
        "serial": camera.serial,
        "also": list(camera.also),
        "formats": [
            {"format": offer.fourcc, "width": offer.width, "height": offer.height, "fps": list(offer.rates)}
            for offer in camera.offers
        ],
        "users": list(camera.users),
        "trouble": camera.trouble,
        "config": camera.config,
        "yaml": yaml_lines({name: camera}),
    }
