"""`overshootd cameras` shows what is plugged in, and its lines work when they are pasted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from tests.lab.cameras import CSI, SERIAL, VIVID, VIVID_PATH, node, usb

pytestmark = pytest.mark.usefixtures("usb_camera")

BOUND = 120.0
PASTE = "To paste into overshootd.yaml:\n\n"


def overshootd(*arguments: str) -> str:
    """What the command printed. Fails when it does."""
    done = subprocess.run(
        [sys.executable, "-m", "overshootd", *arguments],
        check=False, capture_output=True, text=True, timeout=BOUND, env=os.environ | {"OVERSHOOT_API_KEY": "ovs_lab"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def pasted(folder: Path) -> tuple[Path, list[str]]:
    """A configuration with the lines that `overshootd cameras` prints, a stream for each; and the cameras' names."""
    lines = overshootd("cameras").partition(PASTE)[2].partition("\n\n")[0]
    names = list(yaml.safe_load(lines)["cameras"])
    inference = {"prompt": "What is there?", "model": "Qwen/Qwen3.5-9B"}
    stream = {"processing": {"interval_seconds": 1.0}, "inference": inference}
    streams = yaml.safe_dump({"streams": {f"sees-{name}": stream | {"camera": name} for name in names}})
    path = folder / "overshootd.yaml"
    path.write_text(f"version: 1\nstate_dir: {folder}\napi: {{key: {{env: OVERSHOOT_API_KEY}}}}\n{lines}\n{streams}")
    return path, names


def picture(path: Path, name: str) -> NDArray[np.uint8]:
    """A snapshot's luma: height x width."""
    target = path.with_name(f"{name}.jpg")
    overshootd("snapshot", name, "-o", str(target), "-c", str(path))
    with av.open(str(target)) as still:
        luma: NDArray[np.uint8] = next(still.decode(video=0)).to_ndarray(format="gray").astype(np.uint8, copy=False)
    return luma


def test_the_list_names_the_usb_camera_both_vivids_and_the_csi_sensor_and_nothing_else() -> None:
    cameras: list[dict[str, Any]] = json.loads(overshootd("cameras", "--json"))["cameras"]
    found = {(camera["type"], camera["device"]) for camera in cameras}
    assert {("v4l2", usb()), ("v4l2", VIVID), ("picamera2", CSI)} < found
    assert len(cameras) == 4
    (webcam,) = [camera for camera in cameras if camera["device"] == usb()]
    assert webcam["serial"] == SERIAL
    assert f"/dev/{node()}" in webcam["also"]
    assert {entry["format"] for entry in webcam["formats"]} == {"MJPG", "YUYV"}
    assert {"format": "MJPG", "width": 1280, "height": 720, "fps": [5.0, 15.0, 30.0]} in webcam["formats"]


def test_the_list_folds_what_is_alike() -> None:
    shown = overshootd("cameras")
    print(shown)  # for the log of the lab
    assert "MJPG, YUYV: 1280x720, 640x480, 320x240 at 30, 15, 5 fps" in shown


def test_the_lines_stand_in_a_configuration_as_they_are(tmp_path: Path) -> None:
    path, names = pasted(tmp_path)
    assert len(names) == 4
    overshootd("check", "-c", str(path))


def test_a_snapshot_shows_what_each_of_the_pasted_cameras_sees(tmp_path: Path) -> None:
    path, names = pasted(tmp_path)
    for name in [*names, f"sees-{names[0]}"]:
        assert np.ptp(picture(path, name)) > 100, f"{name} shows something"


def test_the_two_vivids_are_told_apart(tmp_path: Path) -> None:
    path, _ = pasted(tmp_path)
    cameras = yaml.safe_load(path.read_text())["cameras"]
    linked, other = sorted(
        (name for name in cameras if name.startswith("vivid")), key=lambda name: cameras[name]["device"] != VIVID
    )
    subprocess.run(["v4l2-ctl", "-d", VIVID_PATH, "-c", "test_pattern=6"], check=True, timeout=10)  # all white
    try:
        white, bars = (int(np.median(picture(path, name))) for name in (linked, other))
    finally:
        subprocess.run(["v4l2-ctl", "-d", VIVID_PATH, "-c", "test_pattern=0"], check=True, timeout=10)
    assert white > 225 > bars
