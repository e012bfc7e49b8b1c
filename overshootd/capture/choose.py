"""Which backend a camera's configuration means."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from overshootd.config.model import CameraConfig, FileCamera, TestCamera
from overshootd.contracts import Camera


def camera_for(config: CameraConfig) -> Callable[[], Camera]:
    """How to make the camera. What it needs is imported here, so that a daemon without it never loads it."""
    match config:
        case TestCamera():
            from overshootd.capture import testcam

            return lambda: testcam.TestCamera(config)
        case FileCamera():
            from overshootd.capture import file

            return lambda: file.FileCamera(config)
        case _:
            assert_never(config)
