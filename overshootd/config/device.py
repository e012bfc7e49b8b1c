"""What this device is called when nobody named it."""

from __future__ import annotations

import hashlib
import hmac
import re
from contextlib import suppress
from pathlib import Path

STOCK = {
    *("localhost", "linux", "unknown", "debian", "ubuntu", "raspbian", "armbian", "dietpi", "buildroot"),
    *("raspberrypi", "orangepi", "rockpi", "radxa", "jetson", "nvidia", "nvidia-desktop", "tegra-ubuntu"),
}
"""Host names that every second device has."""


def device_name(hostname: str, machine_id: str) -> str:
    """The host name, with a suffix of its own when it is a stock name.

    The suffix is derived from machine-id, which itself is not shown (machine-id(5)).
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", hostname.partition(".")[0]).strip("-_.")[:50] or "localhost"
    if name.lower() not in STOCK or not machine_id:
        return name
    suffix = hmac.digest(machine_id.strip().encode(), b"overshootd device name", hashlib.sha256).hex()[:6]
    return f"{name}-{suffix}"


def machine_id() -> str:
    """What machine-id(5) says; empty where there is none."""
    with suppress(OSError):
        return Path("/etc/machine-id").read_text(encoding="ascii", errors="replace")
    return ""
