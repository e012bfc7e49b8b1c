"""Messages of the kernel and of udev, as they come and as nobody expects them."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from overshootd.capture.hotplug import Uevent, parse

KERNEL = (
    b"add@/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/video4linux/video0\0ACTION=add\0"
    b"DEVPATH=/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/video4linux/video0\0SUBSYSTEM=video4linux\0"
    b"MAJOR=81\0MINOR=0\0DEVNAME=video0\0SEQNUM=4242\0"
)
VIDEO = Uevent("add", "video4linux", "/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/video4linux/video0")

RECORDED = (
    b"libudev\0\xfe\xed\xca\xfe(\0\0\0(\0\0\0\xba\0\0\0\xc3e\xcd\x83"
    + bytes(12)
    + b"UDEV_DATABASE_VERSION=1\0ACTION=change\0"
    b"DEVPATH=/devices/virtual/mem/null\0SUBSYSTEM=mem\0SYNTH_UUID=0\0DEVNAME=/dev/null\0DEVMODE=0666\0SEQNUM=1665\0"
    b"MAJOR=1\0MINOR=3\0USEC_INITIALIZED=2454485426\0"
)
"""What systemd-udevd 252 sent of a change of /dev/null."""

text = st.text(st.characters(exclude_characters="\0=", codec="utf-8"), min_size=1)


def from_udev(properties: bytes, magic: int = 0xFEEDCAFE, offset: int = 40) -> bytes:
    """As libudev sends it: a header of 40 bytes, whose rest are filters, and the properties."""
    head = b"libudev\0" + struct.pack(">I", magic) + struct.pack("=III", 40, offset, len(properties))
    return head.ljust(40, b"\1") + properties


def test_the_kernels_message_is_read() -> None:
    assert parse(KERNEL) == VIDEO


def test_udevs_message_is_read() -> None:
    assert parse(from_udev(KERNEL.partition(b"\0")[2])) == VIDEO


def test_what_udev_really_sends_is_read() -> None:
    assert parse(RECORDED) == Uevent("change", "mem", "/devices/virtual/mem/null")


def test_another_magic_number_is_another_format() -> None:
    assert parse(from_udev(KERNEL.partition(b"\0")[2], magic=0xCAFEBABE)) is None


def test_an_offset_beyond_the_message_is_no_message() -> None:
    assert parse(from_udev(b"ACTION=add\0", offset=4000)) is None


@given(text, text, text)
def test_both_say_the_same(action: str, subsystem: str, device: str) -> None:
    properties = f"ACTION={action}\0DEVPATH={device}\0SUBSYSTEM={subsystem}\0".encode()
    kernel = f"{action}@{device}".encode() + b"\0" + properties
    assert parse(kernel) == parse(from_udev(properties)) == Uevent(action, subsystem, device)


@given(st.binary() | st.binary().map(lambda rest: b"libudev\0" + rest) | st.binary().map(from_udev))
def test_nothing_that_arrives_is_an_error(message: bytes) -> None:
    assert parse(message) is None or isinstance(parse(message), Uevent)


@given(st.integers(0, len(KERNEL)))
def test_a_message_that_was_cut_says_what_it_can(length: int) -> None:
    event = parse(KERNEL[:length])
    assert event is None or VIDEO.action.startswith(event.action)
