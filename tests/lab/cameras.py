"""The lab's cameras: plugging and pulling them, and reading what the USB camera's picture says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from overshootd.contracts import Picture

BY_ID = Path("/dev/v4l/by-id")
SERIAL, OTHER_SERIAL = "0001", "0002"
VIVID = "platform-vivid.0-video-index0"
VIVID_PATH = f"/dev/v4l/by-path/{VIVID}"
CSI = "platform/vimc.0 Sensor B"

CELLS, BAND = 16, 8
"""The USB camera's frame number: cells from left to right, the most significant first, in the upper 1 / BAND."""

JPEG_LOOP = 32
"""The USB camera encodes so many pictures once and shows them again and again."""


def usb(serial: str = SERIAL) -> str:
    """The USB camera's name in /dev/v4l/by-id."""
    return f"usb-Lab_Lab_USB_Camera_{serial}-video-index0"


def node(serial: str = SERIAL) -> str:
    """The device node that is behind the name now."""
    return (BY_ID / usb(serial)).resolve().name


def plugged(serial: str = SERIAL) -> bool:
    return (BY_ID / usb(serial)).exists()


def plug(serial: str = SERIAL) -> None:
    """Return when the camera's names are there."""
    if not plugged(serial):
        labcam("plug", "usb", serial)


def pull(serial: str = SERIAL) -> None:
    labcam("pull", "usb", serial)


def labcam(*arguments: str) -> None:
    subprocess.run(["labcam", *arguments], check=True, timeout=60)


def shown_number(picture: Picture) -> int:
    """The frame number in a picture of the USB camera."""
    luma = np.frombuffer(picture.data, np.uint8)[: picture.width * picture.height]
    row = luma.reshape(picture.height, picture.width)[picture.height // BAND // 2]
    bits = [int(row[(2 * cell + 1) * picture.width // (2 * CELLS)] > 128) for cell in range(CELLS)]
    return int("".join(map(str, bits)), 2)
