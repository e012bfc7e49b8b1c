"""Which video devices there are, and which of them is meant by a name that survives a reboot and a replug.

/dev/videoN is given out in the order of discovery. udev's by-id names follow the camera, but two of the same model
without a serial number, or two sensors in one housing, fight for one name; its by-path names follow the socket.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from overshootd.capture.v4l2.device import Abilities, identify
from overshootd.errors import CameraLost

BY_ID, BY_PATH = "/dev/v4l/by-id/", "/dev/v4l/by-path/"


@dataclass(frozen=True)
class VideoDevice:
    """A video node. `by_id` and `by_path` are names without their directories, `usb` is the name of its USB device in
    sysfs, such as "1-1.2".

    `seat` is its device's path in sysfs: the socket, in the kernel's words. `identity` is what udev makes the by-id
    name of, and `contested` says that other nodes have the same: the name is the one's today, the other's tomorrow.
    """

    path: str
    card: str
    driver: str = ""
    bus: str = ""
    by_id: tuple[str, ...] = ()
    by_path: tuple[str, ...] = ()
    serial: str | None = None
    usb: str | None = None
    seat: str = ""
    identity: tuple[str, ...] = ()
    contested: bool = False

    @property
    def stable_name(self) -> str:
        """The name to configure it by."""
        if self.by_id and not self.contested:
            return self.by_id[0]
        return self.by_path[0] if self.by_path else self.card

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are its own for sure, as long as it stays in its socket."""
        return (self.path, *self.by_path, *(BY_PATH + name for name in self.by_path))

    @property
    def place(self) -> tuple[str, str, int, str]:
        """Sorts devices in the same order after every boot, unless they are moved."""
        return self.by_path[0] if self.by_path else "", self.seat, len(self.path), self.path


def video_devices(root: Path = Path("/")) -> list[VideoDevice]:
    """The cameras, in the order of their places. Nodes for metadata, for output, and of encoders are none."""
    return [device for device, abilities in _examined(_seen(root), root) if abilities.camera]


def find(wanted: str, root: Path = Path("/")) -> tuple[VideoDevice, str | None]:
    """The camera of this name, and what is to be said about the choice, if anything is. Raises CameraLost.

    Nothing is opened but what may be meant: another camera's driver may hang.
    """
    seen = _seen(root)
    named = wanted if wanted.startswith("/dev/v4l/") else _without_links(wanted, root)
    likely = _meant(named, seen) or ([] if named.startswith("/") or "-video-index" in named else seen)
    # What somebody names by its node they may know to be ready, whatever it says of itself.
    examined = {node.path: (node, abilities) for node, abilities in _examined(likely, root)}
    nodes = [examined.get(node.path, (node, _guessed(node))) for node in seen]
    known = [node for node, abilities in nodes if abilities.camera or named in node.names]
    return choose(named, known), ambiguity(named, known)


def choose(wanted: str, devices: Sequence[VideoDevice]) -> VideoDevice:
    """The one of this by-id or by-path name (with its directory or without), node, serial number or card. Pure.

    Where several are meant, always the same: the first by its place. Raises CameraLost, which says what there is.
    """
    if meant := _meant(wanted, devices):
        return meant[0]
    there = ", ".join(device.stable_name for device in _sorted(devices))
    raise CameraLost(f"camera {wanted} is not there, but {there or 'none'}")


def ambiguity(wanted: str, devices: Sequence[VideoDevice]) -> str | None:
    """What to say when `wanted` means more than one device. Pure."""
    meant = _meant(wanted, devices)
    if len(meant) < 2:
        return None
    names = ", ".join((device.by_path or (device.path,))[0] for device in meant)
    return f"{wanted} may be any of {len(meant)} cameras, and the first is taken; these names are for sure: {names}"


def _meant(wanted: str, devices: Sequence[VideoDevice]) -> list[VideoDevice]:
    """All that the most exact reading of `wanted` means, in the order of their places."""
    for reading in _readings(wanted, devices):
        if meant := [device for device in devices if reading(device)]:
            return _sorted(meant)
    return []


def _readings(wanted: str, devices: Sequence[VideoDevice]) -> tuple[Callable[[VideoDevice], bool], ...]:
    bearers = {device.identity or device.names for device in devices if wanted.removeprefix(BY_ID) in device.by_id}
    return (
        lambda device: wanted in device.names,
        # Whoever bears a contested name today: all that might are meant, so that the same one is chosen tomorrow.
        lambda device: (device.identity or device.names) in bearers,
        lambda device: wanted == device.serial,
        lambda device: wanted.lower() == device.card.lower(),
    )


def _sorted(devices: Sequence[VideoDevice]) -> list[VideoDevice]:
    return sorted(devices, key=lambda device: device.place)


def _without_links(wanted: str, root: Path) -> str:
    """A user's own udev rule may have made a link."""
    if not wanted.startswith("/"):
        return wanted
    return "/" + os.path.relpath(os.path.realpath(root / wanted[1:]), os.path.realpath(root))


def _seen(root: Path) -> list[VideoDevice]:
    """All video nodes, cameras or not, as sysfs and udev know them."""
    by_id, by_path = _links(root, BY_ID), _links(root, BY_PATH)
    entries = (root / "sys/class/video4linux").glob("video*")
    nodes = [_node(entry, by_id.get(entry.name, ()), by_path.get(entry.name, ())) for entry in entries]
    claims = Counter(node.identity for node in nodes if node.identity)
    return _sorted([replace(node, contested=claims[node.identity] > 1) for node in nodes])


def _links(root: Path, folder: str) -> dict[str, tuple[str, ...]]:
    """udev's names by the nodes that they point to."""
    names: dict[str, tuple[str, ...]] = {}
    for link in sorted((root / folder[1:]).glob("*")):
        node = os.path.basename(os.path.realpath(link))
        names[node] = (*names.get(node, ()), link.name)
    return names


def _node(entry: Path, by_id: tuple[str, ...], by_path: tuple[str, ...]) -> VideoDevice:
    seat = Path(os.path.realpath(entry / "device"))
    driver = os.path.basename(os.path.realpath(seat / "driver"))
    usb = next((folder for folder in seat.parents[:2] if (folder / "idVendor").exists()), None)
    found = VideoDevice(f"/dev/{entry.name}", _read(entry / "name"), driver, seat.name, by_id, by_path, seat=str(seat))
    if usb is None:
        return found
    serial = _read(usb / "serial")
    identity = (_read(usb / "idVendor"), _read(usb / "idProduct"), serial, _read(entry / "index"))
    return replace(found, usb=usb.name, serial=serial or None, identity=identity)


def _examined(nodes: Sequence[VideoDevice], root: Path) -> list[tuple[VideoDevice, Abilities]]:
    """The nodes with what their drivers say of them; what may be guessed, where one cannot be opened."""
    found = []
    for node in nodes:
        try:
            abilities = identify(str(root / node.path[1:]))
        except CameraLost:
            abilities = _guessed(node)
        found.append((replace(node, card=abilities.card, driver=abilities.driver, bus=abilities.bus), abilities))
    return found


def _guessed(node: VideoDevice) -> Abilities:
    index = int(node.identity[-1] or 0) if node.identity else 0
    # uvcvideo makes pairs: a node for video, and one for its metadata.
    obstacle = "cannot be opened" if node.driver == "uvcvideo" and index % 2 else None
    return Abilities(node.driver, node.card, node.bus, obstacle)


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:  # not every device has every attribute, and this one may be gone
        return ""
