"""linuxpy's V4L2 in our words: one open video device, plain values in and out, its errors ours.

Of linuxpy the kernel's structures are used, and single calls. Its own Device waits without a bound for a frame, and
its enumerations end with an exception at a format or an interval that it does not know.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from mmap import mmap
from typing import Any

from linuxpy.ioctl import ioctl
from linuxpy.video import device as v4l2
from linuxpy.video import raw

from overshootd.capture.users import users_of
from overshootd.capture.v4l2.controls import Control, Kind, shown_name
from overshootd.capture.v4l2.offers import Offer, Span, rates_within, sizes_within
from overshootd.errors import CameraBusy, CameraLost, Permanent

CAPTURE, MMAP = raw.BufType.VIDEO_CAPTURE, raw.Memory.MMAP
BUFFERS = 4
"""One that is being looked at, one that is being filled, and two for when the other threads have the CPU."""

PROCESSORS = frozenset({"bcm2835-isp", "pispbe"})
"""Drivers whose capture nodes give what was put into their output nodes: a Pi's image processors."""

MENU_ENTRIES = 256
"""Asked for at most: a driver may claim any range."""

KINDS = {
    raw.CtrlType.INTEGER: Kind.INTEGER,
    raw.CtrlType.INTEGER64: Kind.INTEGER,
    raw.CtrlType.BITMASK: Kind.INTEGER,
    raw.CtrlType.BOOLEAN: Kind.BOOLEAN,
    raw.CtrlType.MENU: Kind.MENU,
    raw.CtrlType.INTEGER_MENU: Kind.MENU,
    raw.CtrlType.BUTTON: Kind.BUTTON,
}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a node says of itself. `obstacle` is why no pictures can be had of it, as the end of a sentence.

    `wired`: whether it gives pictures only once the media controller has wired it, which is what libcamera does.
    """

    driver: str
    card: str
    bus: str
    obstacle: str | None = None
    wired: bool = False

    @property
    def camera(self) -> bool:
        return self.obstacle is None and not self.wired


@dataclass(frozen=True, slots=True)
class Given:
    """The format that the driver really set. `stride`: bytes from row to row of the first plane; 0 when compressed."""

    fourcc: str
    width: int
    height: int
    stride: int


@dataclass(frozen=True, slots=True)
class Filled:
    """A buffer that the driver is done with: `size` bytes, at `stamp_ns` by the monotonic clock if it says so."""

    index: int
    size: int
    stamp_ns: int | None
    damaged: bool


def identify(path: str) -> Abilities:
    """What the node at this path is. Raises CameraLost when it cannot be opened."""
    device = Device(path, path)
    device.open()
    try:
        return device.abilities()
    finally:
        device.close()


class Device:
    """One open of a node, for one thread. Raises CameraLost where nothing else is said; its texts begin with `name`."""

    def __init__(self, path: str, name: str) -> None:
        self._path, self._name = path, name
        self._fd = -1
        self._maps: list[mmap] = []
        self._poll = select.poll()

    def open(self) -> None:
        with self._words("cannot be opened"):
            self._fd = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            self._poll.register(self._fd, select.POLLIN)

    def abilities(self) -> Abilities:
        with self._words("does not say what it is"):
            caps = v4l2.read_capabilities(self._fd)
        mine = caps.device_caps if caps.capabilities & raw.Capability.DEVICE_CAPS else caps.capabilities
        driver, card, bus = (_text(field) for field in (caps.driver, caps.card, caps.bus_info))
        return Abilities(driver, card, bus, _obstacle(mine, driver), bool(mine & raw.Capability.IO_MC))

    def offers(self, sizes: Iterable[tuple[int, int]] = (), rates: Iterable[float] = ()) -> list[Offer]:
        """All formats; where any size or rate of a range can be had, `sizes` and `rates` and the usual ones."""
        wanted, asked = list(sizes), list(rates)
        with self._words("does not say what it offers"):
            description = raw.v4l2_fmtdesc(type=CAPTURE)
            codes = [entry.pixelformat for entry in v4l2.iter_read(self._fd, raw.IOC.ENUM_FMT, description)]
            return [
                Offer(_fourcc(code), width, height, tuple(sorted(set(self._rates(code, width, height, asked)))))
                for code in codes
                for width, height in self._sizes(code, wanted)
            ]

    def set_format(self, fourcc: str, width: int, height: int) -> Given:
        """What the driver made of it: a size that it has not becomes the nearest that it has."""
        with self._words(f"does not take {fourcc} {width}x{height}"):
            given = v4l2.set_format(self._fd, CAPTURE, width, height, fourcc).fmt.pix
        if _fourcc(given.pixelformat) != fourcc:
            raise CameraLost(f"{self._name} offered {fourcc}, and gives {_fourcc(given.pixelformat)}")
        return Given(fourcc, given.width, given.height, given.bytesperline)

    def set_rate(self, fps: float) -> float | None:
        """Frames per second that the driver made of it, or None when it has no say."""
        interval = 1 / Fraction(fps).limit_denominator(1001)  # 30000/1001 and 15/2 among them
        wanted = raw.v4l2_streamparm(type=CAPTURE)
        frame = wanted.parm.capture.timeperframe
        frame.numerator, frame.denominator = interval.numerator, interval.denominator
        try:
            ioctl(self._fd, raw.IOC.S_PARM, wanted)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL):
                return None
            raise self._lost(f"does not take {fps:g} fps", error) from error
        return frame.denominator / frame.numerator if frame.numerator and frame.denominator else None

    def controls(self) -> list[Control]:
        """Those that it has. A camera whose firmware fails at one is still a camera: the list ends there."""
        found: list[Control] = []
        with suppress(OSError):
            for info in v4l2.iter_read_controls(self._fd):
                if info.type != raw.CtrlType.CTRL_CLASS and not info.flags & raw.ControlFlag.DISABLED:
                    found.append(self._control(info))
        return found

    def set_control(self, control: Control, value: int) -> None:
        """Raises Permanent too, when the camera refuses the value."""
        # All of them as 64 bits, whose lower half is what the kernel takes for the others.
        wanted = raw.v4l2_query_ext_ctrl(id=control.id, type=raw.CtrlType.INTEGER64)
        try:
            v4l2.set_controls_values(self._fd, [(wanted, value)])
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                raise Permanent(
                    f"{self._name}: the control {control.name} cannot be set while another, such as an automatic, "
                    "decides about it; set that one before it"
                ) from error
            if error.errno in (errno.EINVAL, errno.ERANGE):
                raise Permanent(
                    f"{self._name} refuses {value} for the control {control.name}, which takes {control.takes}"
                ) from error
            raise self._lost(f"does not set its control {control.name}", error) from error

    def value(self, control: Control) -> int | None:
        """What it is set to, or None when that cannot be read."""
        wanted = raw.v4l2_query_ext_ctrl(id=control.id, type=raw.CtrlType.INTEGER64)
        try:
            found = int(v4l2.get_controls_values(self._fd, [wanted])[0])
        except OSError:
            return None
        return found if control.wide else (found & 0xFFFFFFFF) - ((found & 0x80000000) << 1)

    def start(self) -> None:
        """Take buffers and begin to capture."""
        with self._words("does not start"):
            count = v4l2.request_buffers(self._fd, CAPTURE, MMAP, BUFFERS).count
            for index in range(count):
                self._maps.append(v4l2.mmap_from_buffer(self._fd, v4l2.query_buffer(self._fd, CAPTURE, MMAP, index)))
                v4l2.enqueue_buffer(self._fd, CAPTURE, MMAP, 0, index)
            v4l2.stream_on(self._fd, CAPTURE)

    def take(self, timeout: float) -> Filled | None:
        """The oldest buffer that is filled, or None when none was within `timeout` seconds. It is then the caller's."""
        ready = self._poll.poll(max(timeout, 0) * 1000)
        if not ready:
            return None
        try:
            buffer = v4l2.dequeue_buffer(self._fd, CAPTURE, MMAP)
        except OSError as error:
            if error.errno == errno.EAGAIN and ready[0][1] & select.POLLIN:
                return None
            if error.errno == errno.EINVAL:  # a camera that is pulled says so as often as ENODEV
                raise CameraLost(f"{self._name} was unplugged, or stopped by its driver") from error
            raise self._lost("gives no more frames", error) from error
        flags = buffer.flags
        monotonic = flags & raw.BufferFlag.TIMESTAMP_MASK == raw.BufferFlag.TIMESTAMP_MONOTONIC
        stamp_ns = buffer.timestamp.secs * 1_000_000_000 + buffer.timestamp.usecs * 1000
        damaged = bool(flags & raw.BufferFlag.ERROR)
        return Filled(buffer.index, buffer.bytesused, stamp_ns if monotonic else None, damaged)

    def copy(self, filled: Filled) -> bytes:
        """What is in a buffer that was taken and not given back."""
        return self._maps[filled.index][: filled.size]

    def give_back(self, filled: Filled) -> None:
        """Let the driver fill it again."""
        with self._words("takes no buffer back"):
            v4l2.enqueue_buffer(self._fd, CAPTURE, MMAP, 0, filled.index)

    def close(self) -> None:
        """Idempotent."""
        if self._fd < 0:
            return
        # A device that is gone has let go of everything by itself, and says so by an error at each of these.
        if self._maps:
            with suppress(OSError):
                v4l2.stream_off(self._fd, CAPTURE)
        for memory in self._maps:
            memory.close()
        self._maps.clear()
        with suppress(OSError):
            os.close(self._fd)  # frees the buffers too
        self._fd = -1

    def _sizes(self, code: int, wanted: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        for found in v4l2.iter_read(self._fd, raw.IOC.ENUM_FRAMESIZES, raw.v4l2_frmsizeenum(pixel_format=code)):
            if found.type == raw.Frmsizetypes.DISCRETE:
                yield found.discrete.width, found.discrete.height
            else:
                span = found.stepwise
                width = Span(span.min_width, span.max_width, span.step_width)
                height = Span(span.min_height, span.max_height, span.step_height)
                yield from sizes_within(width, height, wanted)
                return

    def _rates(self, code: int, width: int, height: int, wanted: list[float]) -> Iterator[float]:
        asked = raw.v4l2_frmivalenum(pixel_format=code, width=width, height=height)
        for found in v4l2.iter_read(self._fd, raw.IOC.ENUM_FRAMEINTERVALS, asked):
            if found.type == raw.Frmivaltypes.DISCRETE:
                yield from _frequency(found.discrete)
            else:
                ends = (*_frequency(found.stepwise.max), *_frequency(found.stepwise.min))
                if len(ends) == 2:
                    yield from rates_within(*ends, wanted)
                return

    def _control(self, info: Any) -> Control:
        kind = Kind.OTHER if info.flags & raw.ControlFlag.HAS_PAYLOAD else KINDS.get(info.type, Kind.OTHER)
        return Control(
            info.id, shown_name(_text(info.name)), kind, info.minimum, info.maximum, info.step, info.default_value,
            writable=not info.flags & raw.ControlFlag.READ_ONLY and kind is not Kind.OTHER,
            wide=info.type == raw.CtrlType.INTEGER64,
            entries=dict(self._entries(info)) if kind is Kind.MENU else {},
        )  # fmt: skip

    def _entries(self, info: Any) -> Iterator[tuple[int, str]]:
        last = min(info.maximum, info.minimum + MENU_ENTRIES)
        asked = raw.v4l2_querymenu(id=info.id)
        numbered = v4l2.iter_read(self._fd, raw.IOC.QUERYMENU, asked, info.minimum, last + 1, ignore_einval=True)
        for entry in numbered:
            yield entry.index, str(entry.value) if info.type == raw.CtrlType.INTEGER_MENU else _text(entry.name)

    @contextmanager
    def _words(self, failing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._lost(failing, error) from error

    def _lost(self, failing: str, error: OSError) -> CameraLost:
        match error.errno:
            case errno.EBUSY:
                unseen = (
                    f"another process (as root, `fuser -v {self._path}` says which), or by another camera of this file"
                )
                users = ", ".join(users_of(self._path)) or unseen
                return CameraBusy(f"{self._name} is in use by {users}")
            case errno.ENODEV | errno.ENXIO | errno.ENOENT:
                return CameraLost(f"{self._name} was unplugged")
            case errno.EACCES | errno.EPERM:
                return CameraLost(
                    f"{self._name} is not ours to open; add the daemon's user to the group of {self._path}"
                )
            case errno.ENOSPC:
                return CameraLost(
                    f"{self._name}: its USB bus has no bandwidth left; choose a smaller size, a lower rate or format: "
                    "mjpeg, or plug it in elsewhere"
                )
            case errno.EPIPE:
                return CameraLost(
                    f"{self._name} is not connected to its sensor; that is libcamera's to do (type: picamera2)"
                )
            case errno.ENOTTY:
                return CameraLost(f"{self._name} is no video device")
        return CameraLost(f"{self._name} {failing}: {error.strerror or error}")


def _obstacle(caps: int, driver: str) -> str | None:
    has = raw.Capability
    if caps & (has.VIDEO_M2M | has.VIDEO_M2M_MPLANE):
        return "encodes, decodes or scales, but sees nothing"
    if driver in PROCESSORS:
        return "processes pictures, but sees nothing"
    if not caps & has.VIDEO_CAPTURE:
        if caps & has.VIDEO_CAPTURE_MPLANE:
            return "speaks only the multiplanar part of V4L2, which is not read here; try type: picamera2 or command"
        return "gives metadata, no pictures" if caps & has.META_CAPTURE else "gives no pictures"
    return None if caps & has.STREAMING else "cannot stream into memory"


def _frequency(interval: Any) -> tuple[float, ...]:
    """Frames per second; nothing when the driver gives a zero."""
    return (interval.denominator / interval.numerator,) if interval.numerator and interval.denominator else ()


def _fourcc(code: int) -> str:
    # The topmost bit says that it is big-endian.
    return (code & 0x7FFFFFFF).to_bytes(4, "little").decode("ascii", errors="replace")


def _text(field: bytes) -> str:
    return field.decode("utf-8", errors="replace").strip()
