"""What the board tells of itself: how hot it is, whether its power supply suffices, and what room is left (Linux).

Undervoltage is what nobody sees: the picture stutters, the card gets broken, and the cause is a thin cable. A Raspberry
Pi tells of it in two ways, and other boards in none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ZONES = "sys/class/thermal/thermal_zone*"
CPU_WORDS = ("cpu", "soc", "pkg", "core")
"""In the `type` of the zones that matter: a wireless chip or a battery has one too, and is another matter."""

THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
"""The firmware's bits in hexadecimal (Raspberry Pi's vcgencmd get_throttled): 0 is undervoltage now, 16 since boot."""
NOW, SINCE_BOOT = 1 << 0, 1 << 16

MONITORS = "sys/class/hwmon/hwmon*"
MONITOR_NAME = "rpi_volt"
ALARM = "in0_lcrit_alarm"
"""The kernel's own driver for the same (raspberrypi-hwmon): 1 while the voltage is too low."""

HOTTEST, COLDEST = 200.0, -60.0
"""Degrees Celsius. What a sensor says beyond is that it is broken."""


@dataclass(frozen=True, slots=True)
class Board:
    """Degrees Celsius, whether the supply's voltage is, or was since boot, too low, and the bytes that are free where
    the state is kept; None is what nobody tells."""

    temperature: float | None = None
    undervoltage: bool | None = None
    undervoltage_since_boot: bool | None = None
    disk_free_bytes: int | None = None


def board(state_dir: Path, root: Path = Path("/")) -> Board:
    """As it is now. Takes a millisecond, unless a disk hangs: to be called in its thread. `root` is where `sys` is."""
    bits = throttled(_read(root / THROTTLED))
    now, since = (_alarm(root), None) if bits is None else (bool(bits & NOW), bool(bits & SINCE_BOOT))
    return Board(_temperature(root), now, since, _free(state_dir))


def throttled(text: str) -> int | None:
    """The firmware's bits. Pure."""
    try:
        return int(text, 16)
    except ValueError:
        return None


def degrees(text: str) -> float | None:
    """Of a zone's `temp`, which is in thousandths. Pure."""
    try:
        temperature = int(text) / 1000
    except ValueError:
        return None
    return temperature if COLDEST <= temperature <= HOTTEST else None


def _temperature(root: Path) -> float | None:
    """Of the processor, the hottest where it has several; else of the hottest of all."""
    zones = [(_read(zone / "type"), degrees(_read(zone / "temp"))) for zone in sorted(root.glob(ZONES))]
    known = [(kind.lower(), temperature) for kind, temperature in zones if temperature is not None]
    cpus = [temperature for kind, temperature in known if any(word in kind for word in CPU_WORDS)]
    return max(cpus or [temperature for _, temperature in known], default=None)


def _alarm(root: Path) -> bool | None:
    return next((text == "1" for text in _alarms(root) if text in ("0", "1")), None)


def _alarms(root: Path) -> Iterator[str]:
    for monitor in root.glob(MONITORS):
        if _read(monitor / "name") == MONITOR_NAME:
            yield _read(monitor / ALARM)


def _free(state_dir: Path) -> int | None:
    """For whoever is not root: ext4 keeps 5 % from everybody else."""
    try:
        room = os.statvfs(state_dir)
    except OSError:
        return None
    return room.f_bavail * room.f_frsize


def _read(path: Path) -> str:
    """What a file says; empty where there is none, or where it cannot say (a sensor that sleeps gives EAGAIN)."""
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
