"""Cameras are found in a machine's own tree of devices, whatever else is in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from overshootd.capture.v4l2.find import find, video_devices
from overshootd.errors import CameraLost
from tests.integration.fake_v4l2 import FakeKernel
from tests.integration.fake_v4l2_camera import METADATA, VIDEO, Caps, FakeCamera


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKernel]:
    kernel = FakeKernel(tmp_path / "root", monkeypatch)
    yield kernel
    kernel.close()


def webcam(kernel: FakeKernel, number: int, port: str, *, serial: str = "0001") -> FakeCamera:
    """A UVC camera with its pair of nodes."""
    camera = FakeCamera(card="HD Webcam")
    for index, fake in enumerate((camera, FakeCamera(card="HD Webcam", caps=METADATA))):
        kernel.plug(
            fake, number + index, usb=f"1-{port}", index=index, serial=serial,
            by_id=f"usb-HD_Webcam{serial and '_'}{serial}-video-index{index}",
            by_path=f"pci-usb-0:{port}:1.0-video-index{index}",
        )  # fmt: skip
    return camera


def test_a_machine_without_cameras_has_none(kernel: FakeKernel, tmp_path: Path) -> None:
    assert video_devices(kernel.root) == video_devices(tmp_path / "without even a sysfs") == []
    with pytest.raises(CameraLost, match="camera yard is not there, but none"):
        find("yard", kernel.root)


def test_metadata_encoders_outputs_and_what_libcamera_wires_are_no_cameras(kernel: FakeKernel) -> None:
    webcam(kernel, 0, "2")
    no_cameras = (
        Caps.VIDEO_M2M_MPLANE | Caps.STREAMING, Caps.VIDEO_OUTPUT | Caps.STREAMING, VIDEO | Caps.IO_MC,
        Caps.VIDEO_CAPTURE_MPLANE | Caps.STREAMING,
    )  # fmt: skip
    for number, caps in enumerate(no_cameras, 10):
        kernel.plug(FakeCamera(caps=caps, driver="other"), number, usb=None, platform=f"other.{number}")
    kernel.plug(FakeCamera(driver="bcm2835-isp"), 20, usb=None, platform="isp")
    assert [device.path for device in video_devices(kernel.root)] == ["/dev/video0"]


def test_a_usb_camera_is_described_with_all_its_names(kernel: FakeKernel) -> None:
    webcam(kernel, 2, "1.4", serial="A1B2")
    (device,) = video_devices(kernel.root)
    assert (device.path, device.card, device.driver, device.bus) == (
        "/dev/video2",
        "HD Webcam",
        "uvcvideo",
        "usb-fake-1",
    )
    assert (device.serial, device.usb) == ("A1B2", "1-1.4")
    assert device.by_path == ("pci-usb-0:1.4:1.0-video-index0",)


def test_a_device_on_no_bus_has_neither_serial_number_nor_usb_device(kernel: FakeKernel) -> None:
    kernel.plug(
        FakeCamera(driver="vivid", card="vivid"),
        5,
        usb=None,
        platform="vivid.0",
        by_path="platform-vivid.0-video-index0",
    )
    (device,) = video_devices(kernel.root)
    assert (device.serial, device.usb, device.stable_name) == (None, None, "platform-vivid.0-video-index0")


def test_two_of_the_same_model_with_serial_numbers_keep_their_by_id_names(kernel: FakeKernel) -> None:
    webcam(kernel, 0, "3", serial="2")
    webcam(kernel, 4, "2", serial="1")
    assert {device.stable_name for device in video_devices(kernel.root)} == {
        "usb-HD_Webcam_1-video-index0",
        "usb-HD_Webcam_2-video-index0",
    }


def test_two_without_serial_numbers_go_by_their_sockets_in_whichever_order_they_came(kernel: FakeKernel) -> None:
    webcam(kernel, 0, "3", serial="")
    webcam(kernel, 4, "2", serial="")
    assert [(device.path, device.stable_name) for device in video_devices(kernel.root)] == [
        ("/dev/video4", "pci-usb-0:2:1.0-video-index0"),
        ("/dev/video0", "pci-usb-0:3:1.0-video-index0"),
    ]
    for name in ("HD Webcam", "usb-HD_Webcam-video-index0"):
        device, note = find(name, kernel.root)
        assert device.path == "/dev/video4"
        assert note is not None


def test_two_sensors_in_one_housing_go_by_their_interfaces(kernel: FakeKernel) -> None:
    name = "usb-Integrated_Camera_1-video-index0"
    kernel.plug(
        FakeCamera(card="Integrated I"), 0, interface="1.2", by_id=name, by_path="pci-usb-0:1.2:1.2-video-index0"
    )
    kernel.plug(FakeCamera(card="Integrated C"), 2, interface="1.0", by_path="pci-usb-0:1.2:1.0-video-index0")
    assert [device.stable_name for device in video_devices(kernel.root)] == [
        "pci-usb-0:1.2:1.0-video-index0",
        "pci-usb-0:1.2:1.2-video-index0",
    ]
    assert find(name, kernel.root)[0].card == "Integrated C"
    assert find("Integrated I", kernel.root)[0].card == "Integrated I"
    assert find("pci-usb-0:1.2:1.2-video-index0", kernel.root)[0].card == "Integrated I"


def test_a_link_of_the_users_own_names_a_camera(kernel: FakeKernel) -> None:
    webcam(kernel, 0, "2")
    (kernel.root / "dev/gate").symlink_to("video0")
    assert find("/dev/gate", kernel.root)[0].path == "/dev/video0"


def test_a_node_that_is_named_by_its_path_is_taken_for_what_it_may_be(kernel: FakeKernel) -> None:
    kernel.plug(FakeCamera(caps=VIDEO | Caps.IO_MC, driver="unicam"), 0, usb=None)
    assert find("/dev/video0", kernel.root)[0].driver == "unicam"
    with pytest.raises(CameraLost, match="camera Fake Camera is not there, but none"):
        find("Fake Camera", kernel.root)


def test_what_is_there_instead_is_told_also_where_a_card_was_looked_for(kernel: FakeKernel) -> None:
    webcam(kernel, 0, "2")
    with pytest.raises(CameraLost, match="camera HD Pro is not there, but usb-HD_Webcam_0001-video-index0"):
        find("HD Pro", kernel.root)


def test_looking_for_one_camera_does_not_touch_another(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    webcam(kernel, 0, "2")
    kernel.plug(FakeCamera(card="Other"), 7, usb="1-7", serial="7", by_id="usb-Other_7-video-index0")
    touched, real = [], os.open

    def watched(path: Any, *arguments: Any, **options: Any) -> int:
        touched.append(os.path.basename(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", watched)
    for name in ("usb-Other_7-video-index0", "7", "/dev/video7", "Other"):
        find(name, kernel.root)
    with pytest.raises(
        CameraLost,
        match="camera usb-Gone_1-video-index0 is not there, but usb-Other_7-video-index0, usb-HD_Webcam_0001-",
    ):
        find("usb-Gone_1-video-index0", kernel.root)
    assert set(touched) == {"video7"}


def test_a_camera_that_cannot_be_opened_is_told_from_its_metadata_by_sysfs(kernel: FakeKernel) -> None:
    webcam(kernel, 0, "2")
    for fake in kernel.cameras:
        fake.errors["QUERYCAP"] = errno.EACCES
    (device,) = video_devices(kernel.root)
    assert (device.path, device.card, device.driver) == ("/dev/video0", "HD Webcam", "uvcvideo")
