"""What the kernel and udev say of devices that come and go (NETLINK_KOBJECT_UEVENT; libudev's monitor).

The standard library's socket and not pyudev: it would be one more package, around libudev, for two message formats.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass

from overshootd.contracts import Log

KERNEL, UDEV = 1, 2
"""Multicast groups. The kernel's word comes first; udev's when the names in /dev are there."""

NETLINK_KOBJECT_UEVENT = 15
"""linux/netlink.h; the socket module has no name for it."""

SUBSYSTEMS = frozenset({"video4linux", "usb", "media"})
ACTIONS = frozenset({"add", "remove", "bind", "change"})

SETTLE_SECONDS = 0.3
"""A camera that is plugged in says a dozen things at once, and its node can be opened after the last."""

MESSAGE_BYTES = 65536

_UDEV_PREFIX, _UDEV_MAGIC = b"libudev\0", 0xFEEDCAFE
_UDEV_HEADER = struct.Struct("8s4sIII")
"""Prefix, magic (big-endian), size of the header, then offset and length of the properties (the machine's order)."""


@dataclass(frozen=True, slots=True)
class Uevent:
    """Something happened to a device; `device` is its path in sysfs."""

    action: str
    subsystem: str
    device: str


def parse(message: bytes) -> Uevent | None:
    """The kernel's or udev's message, or None for what is neither. Pure."""
    properties = _udev_properties(message) if message.startswith(_UDEV_PREFIX) else _kernel_properties(message)
    if properties is None:
        return None
    pairs = (part.decode(errors="replace").partition("=") for part in properties.split(b"\0"))
    said = {key: value for key, separator, value in pairs if separator}
    if "ACTION" not in said:
        return None
    return Uevent(said["ACTION"], said.get("SUBSYSTEM", ""), said.get("DEVPATH", ""))


def _kernel_properties(message: bytes) -> bytes | None:
    """Behind "add@/devices/…" and a NUL."""
    head, separator, properties = message.partition(b"\0")
    return properties if separator and b"@" in head else None


def _udev_properties(message: bytes) -> bytes | None:
    if len(message) < _UDEV_HEADER.size:
        return None
    _, magic, _, offset, length = _UDEV_HEADER.unpack_from(message)
    if int.from_bytes(magic, "big") != _UDEV_MAGIC or not _UDEV_HEADER.size <= offset <= len(message):
        return None
    return message[offset : offset + length]


def listen() -> socket.socket:
    """A socket that hears of all devices. Raises OSError where a sandbox has no netlink."""
    heard = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT)
    try:
        heard.bind((0, KERNEL | UDEV))
    except OSError:
        heard.close()
        raise
    return heard


class Hotplug:
    """Calls `changed`, in the loop, soon after a device of these subsystems came or went."""

    def __init__(
        self,
        changed: Callable[[], None],
        log: Log,
        *,
        subsystems: Collection[str] = SUBSYSTEMS,
        open_socket: Callable[[], socket.socket] = listen,
    ) -> None:
        self._changed, self._log = changed, log
        self._subsystems, self._open_socket = subsystems, open_socket

    async def run(self) -> None:
        """Until cancelled. Returns, and says so, where nothing is to be heard: lost cameras are then only polled."""
        try:
            with closing(self._open_socket()) as heard:
                while True:
                    await self._happened(heard)
                    await self._settle(heard)
                    self._changed()
        except OSError as error:
            self._log.info(f"the kernel does not tell of new cameras ({error.strerror}): lost ones are tried in turns")

    async def _settle(self, heard: socket.socket) -> None:
        """Read for SETTLE_SECONDS what comes with the first word. Not until it is quiet: some hubs never are."""
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                while True:
                    await self._happened(heard)
        except TimeoutError:
            return

    async def _happened(self, heard: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                message = await loop.sock_recv(heard, MESSAGE_BYTES)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                return  # more was said than fitted into the socket: something happened
            event = parse(message)
            if event and event.subsystem in self._subsystems and event.action in ACTIONS:
                return
