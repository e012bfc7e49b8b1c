"""Looking for cameras wherever this machine may have some."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from overshootd.capture.program.picamera2 import LibcameraCamera, libcamera_cameras
from overshootd.capture.users import users_of
from overshootd.capture.v4l2.device import Device
from overshootd.capture.v4l2.find import VideoDevice, video_devices
from overshootd.capture.v4l2.offers import Offer
from overshootd.errors import CameraLost, OvershootdError
from overshootd.inventory.found import FoundCamera, Inventory

PIPELINES = frozenset({"unicam", "rp1-cfe", "bcm2835-isp", "pispbe", "vimc", "rkisp1", "sun6i-csi", "imx7-csi"})
"""Drivers whose nodes give pictures only after libcamera has set up all that lies before them."""

JETSON = "tegra-video"
"""NVIDIA's driver of CSI sensors. Its nodes give raw Bayer pictures; Argus makes them ones to look at."""

PI = "Raspberry Pi"

NO_RIGHT = "this user may not open the cameras: `sudo usermod -aG video $USER`, then log in anew"
NOTHING = (
    "a USB camera: is it plugged in, and does `lsusb` show it? A hub without power of its own may be too weak",
    "a CSI camera: is the ribbon the right way round, with the board switched off when it was put in? On a Pi, "
    "`dtoverlay=imx219` (your sensor's name) in /boot/firmware/config.txt helps where the sensor is not recognised",
    "a network camera needs no finding: write {type: rtsp, url: …}",
)
"""What to check when there is no camera at all."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where cameras are found; each may be another one in tests."""

    video_devices: Callable[[], list[VideoDevice]]
    offers: Callable[[str], list[Offer]]
    users: Callable[[str], list[str]]
    allowed: Callable[[str], bool]
    media: Callable[[], list[str]]
    libcamera: Callable[[], list[LibcameraCamera]]
    board: str


def sources(root: Path = Path("/")) -> Sources:
    """This machine. `root` is where its /dev, /sys and /proc are."""

    def under(path: str) -> str:
        return str(root / path[1:])

    return Sources(
        video_devices=lambda: video_devices(root),
        offers=lambda path: _offers(path, under(path)),
        users=lambda path: users_of(under(path)),
        allowed=lambda path: os.access(under(path), os.R_OK | os.W_OK),
        media=lambda: [f"/dev/{node.name}" for node in sorted((root / "dev").glob("media*"))],
        libcamera=libcamera_cameras,
        board=_board(root),
    )


def look(at: Sources) -> Inventory:
    """All cameras of this machine, in an order that stays, and what a person may do when some are missing."""
    devices = at.video_devices()
    sensors = [device for device in devices if device.driver == JETSON]
    direct = [device for device in devices if device.driver not in PIPELINES and device not in sensors]
    through_libcamera, why_not = _libcamera(at)
    cameras = (
        *(_video(device, at) for device in direct),
        *through_libcamera,
        *(_sensor(number, device, at) for number, device in enumerate(sorted(sensors, key=_node_number))),
    )
    nodes = [*(device.path for device in devices), *at.media()]
    hints = [] if all(map(at.allowed, nodes)) else [NO_RIGHT]
    if why_not and (PI in at.board or not cameras):
        hints.append(f"CSI cameras of a Raspberry Pi cannot be seen: {why_not}")
    return Inventory(cameras, (*hints, *(() if cameras else NOTHING)))


def _board(root: Path) -> str:
    """The model as the firmware names it; empty on a PC."""
    with suppress(OSError):
        return (root / "proc/device-tree/model").read_text(errors="replace")
    return ""


def _offers(name: str, path: str) -> list[Offer]:
    """Raises CameraLost."""
    device = Device(path, name)
    device.open()
    try:
        return device.offers()
    finally:
        device.close()


def _video(device: VideoDevice, at: Sources) -> FoundCamera:
    also = tuple(name for name in (device.path, *device.by_id, *device.by_path) if name != device.stable_name)
    offers, trouble = _asked(device.path, at)
    return FoundCamera(
        "v4l2",
        device.stable_name or device.path,
        title(device.card),
        device.bus,
        device.driver,
        also,
        device.serial,
        offers,
        tuple(at.users(device.path)),
        trouble,
    )


def title(card: str) -> str:
    """A card's name said once: uvcvideo writes the product's before that of its interface, which often is the same, and
    cuts both after 31 characters."""
    product, _, interface = card.partition(": ")
    return product if product.startswith(interface) else card


def _sensor(number: int, device: VideoDevice, at: Sources) -> FoundCamera:
    """Its formats are the sensor's own, which Argus scales from, so they are no choice."""
    users = tuple(at.users(device.path))
    return FoundCamera("argus", number, device.card, device.bus, device.driver, (device.path,), users=users)


def _node_number(device: VideoDevice) -> tuple[int, str]:
    return len(device.path), device.path


def _asked(path: str, at: Sources) -> tuple[tuple[Offer, ...], str | None]:
    try:
        return tuple(at.offers(path)), None
    except CameraLost as error:
        return (), str(error)


def _libcamera(at: Sources) -> tuple[list[FoundCamera], str | None]:
    """Its cameras, without the USB ones, which V4L2 shows; or why there are none to see."""
    try:
        found = at.libcamera()
    except OvershootdError as error:
        return [], str(error)
    return [_csi(camera, at) for camera in found if "/usb" not in camera.id], None


def _csi(camera: LibcameraCamera, at: Sources) -> FoundCamera:
    offers = tuple(Offer("", width, height, (fps,) if fps else ()) for width, height, fps in camera.modes)
    # Its modes are told only to who can open it. Media nodes alone say little: desktops keep them open.
    users = () if offers else tuple(dict.fromkeys(user for node in at.media() for user in at.users(node)))
    also = (f"number {camera.number}",)
    return FoundCamera("picamera2", camera.id, camera.model, "CSI", "libcamera", also, None, offers, users)
