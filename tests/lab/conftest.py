"""Tests for the device lab alone: they plug and pull cameras as root (docs/lab.md). A normal run collects none."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab.cameras import OTHER_SERIAL, plug, plugged, pull

if os.environ.get("OVERSHOOTD_LAB") != "1":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def usb_camera() -> Iterator[None]:
    """The USB camera is plugged in, and will be again after the test; a second one will not."""
    plug()
    yield
    if plugged(OTHER_SERIAL):
        pull(OTHER_SERIAL)
    plug()
