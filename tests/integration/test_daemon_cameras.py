"""Cameras that go and come back, are not there yet, or may not show everything: what the daemon makes of it."""

from __future__ import annotations

import re
import socket
import struct
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from overshootd.capture.hotplug import NETLINK_KOBJECT_UEVENT, UDEV
from tests.integration.daemon_bed import Daemon, config, daemon, eventually, simulator

Json = dict[str, Any]

CAMERA = """
import os, sys, time
plugged, n = sys.argv[1], 0
with open(plugged + ".tries", "a") as tries:
    tries.write("x")
while os.path.exists(plugged):
    n += 1
    sys.stdout.buffer.write(bytes([60 + n % 100]) * (160 * 96) + bytes([128]) * (160 * 48))
    sys.stdout.buffer.flush()
    time.sleep(0.1)
sys.exit("unplugged")
"""


def plugged(folder: Path) -> Path:
    """While this file is there, so is the camera."""
    return folder / "plugged"


def camera(folder: Path, **changes: object) -> Json:
    """A program that gives pictures as long as it is plugged in."""
    argv = [sys.executable, "-c", CAMERA, str(plugged(folder))]
    plain: Json = {"type": "command", "argv": argv, "format": "i420", "width": 160, "height": 96, "fps": 10}
    return plain | changes


def states(running: Daemon, stream: str = "one") -> list[tuple[str, str]]:
    """What changed, the stream or the camera of this name, and to which state."""
    return [(record.get("camera", "stream"), record["state"]) for record in running.records("state", stream)]


def at(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp)


async def test_a_camera_that_goes_and_comes_back_says_so_to_its_streams_and_no_other_notices(
    media_net: str, tmp_path: Path
) -> None:
    shared: Json = {"camera": "yard"}
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        settings = config(tmp_path, gateway.base_url, one=shared, two=shared, other={})
        settings["cameras"] = {"yard": camera(tmp_path)}
        plugged(tmp_path).touch()
        async with daemon(tmp_path, settings) as running:
            for stream in ("one", "two", "other"):
                await running.more_results(2, stream=stream)
            plugged(tmp_path).unlink()
            for stream in ("one", "two"):
                await eventually(lambda: states(running, stream)[-1:] == [("stream", "waiting")], "it waits")  # noqa: B023
            assert states(running)[-2] == ("yard", "lost")
            assert "camera yard" in running.heard()
            before = running.records()[-1]
            plugged(tmp_path).touch()
            for stream in ("one", "two"):
                await eventually(lambda: running.records("gap", stream), "a gap")  # noqa: B023
            story = [("yard", "live"), ("stream", "live"), ("yard", "lost"), ("stream", "waiting")]
            assert states(running) == states(running, "two") == [*story, *story[:2]]
            (gap,) = running.records("gap")
            lost = next(record for record in running.records("state") if record["state"] == "lost")
            assert gap["why"] == lost["why"]
            assert at(gap["from"]) <= at(before["received_at"]) < at(gap["to"])
            assert states(running, "other") == [("of other", "live"), ("stream", "live")]
            assert not running.records("gap", "other")
            assert running.said().count("camera lost") == 1
            assert running.said().count("camera live") == 3, "two at the start, one when it was back"


async def test_a_camera_that_is_not_there_at_the_start_is_waited_for_and_nothing_billed(
    media_net: str, tmp_path: Path
) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={"camera": camera(tmp_path)})) as running,
    ):
        await eventually(lambda: "1 waiting" in running.heard(), "it waits, in the status")
        await eventually(lambda: states(running) == [("of one", "lost"), ("stream", "waiting")], "and in the records")
        assert running.records("state")[1]["why"] == running.records("state")[0]["why"]
        assert not await gateway.streams()
        plugged(tmp_path).touch()
        await running.more_results(1)
        assert states(running)[2:] == [("of one", "live"), ("stream", "live")]


async def test_a_camera_that_is_plugged_in_is_seen_at_once(media_net: str, tmp_path: Path) -> None:
    """Not when its turn comes, which is up to 10 s away."""
    tries = plugged(tmp_path).with_suffix(".tries")
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={"camera": camera(tmp_path)})) as running,
    ):
        await eventually(lambda: tries.exists() and len(tries.read_text()) >= 6, "turns that are far apart", 60)
        plugged(tmp_path).touch()
        udev_says("add", "video4linux")
        await running.more_results(1, bound=5)


def udev_says(action: str, subsystem: str) -> None:
    """Say what udev does, to all who listen in this network namespace."""
    properties = f"ACTION={action}\0DEVPATH=/devices/somewhere\0SUBSYSTEM={subsystem}\0".encode()
    head = b"libudev\0" + struct.pack(">I", 0xFEEDCAFE) + struct.pack("=III", 40, 40, len(properties)) + bytes(16)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_KOBJECT_UEVENT) as mouth:
        mouth.sendto(head + properties, (0, UDEV))


async def test_what_is_masked_is_never_seen_and_what_is_cropped_away_neither(media_net: str, tmp_path: Path) -> None:
    """Where all is hidden the gateway sees black, from its first result on."""
    masked: Json = {"camera": "yard", "masks": [{"x": 0, "y": 0, "width": 1, "height": 1}]}
    cropped: Json = {"camera": "yard", "crop": {"x": 0.5, "y": 0, "width": 0.5, "height": 0.5}}
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        settings = config(tmp_path, gateway.base_url, masked=masked, cropped=cropped, plain={"camera": "yard"})
        settings["cameras"] = {"yard": {"type": "test", "width": 640, "height": 360}}
        async with daemon(tmp_path, settings) as running:
            for stream in ("masked", "cropped", "plain"):
                await running.more_results(4, stream=stream)
            assert all(brightness(record) < 20 for record in running.records(stream="masked")), "black is 16"
            assert all(brightness(record) > 40 for record in running.records(stream="plain"))
            assert all("320x180" in record["text"] for record in running.records(stream="cropped"))
            assert running.said().count("camera opening") == 1


def brightness(record: Json) -> int:
    return round(float(re.findall(r"brightness ([\d.]+)", record["text"])[0]))
