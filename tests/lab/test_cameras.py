"""Every camera backend keeps the contract on a real kernel's devices and through the real picamera2."""

from __future__ import annotations

import numpy as np
import pytest
import structlog
from numpy.typing import NDArray

from overshootd.capture.choose import camera_for
from overshootd.capture.v4l2.device import Device
from overshootd.config.cameras import Picamera2Camera, V4l2Camera
from overshootd.contracts import Camera, Picture
from overshootd.ffmpeg.draw import Plane, planes
from overshootd.ffmpeg.live import RAW_FORMATS
from tests.camera_contract import NEED, CameraContract, Make, pictured, sample_of
from tests.lab.cameras import CSI, VIVID, usb

LOG = structlog.get_logger()
BOUND = 60.0
"""Seconds for the slowest step in a guest without hardware virtualization, on a busy machine."""

CELLS, BAND = 16, 8
"""The USB camera's frame number: cells from left to right, the most significant first, in the upper 1 / BAND."""

JPEG_LOOP = 32
"""The USB camera encodes so many pictures once and shows them again and again."""

BARS = [(180, 128, 128), (162, 44, 142), (131, 156, 44), (112, 72, 58), (84, 184, 198), (65, 100, 212), (35, 212, 114),
        (16, 128, 128)]  # fmt: skip
"""Y, U and V of the 75 % colour bars of ITU-R BT.601, which vivid shows: white, yellow, cyan … black."""


@pytest.mark.usefixtures("usb_camera")
class TestUsbMjpeg(CameraContract):
    rate = 5.0
    bound = BOUND
    _newest = 0

    @pytest.fixture
    def make(self) -> Make:
        return camera_for(V4l2Camera(type="v4l2", device=usb(), format="mjpeg"), LOG)

    def number(self, picture: Picture) -> int:
        """Counted on where the camera's loop of pictures begins again."""
        rounds, newest = divmod(self._newest, JPEG_LOOP)
        shown = _shown_number(picture)
        self._newest = (rounds + (shown < newest)) * JPEG_LOOP + shown
        return self._newest


@pytest.mark.usefixtures("usb_camera")
class TestUsbYuyv(CameraContract):
    rate = 5.0
    bound = BOUND

    @pytest.fixture
    def make(self) -> Make:
        return camera_for(V4l2Camera(type="v4l2", device=usb(), format="raw", width=320, height=240), LOG)

    def number(self, picture: Picture) -> int:
        return _shown_number(picture)


class UnnumberedContract(CameraContract):
    """For cameras whose pictures differ but say no number."""

    bound = BOUND

    def test_shows_the_same_moment_at_every_size(self, camera: Camera) -> None:
        camera.open(NEED)
        sample, picture = pictured(camera, 320, 240, self.bound)
        assert bytes(sample.picture(320, 240).data) == bytes(picture.data)
        assert np.abs(_means(picture) - _means(sample.picture(160, 120))).max() < 8

    def test_goes_on_while_no_picture_is_asked(self, camera: Camera) -> None:
        camera.open(NEED)
        _, earlier = pictured(camera, 320, 240, self.bound)
        for _ in range(3):
            sample_of(camera, self.bound)
        _, later = pictured(camera, 320, 240, self.bound)
        assert bytes(later.data) != bytes(earlier.data)


class TestVivid(UnnumberedContract):
    rate = 5.0

    @pytest.fixture(params=["YUYV", "NV12"])
    def make(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
        return vivid(request.param, monkeypatch)


def vivid(fourcc: str, monkeypatch: pytest.MonkeyPatch) -> Make:
    """The kernel's test device, as if this were the only format that it offers: the configuration names none."""
    offers = Device.offers
    monkeypatch.setattr(Device, "offers", lambda *args: [offer for offer in offers(*args) if offer.fourcc == fourcc])
    return camera_for(V4l2Camera(type="v4l2", device=VIVID, width=640, height=360, fps=5.0), LOG)


@pytest.mark.parametrize("fourcc", sorted(RAW_FORMATS.keys() - {"GREY"}))
def test_shows_the_colours_of_the_test_pattern_in_every_colour_format(
    fourcc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = vivid(fourcc, monkeypatch)()
    try:
        assert camera.open(NEED).what.startswith(fourcc)
        _, picture = pictured(camera, 640, 360, BOUND)
    finally:
        camera.close()
    shown = [
        tuple(int(plane[-1, plane.shape[1] * (2 * bar + 1) // 16]) for plane in _planes(picture)) for bar in range(8)
    ]
    assert np.abs(np.subtract(shown, BARS)).max() <= 6, shown


class TestCsi(UnnumberedContract):
    """vimc, through libcamera and picamera2 in the child process."""

    rate = 1.0

    @pytest.fixture(params=[0, CSI])
    def make(self, request: pytest.FixtureRequest) -> Make:
        return camera_for(Picamera2Camera(type="picamera2", camera=request.param), LOG)


def _planes(picture: Picture) -> tuple[Plane, Plane, Plane]:
    return planes(np.frombuffer(picture.data, np.uint8), picture.width, picture.height)


def _means(picture: Picture) -> NDArray[np.float64]:
    """Luma in 16 x 12 fields."""
    rows, columns = picture.height // 12, picture.width // 16
    means: NDArray[np.float64] = _planes(picture)[0].reshape(12, rows, 16, columns).mean(axis=(1, 3))
    return means


def _shown_number(picture: Picture) -> int:
    """The frame number in a picture of the USB camera."""
    row = _planes(picture)[0][picture.height // BAND // 2]
    bits = [int(row[(2 * cell + 1) * picture.width // (2 * CELLS)] > 128) for cell in range(CELLS)]
    return int("".join(map(str, bits)), 2)
