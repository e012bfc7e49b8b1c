"""The lab's cameras: their names, plugging and pulling them."""

from __future__ import annotations

import subprocess
from pathlib import Path

BY_ID = Path("/dev/v4l/by-id")
SERIAL, *OTHERS = [f"{number:04}" for number in range(1, 6)]
VIVID = "platform-vivid.0-video-index0"
VIVID_PATH = f"/dev/v4l/by-path/{VIVID}"
CSI = "platform/vimc.0 Sensor B"


def usb(serial: str = SERIAL) -> str:
    """The USB camera's name in /dev/v4l/by-id."""
    return f"usb-Lab_Lab_USB_Camera_{serial}-video-index0"


def node(serial: str = SERIAL) -> str:
    """The device node that is behind the name now."""
    return (BY_ID / usb(serial)).resolve().name


def plugged(serial: str = SERIAL) -> bool:
    return (BY_ID / usb(serial)).exists()


def plug(serial: str = SERIAL) -> None:
    """Return when the camera's names are there; one that is on the bus without them is pulled first."""
    if not plugged(serial):
        subprocess.run(["labcam", "pull", "usb", serial], check=False, capture_output=True, timeout=60)
        labcam("plug", "usb", serial)


def pull(serial: str = SERIAL) -> None:
    labcam("pull", "usb", serial)


def unbind(serial: str = SERIAL) -> None:
    """Let the driver go of the camera: its nodes are gone, and it stays on the bus."""
    interface = Path("/sys/class/video4linux", node(serial), "device").resolve().name
    Path("/sys/bus/usb/drivers/uvcvideo/unbind").write_text(interface)


def occupy(name: str) -> None:
    """Plug other cameras in until one of them has the node of this name."""
    for serial in OTHERS:
        if Path("/dev", name).exists():
            return
        plug(serial)
    assert Path("/dev", name).exists(), f"{name} is still free"


def labcam(*arguments: str) -> None:
    subprocess.run(["labcam", *arguments], check=True, timeout=60)
