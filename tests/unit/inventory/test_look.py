"""What is a camera, and by which backend, on a PC, a Pi and a Jetson."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

import pytest

from overshootd.capture.program.picamera2 import LibcameraCamera
from overshootd.capture.v4l2.find import VideoDevice
from overshootd.capture.v4l2.offers import Offer
from overshootd.errors import CameraLost
from overshootd.inventory.look import NO_RIGHT, NOTHING, Sources, look, title
from overshootd.inventory.show import text

USB = VideoDevice(
    "/dev/video0", "HD Pro Webcam C920", "uvcvideo", "usb-0000:01:00.0-1.2", ("usb-046d_C920-video-index0",),
    ("pci-0000:01:00.0-usb-0:1.2:1.0-video-index0",), "8B2F3A6F", "1-1.2",
)  # fmt: skip
OFFERS = [Offer("MJPG", 1280, 720, (5.0, 30.0))]
IMX219 = LibcameraCamera(0, "/base/soc/i2c0mux/i2c@1/imx219@10", "imx219", ((1640, 1232, 40.0), (640, 480, None)))
MISSING = "picamera2 is not installed: sudo apt install python3-picamera2"


def node(path: str, driver: str, card: str = "a card") -> VideoDevice:
    return VideoDevice(path, card, driver, f"platform:{driver}")


def raising(message: str) -> Callable[..., NoReturn]:
    def raises(*_: object) -> NoReturn:
        raise CameraLost(message)

    return raises


def machine(devices: Sequence[VideoDevice] = (), libcamera: Sequence[LibcameraCamera] | None = None) -> Sources:
    """A PC without picamera2, unless there are cameras that `libcamera` knows."""
    return Sources(
        video_devices=lambda: list(devices),
        offers=lambda path: OFFERS,
        users=lambda path: [],
        allowed=lambda path: True,
        media=lambda: ["/dev/media0"],
        libcamera=raising(MISSING) if libcamera is None else lambda: list(libcamera),
        board="",
    )


def test_a_usb_camera_is_known_by_its_stable_name_with_its_others_beside() -> None:
    inventory = look(replace(machine([USB]), users=lambda path: [f"ffmpeg of {path}"]))
    (camera,) = inventory.cameras
    assert camera.config == {"type": "v4l2", "device": "usb-046d_C920-video-index0"}
    assert camera.also == ("/dev/video0", "pci-0000:01:00.0-usb-0:1.2:1.0-video-index0")
    assert (camera.offers, camera.users) == (tuple(OFFERS), ("ffmpeg of /dev/video0",))
    assert inventory.hints == ()


def test_a_camera_without_any_name_is_known_by_its_node() -> None:
    (camera,) = look(machine([node("/dev/video3", "uvcvideo", card="")])).cameras
    assert camera.device == "/dev/video3"


def test_nodes_that_only_libcamera_can_use_are_shown_as_libcamera_s_cameras() -> None:
    inventory = look(machine([node("/dev/video0", "unicam"), node("/dev/video13", "bcm2835-isp")], [IMX219]))
    (camera,) = inventory.cameras
    assert camera.config == {"type": "picamera2", "camera": "/base/soc/i2c0mux/i2c@1/imx219@10"}
    assert camera.offers == (Offer("", 1640, 1232, (40.0,)), Offer("", 640, 480, ()))
    assert "sizes: 1640x1232 at 40 fps; 640x480" in text(inventory)


def test_a_usb_camera_that_libcamera_knows_too_is_shown_once() -> None:
    usb = LibcameraCamera(0, "/base/scb/pcie@7d500000/pci@0,0/usb@0,0-1.3:1.0-046d:0825", "C920")
    assert [camera.type for camera in look(machine([USB], [usb, IMX219])).cameras] == ["v4l2", "picamera2"]


def test_who_has_a_csi_camera_is_asked_only_when_it_cannot_be_opened() -> None:
    at = replace(machine([], [IMX219, replace(IMX219, number=1, modes=())]), users=lambda path: [f"rpicam on {path}"])
    assert [camera.users for camera in look(at).cameras] == [(), ("rpicam on /dev/media0",)]


def test_sensors_of_a_jetson_are_numbered_in_the_order_of_their_nodes() -> None:
    devices = [node("/dev/video10", "tegra-video"), node("/dev/video1", "tegra-video"), USB]
    found = look(machine(devices)).cameras
    assert [(camera.type, camera.device, camera.also[0]) for camera in found] == [
        ("v4l2", "usb-046d_C920-video-index0", "/dev/video0"),
        ("argus", 0, "/dev/video1"),
        ("argus", 1, "/dev/video10"),
    ]


@pytest.mark.parametrize(
    ("card", "shown"),
    [
        ("Integrated Camera: Integrated C", "Integrated Camera"),
        ("HD Pro Webcam C920", "HD Pro Webcam C920"),
        ("USB Camera: IR sensor", "USB Camera: IR sensor"),
        ("", ""),
    ],
)
def test_a_name_is_said_once(card: str, shown: str) -> None:
    assert title(card) == shown


def test_no_camera_is_said_with_what_to_check() -> None:
    inventory = look(machine())
    assert inventory.cameras == ()
    assert inventory.hints == (f"CSI cameras of a Raspberry Pi cannot be seen: {MISSING}", *NOTHING)
    assert text(inventory).startswith("No camera was found. What to check:\n\n- CSI cameras")


def test_a_pi_is_told_that_its_csi_cameras_cannot_be_seen_whatever_else_it_has() -> None:
    inventory = look(replace(machine([USB]), board="Raspberry Pi 5 Model B Rev 1.0\0"))
    assert inventory.hints == (f"CSI cameras of a Raspberry Pi cannot be seen: {MISSING}",)


def test_a_camera_that_may_not_be_opened_is_shown_with_the_reason_and_the_remedy() -> None:
    at = replace(
        machine([USB]), offers=raising("/dev/video0 is not ours to open"), allowed=lambda path: "media" in path
    )
    inventory = look(at)
    assert inventory.cameras[0].trouble == "/dev/video0 is not ours to open"
    assert inventory.hints == (NO_RIGHT,)
    assert "sudo usermod -aG video" in text(inventory)
