"""An inventory as text for people, and as JSON for programs. Pure."""

from __future__ import annotations

import textwrap
from json import dumps

from overshootd.capture.v4l2.negotiate import KINDS
from overshootd.inventory.found import FoundCamera, Inventory, as_object, folded, named, yaml_lines

WIDTH = 110
"""Columns: long lists of sizes and rates are broken there."""


def text(inventory: Inventory) -> str:
    """Each camera with what it offers, then the lines to paste, then what may be done."""
    names = named(inventory.cameras)
    parts = ["\n".join(_camera(camera)) for camera in inventory.cameras]
    if names:
        parts.append(f"To paste into overshootd.yaml:\n\n{yaml_lines(names).rstrip()}")
    else:
        parts.append("No camera was found. What to check:")
    parts.append(
        "\n".join(textwrap.fill(hint, WIDTH, initial_indent="- ", subsequent_indent="  ") for hint in inventory.hints)
    )
    return "\n\n".join(filter(None, parts)) + "\n"


def json(inventory: Inventory) -> str:
    """One object: `cameras`, each with what is known of it (docs/cameras.md), and `hints`."""
    cameras = [as_object(name, camera) for name, camera in named(inventory.cameras).items()]
    return dumps({"cameras": cameras, "hints": inventory.hints}, indent=2, ensure_ascii=False) + "\n"


def _camera(camera: FoundCamera) -> list[str]:
    about = ", ".join(filter(None, (camera.type, camera.driver, camera.bus)))
    lines = [f"{_plain(camera.title) or 'a camera without a name'} ({_plain(about)})"]
    lines += _entry("name", _plain(str(camera.device)))
    lines += _entry("also", _plain(", ".join((*camera.also, *([f"serial {camera.serial}"] if camera.serial else [])))))
    lines += _formats(camera)
    lines += _entry("used by", _plain(", ".join(camera.users)))
    lines += _entry("trouble", _plain(camera.trouble or ""))
    return lines


def _formats(camera: FoundCamera) -> list[str]:
    """Those that a camera of its type may be set to; of the others their names, which may be many."""
    read = [offer for offer in camera.offers if camera.type != "v4l2" or offer.fourcc in KINDS]
    others = dict.fromkeys(offer.fourcc.strip() for offer in camera.offers if offer not in read)
    lines = [line for formats, sizes in folded(read) for line in _entry(formats or "sizes", _plain(sizes))]
    return lines + _entry("not read here", _plain(", ".join(others)))


def _entry(key: str, value: str) -> list[str]:
    head = f"  {key}: "
    return textwrap.wrap(value, WIDTH, initial_indent=head, subsequent_indent="      ", break_on_hyphens=False)


def _plain(text: str) -> str:
    """A camera's firmware says what it likes; none of it moves a terminal's cursor."""
    return "".join(char if char.isprintable() else "?" for char in text)
