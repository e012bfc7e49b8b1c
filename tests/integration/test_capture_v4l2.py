"""V4L2 cameras keep the cameras' contract in each format, and spend nothing on frames that nobody wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from overshootd.capture.v4l2.camera import V4l2Camera
from overshootd.config.cameras import V4l2Camera as Config
from overshootd.contracts import Camera
from tests.camera_contract import NEED, CameraContract, EncodedCameraContract, Make, pictured, sample_of
from tests.integration.fake_v4l2 import FakeKernel
from tests.integration.fake_v4l2_camera import FakeCamera, Knob, Mode
from tests.integration.sink_lab import RememberingLog

SIZE = ((320, 240),)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKernel]:
    kernel = FakeKernel(tmp_path / "root", monkeypatch)
    yield kernel
    kernel.close()


def config(device: str = "/dev/video0", **more: Any) -> Config:
    return Config(type="v4l2", device=device, **more)


class FakedContract(CameraContract):
    modes: tuple[Mode, ...]
    knobs: tuple[Knob, ...] = ()

    @pytest.fixture
    def make(self, kernel: FakeKernel) -> Make:
        kernel.plug(FakeCamera(self.modes, self.knobs))
        return lambda: V4l2Camera(config(), RememberingLog(), kernel.root)


class TestMjpeg(FakedContract):
    modes = (Mode("MJPG", SIZE),)


class TestYuyv(FakedContract):
    modes = (Mode("YUYV", SIZE),)


class TestYuyvWithPaddedRows(FakedContract):
    modes = (Mode("YUYV", SIZE, padding=64),)


class TestNv12(FakedContract):
    modes = (Mode("NV12", SIZE),)


class TestNv12WithPaddedRows(FakedContract):
    modes = (Mode("NV12", SIZE, padding=32),)


class TestH264(FakedContract, EncodedCameraContract):
    modes = (Mode("H264", SIZE),)
