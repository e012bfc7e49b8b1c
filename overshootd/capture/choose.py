"""Which backend a camera's configuration means."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from overshootd.config.cameras import (
    ArgusCamera,
    CameraConfig,
    CommandCamera,
    FileCamera,
    Picamera2Camera,
    RtspCamera,
    TestCamera,
    V4l2Camera,
)
from overshootd.config.secret import Secret
from overshootd.contracts import Camera, Log


def camera_for(config: CameraConfig, log: Log, password: Secret | None = None) -> Callable[[], Camera]:
    """How to make the camera. What it needs is imported here, so that a daemon without it never loads it.

    `password` is what an RTSP camera asks for.
    """
    match config:
        case TestCamera():
            from overshootd.capture import testcam

            return lambda: testcam.TestCamera(config)
        case FileCamera():
            from overshootd.capture import file

            return lambda: file.FileCamera(config)
        case V4l2Camera():
            from overshootd.capture.v4l2 import camera

            return lambda: camera.V4l2Camera(config, log)
        case RtspCamera():
            from overshootd.capture import rtsp

            learned = rtsp.Learned()
            return lambda: rtsp.RtspCamera(config, password, log, learned)
        case CommandCamera():
            from overshootd.capture.program import command, process

            leftovers = process.Leftovers()
            return lambda: command.CommandCamera(config, log, leftovers)
        case Picamera2Camera():
            from overshootd.capture.program import picamera2, process

            leftovers = process.Leftovers()
            return lambda: picamera2.Picamera2Camera(config, log, leftovers)
        case ArgusCamera():
            from overshootd.capture.program import argus, process

            leftovers = process.Leftovers()
            return lambda: argus.ArgusCamera(config, log, leftovers)
        case _:
            assert_never(config)
