"""The daemon end to end on real devices: its camera is pulled while it streams, comes back, and a neighbour notices
nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.integration.daemon_bed import Daemon, Json, Simulator, config, daemon, eventually
from tests.lab.cameras import CSI, VIVID, node, occupy, plug, pull, usb

BOUND = 90.0
"""Seconds in a guest without hardware virtualization: to import the libraries, join a room and get a first result."""

SLOW = {"processing": {"interval_seconds": 1.0}}


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
        await eventually(lambda: "lost" in camera_states(running, "yard"), "a record of the loss")
        await asyncio.to_thread(occupy, before)
        await running.more_results(5, "hall", BOUND)
        await asyncio.to_thread(plug)
        assert node() != before
        await running.more_results(3, "yard", BOUND)

        assert camera_states(running, "yard") == ["live", "lost", "live"]
        assert f"(/dev/{node()})" in running.said(), "it is the same camera"
        # There may be others, of results that came late: the machine is slow.
        assert len([gap for gap in running.records("gap", "yard") if usb() in gap["why"]]) == 1
        assert camera_states(running, "hall") == ["live"]
        assert {gap["why"] for gap in running.records("gap", "hall")} <= {"no results came"}
        assert await running.end() == 0
        show(running)


async def test_what_the_csi_sensor_sees_becomes_results(gateway: Simulator, tmp_path: Path) -> None:
    sensor = {"camera": {"type": "picamera2", "camera": CSI}, "processing": {"interval_seconds": 2.0}}
    async with daemon(tmp_path, config(tmp_path, gateway.base_url, gate=sensor)) as running:
        await running.more_results(2, "gate", BOUND)
        assert await running.end() == 0


def show(running: Daemon) -> None:
    """For the log of the lab: what the daemon said, and its records but for most of the results."""
    print(running.said())
    for stream in ("yard", "hall"):
        told = [record for kind in ("state", "gap") for record in running.records(kind, stream)]
        for record in sorted([*told, *running.records("result", stream)[-1:]], key=lambda record: int(record["seq"])):
            print(json.dumps(record))


def camera_states(running: Daemon, stream: str) -> list[str]:
    """What the stream's records say of its camera, in their order."""
    return [record["state"] for record in running.records("state", stream) if "camera" in record]
