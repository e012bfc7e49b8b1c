"""What the board tells of itself: how hot it is, and whether its power supply suffices (Linux' sysfs).

Undervoltage is what nobody sees: the picture stutters, the card gets broken, and the cause is a thin cable. A Raspberry
Pi tells of it in two ways, and other boards in none.
"""

from __future__ import annotations

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
    """Degrees Celsius, and whether the supply's voltage is, or was since boot, too low; None is what nobody tells."""

    temperature: float | None = None
    undervoltage: bool | None = None
    undervoltage_since_boot: bool | None = None


def board(root: Path = Path("/")) -> Board:
    """As it is now; takes well under a millisecond. `root` is where `sys` is."""
    bits = throttled(_read(root / THROTTLED))
    if bits is None:
        return Board(_temperature(root), _alarm(root))
    return Board(_temperature(root), bool(bits & NOW), bool(bits & SINCE_BOOT))


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


def _read(path: Path) -> str:
    """What a file says; empty where there is none, or where it cannot say (a sensor that sleeps gives EAGAIN)."""
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
