"""A camera is meant by a name, and the same one every time."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.capture.v4l2.find import VideoDevice, ambiguity, choose
from overshootd.errors import CameraLost

BRIO = VideoDevice(
    "/dev/video0", "Logitech BRIO",
    by_id=("usb-046d_BRIO_1234-video-index0",), by_path=("pci-usb-0:1:1.0-video-index0",),
    serial="1234", usb="1-1", identity=("046d", "085e", "1234", "0"),
)  # fmt: skip
LEFT, RIGHT = (
    VideoDevice(
        f"/dev/video{number}", "HD Webcam",
        by_id=by_id, by_path=(f"pci-usb-0:{port}:1.0-video-index0",), usb=f"1-{port}",
        identity=("1bcf", "2c99", "", "0"), contested=True,
    )
    for number, port, by_id in ((4, 2, ()), (2, 3, ("usb-HD_Webcam-video-index0",)))
)  # fmt: skip
BARE = VideoDevice("/dev/video9", "vivid", seat="/sys/devices/platform/vivid.0")
ALL = [BRIO, LEFT, RIGHT, BARE]


@pytest.mark.parametrize(
    "name",
    [
        "usb-046d_BRIO_1234-video-index0",
        "/dev/v4l/by-id/usb-046d_BRIO_1234-video-index0",
        "pci-usb-0:1:1.0-video-index0",
        "/dev/v4l/by-path/pci-usb-0:1:1.0-video-index0",
        "/dev/video0",
        "1234",
        "logitech brio",
    ],
)
def test_a_camera_has_many_names(name: str) -> None:
    assert choose(name, ALL) is BRIO
    assert ambiguity(name, ALL) is None


@pytest.mark.parametrize(
    "name", ["HD Webcam", "usb-HD_Webcam-video-index0", "/dev/v4l/by-id/usb-HD_Webcam-video-index0"]
)
def test_of_two_of_the_same_kind_the_first_by_its_socket_is_taken_and_the_other_named(name: str) -> None:
    for devices in itertools.permutations(ALL):
        assert choose(name, devices) is LEFT
        assert ambiguity(name, devices) == (
            f"{name} may be any of 2 cameras, and the first is taken; these names are for sure: "
            "pci-usb-0:2:1.0-video-index0, pci-usb-0:3:1.0-video-index0"
        )


@pytest.mark.parametrize("device", [LEFT, RIGHT])
def test_a_socket_and_a_node_name_one_of_two_of_the_same_kind(device: VideoDevice) -> None:
    for name in (device.path, device.by_path[0]):
        assert choose(name, ALL) is device
        assert ambiguity(name, ALL) is None


def test_a_camera_is_configured_by_a_name_that_is_its_own() -> None:
    assert [device.stable_name for device in ALL] == [
        "usb-046d_BRIO_1234-video-index0",
        "pci-usb-0:2:1.0-video-index0",
        "pci-usb-0:3:1.0-video-index0",
        "vivid",
    ]


def test_a_camera_that_is_not_there_is_lost_and_the_others_are_named() -> None:
    with pytest.raises(
        CameraLost, match="camera HD Pro is not there, but vivid, usb-046d_BRIO_1234-video-index0, pci-"
    ):
        choose("HD Pro", ALL)
    with pytest.raises(CameraLost, match="camera HD Pro is not there, but none"):
        choose("HD Pro", [])


@given(st.lists(st.sampled_from(ALL), unique=True), st.text() | st.sampled_from(["HD Webcam", "1234", "vivid"]))
def test_the_order_in_which_devices_were_found_does_not_matter(devices: list[VideoDevice], name: str) -> None:
    def decided(these: list[VideoDevice]) -> VideoDevice | None:
        try:
            return choose(name, these)
        except CameraLost:
            return None

    assert decided(devices) is decided(devices[::-1])
