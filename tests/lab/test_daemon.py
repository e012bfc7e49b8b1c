"""The daemon end to end on real devices: its camera is pulled while it streams, comes back, and a neighbour notices
nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.daemon_bed import Daemon, Json, Simulator, config, daemon, eventually, simulator
from tests.lab.cameras import OTHER_SERIAL, VIVID, node, plug, pull, usb

ADDRESS = "10.0.9.15"
"""Where media goes: an address of the guest's own (guest-setup.sh of the lab), for WebRTC cannot use loopback."""

BOUND = 90.0
"""Seconds in a guest without hardware virtualization: to import the libraries, join a room and get a first result."""

SLOW = {"processing": {"interval_seconds": 1.0}}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with simulator(tmp_path, "--advertise", ADDRESS) as running:
        yield running


def watching(folder: Path, gateway: Simulator) -> Json:
    """Two streams: `yard` sees the USB camera, `hall` vivid."""
    cameras = {
        "webcam": {"type": "v4l2", "device": usb(), "width": 320, "height": 240},
        "pattern": {"type": "v4l2", "device": VIVID, "width": 320, "height": 180},
    }
    streams = {"yard": SLOW | {"camera": "webcam"}, "hall": SLOW | {"camera": "pattern"}}
    return config(folder, gateway.base_url, **streams) | {"cameras": cameras}


@pytest.mark.usefixtures("usb_camera")
async def test_an_unplugged_camera_comes_back_under_the_same_yaml_and_the_records_say_so(
    gateway: Simulator, tmp_path: Path
) -> None:
    async with daemon(tmp_path, watching(tmp_path, gateway)) as running:
        await running.more_results(3, "yard", BOUND)
        await running.more_results(3, "hall", BOUND)
        before = node()
        await asyncio.to_thread(pull)
        await eventually(lambda: "lost" in states(running, "yard"), "a record of the loss")
        await asyncio.to_thread(plug, OTHER_SERIAL)
        await running.more_results(5, "hall", BOUND)
        await asyncio.to_thread(plug)
        assert node() != before, "the test wants it to come back under another number"
        await running.more_results(3, "yard", BOUND)

        (gap,) = running.records("gap", "yard")
        assert usb() in gap["why"]
        assert states(running, "hall") == ["live"]
        assert not running.records("gap", "hall")
        assert await running.end() == 0


def states(running: Daemon, stream: str) -> list[str]:
    return [record["state"] for record in running.records("state", stream)]
