"""What cameras say when real drivers fail under them, or somebody else has them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import structlog

from overshootd.capture.choose import camera_for
from overshootd.config.cameras import Picamera2Camera, V4l2Camera
from overshootd.contracts import Camera
from overshootd.errors import CameraLost
from tests.camera_contract import NEED, Make, sample_of
from tests.lab.cameras import OTHERS, VIVID, VIVID_PATH, node, occupy, plug, pull, usb
from tests.lab.test_cameras import BOUND

LOG = structlog.get_logger()

LOST_BOUND = 5.0
"""Within so many seconds a camera that falls silent must be noticed; one that is unplugged as well."""


def v4l2(device: str, width: int, height: int) -> Make:
    return camera_for(V4l2Camera(type="v4l2", device=device, width=width, height=height, fps=5.0), LOG)


def reads_until_lost(camera: Camera) -> str:
    """What the camera says when it is lost. Fails when it does not within LOST_BOUND."""
    end = time.monotonic() + LOST_BOUND
    with pytest.raises(CameraLost) as lost:  # noqa: PT012 - which of the reads notices it does not matter
        while time.monotonic() < end:
            camera.read(0.5)
    return str(lost.value)


def opened(make: Make) -> Camera:
    camera = make()
    camera.open(NEED)
    sample_of(camera, BOUND)
    return camera


def refusal(make: Make) -> str:
    """Why the camera is lost right when it is opened."""
    camera = make()
    with pytest.raises(CameraLost) as lost:
        camera.open(NEED)
    camera.close()
    return str(lost.value)


@pytest.mark.usefixtures("usb_camera")
def test_an_unplugged_camera_is_lost_and_comes_back_by_name_under_another_number() -> None:
    make = v4l2(usb(), 320, 240)
    camera, before = opened(make), node()
    pull()
    assert usb() in reads_until_lost(camera)
    camera.close()
    occupy(before)
    plug()
    assert node() != before
    opened(make).close()


@pytest.mark.usefixtures("usb_camera")
def test_a_camera_that_is_not_plugged_in_is_lost_and_says_its_name() -> None:
    pull()
    assert usb() in refusal(v4l2(usb(), 320, 240))


@pytest.mark.usefixtures("usb_camera")
def test_of_two_of_the_same_kind_the_serial_number_names_one() -> None:
    other = OTHERS[0]
    plug(other)
    camera = opened(v4l2(other, 320, 240))
    try:
        subprocess.run(["fuser", "--silent", f"/dev/{node(other)}"], check=True, timeout=10)
    finally:
        camera.close()


def inject(control: str) -> None:
    subprocess.run(["v4l2-ctl", "-d", VIVID_PATH, "-c", f"{control}=1"], check=True, timeout=10)


@pytest.mark.parametrize("fault", ["disconnect", "inject_fatal_streaming_error"])
def test_a_driver_that_fails_while_streaming_is_lost_and_can_be_opened_again(fault: str) -> None:
    make = v4l2(VIVID, 640, 360)
    camera = opened(make)
    inject(fault)
    assert VIVID in reads_until_lost(camera)
    camera.close()
    opened(make).close()


def test_a_damaged_buffer_is_no_reason_to_lose_the_camera() -> None:
    camera = opened(v4l2(VIVID, 640, 360))
    try:
        inject("inject_v4l2_buf_flag_error")
        for _ in range(5):
            sample_of(camera, BOUND)
    finally:
        camera.close()


def test_a_driver_that_refuses_to_stream_is_lost() -> None:
    make = v4l2(VIVID, 640, 360)
    inject("inject_vidioc_streamon_error")
    assert VIVID in refusal(make)
    opened(make).close()


@pytest.mark.usefixtures("usb_camera")
def test_a_camera_in_use_says_by_whom() -> None:
    path = f"/dev/{node()}"
    with subprocess.Popen(["v4l2-ctl", "-d", path, "--stream-mmap"], stderr=subprocess.PIPE) as other:
        try:
            assert other.stderr is not None
            assert other.stderr.read(1), "it streams"
            assert f"v4l2-ctl (pid {other.pid})" in refusal(v4l2(usb(), 320, 240))
        finally:
            other.kill()


def csi() -> Make:
    return camera_for(Picamera2Camera(type="picamera2"), LOG)


def child() -> int:
    """The process id of the picamera2 camera's child, of which there must be one."""
    found = subprocess.run(["pgrep", "-f", "picamera2_child.py run"], check=True, stdout=subprocess.PIPE, timeout=10)
    return int(found.stdout)


def test_a_csi_camera_in_use_says_by_whom() -> None:
    first = opened(csi())
    try:
        user = f"python3 (pid {child()})"
        assert user in refusal(csi())
    finally:
        first.close()


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_csi_camera_whose_process_dies_or_hangs_can_be_closed_and_opened_again(blow: signal.Signals) -> None:
    camera = opened(csi())
    hurt = child()
    os.kill(hurt, blow)
    if blow is signal.SIGKILL:
        reads_until_lost(camera)
    camera.close()
    assert not Path(f"/proc/{hurt}").exists()
    opened(csi()).close()
