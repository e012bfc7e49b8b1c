"""`overshootd cameras` sees every camera of the lab, and the lines that it prints work when they are pasted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import pytest

from tests.lab.cameras import CSI, VIVID, usb
from tests.lab.test_cameras import BOUND


def overshootd(*arguments: str) -> str:
    """What it prints. Fails when it does."""
    command = [sys.executable, "-m", "overshootd", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=2 * BOUND).stdout


@pytest.mark.usefixtures("usb_camera")
def test_every_camera_is_listed_once_and_shows_a_picture_by_the_lines_to_paste(tmp_path: Path) -> None:
    listed: list[dict[str, Any]] = json.loads(overshootd("cameras", "--json"))["cameras"]
    meant = {("v4l2", usb()), ("v4l2", VIVID), ("picamera2", CSI)}
    assert meant <= {(camera["type"], camera["device"]) for camera in listed}
    assert len(listed) == len({camera["device"] for camera in listed})
    _, _, lines = overshootd("cameras").partition("To paste into overshootd.yaml:\n\n")
    config = tmp_path / "x.yaml"
    config.write_text(lines.partition("\n\n")[0])
    overshootd("check", "-c", str(config))
    for camera in listed:
        if (camera["type"], camera["device"]) in meant:
            picture = tmp_path / f"{camera['name']}.jpg"
            overshootd("snapshot", camera["name"], "-o", str(picture), "-c", str(config), "--timeout", str(BOUND))
            with av.open(str(picture)) as file:
                assert file.streams.video[0].width >= 320


@pytest.mark.usefixtures("usb_camera")
def test_the_usb_camera_says_what_it_offers() -> None:
    shown = overshootd("cameras")
    assert "MJPG, YUYV: 1280x720, 640x480, 320x240 at 30, 15, 5 fps" in shown.replace("\n      ", " ")
