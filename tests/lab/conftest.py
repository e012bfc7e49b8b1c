"""Tests for the device lab alone: they plug and pull cameras as root (docs/lab.md). A normal run collects none."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.daemon_bed import Simulator, simulator
from tests.lab.cameras import OTHERS, plug, plugged, pull

if os.environ.get("OVERSHOOTD_LAB") != "1":
    collect_ignore_glob = ["test_*.py"]

ADDRESS = "10.0.9.15"
"""Where media goes: an address of the guest's own (guest-setup.sh of the lab), for WebRTC cannot use loopback."""


@pytest.fixture
def usb_camera() -> Iterator[None]:
    """The USB camera is plugged in, and will be again after the test; others will not."""
    plug()
    yield
    for serial in filter(plugged, OTHERS):
        pull(serial)
    plug()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with simulator(tmp_path, "--advertise", ADDRESS) as running:
        yield running
