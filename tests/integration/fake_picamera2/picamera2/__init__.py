"""A picamera2 of recorded pictures. What it is like, and how it fails, stands in the file that FAKE_PICAMERA2 names.

`picamera2` 0.3.38 was read for what it does: what it returns, in which layout, and what it raises.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from libcamera import Transform  # type: ignore[import-not-found]  # the fake one beside this
from numpy.typing import NDArray

from . import encoders, outputs

__all__ = ["Picamera2", "encoders", "outputs"]

FAKE: dict[str, Any] = json.loads(Path(os.environ["FAKE_PICAMERA2"]).read_text())


def tell(what: str, value: Any) -> None:
    """Let the test know."""
    with Path(FAKE["calls"]).open("a") as file:
        file.write(json.dumps([what, value]) + "\n")


def hang() -> None:
    """As a call into a driver that does not return, and so hears of no signal either."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    tell("hangs", os.getpid())
    time.sleep(3600)


class Picamera2:
    def __init__(self, number: int = 0, tuning: Any = None) -> None:
        if FAKE.get("hang") == "constructor":
            hang()
        if FAKE.get("busy"):
            try:
                raise RuntimeError("Failed to acquire camera: Device or resource busy")
            except RuntimeError as error:
                raise RuntimeError("Camera __init__ sequence did not complete.") from error
        print("chatter on standard output")
        tell("opened", [number, tuning])
        self.camera_properties = {"PixelArraySize": (3280, 2464)}
        self._main: dict[str, Any] = {}
        self._config: dict[str, Any] = {}
        self._duration = 1e6 / FAKE.get("fps", 30.0)
        self._began = self._number = 0
        self._encoder: Any = None

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        cameras: list[dict[str, Any]] = FAKE["cameras"]
        return cameras

    @staticmethod
    def load_tuning_file(name: str, dir: str = "/usr/share/libcamera") -> Any:
        if not (Path(dir) / name).is_file():
            raise RuntimeError("Tuning file not found")
        return json.loads((Path(dir) / name).read_text())

    @property
    def camera_controls(self) -> dict[str, Any]:
        offered: dict[str, Any] = FAKE["controls"]
        return offered

    @property
    def sensor_modes(self) -> list[dict[str, Any]]:
        if "FrameDurationLimits" not in FAKE["controls"]:
            raise KeyError("FrameDurationLimits")
        return [{"format": "SRGGB10", "size": (1640, 1232), "fps": 41.85}, {"size": (3280, 2464), "fps": 21.19}]

    def create_video_configuration(self, main: dict[str, Any], transform: Any = None) -> dict[str, Any]:
        return {"main": dict(main), "transform": transform or Transform()}

    def configure(self, config: dict[str, Any]) -> None:
        main, offered = config["main"], FAKE.get("formats", ["YUV420"])
        form = main["format"] if main["format"] in offered else offered[0]
        if FAKE.get("strict") and main["format"] not in offered:
            raise RuntimeError("Invalid camera configuration")
        transform = config["transform"] if FAKE.get("turns", True) else Transform()
        bytes_a_pixel = 3 if form in ("RGB888", "BGR888") else 1
        width, height = FAKE["size"]
        stride = -(-width * bytes_a_pixel // FAKE.get("align", 1)) * FAKE.get("align", 1)
        self._main = {"format": form, "size": (width, height), "stride": stride}
        self._config = {"main": self._main, "transform": transform}
        asked = config["transform"]
        tell("configured", [main["format"], main["size"], asked.hflip, asked.vflip])

    def camera_configuration(self) -> dict[str, Any]:
        return self._config

    def set_controls(self, controls: dict[str, Any]) -> None:
        tell("controls", controls)
        self._duration = controls.get("FrameDurationLimits", [self._duration])[0]

    def start(self) -> None:
        self._began = time.monotonic_ns()
        if self._encoder is not None:
            threading.Thread(target=self._encode, daemon=True).start()

    def start_encoder(self, encoder: Any, output: Any) -> None:
        if FAKE.get("encoder") == "busy":
            raise OSError(16, "Device or resource busy", "/dev/video11")
        encoder.output = output
        encoder.size = self._main["size"]
        self._encoder = encoder

    def capture_request(self, wait: float) -> Request:
        if FAKE.get("hang") == "driver":
            hang()
        if self._number >= FAKE.get("last", 10**9):
            time.sleep(FAKE.get("patience", wait))
            raise concurrent.futures.TimeoutError
        return Request(self._main, self._next(), self._duration)

    def close(self) -> None:
        tell("closed", None)

    def _next(self) -> int:
        """The newest frame that was not taken yet, when it is there."""
        elapsed = (time.monotonic_ns() - self._began) / 1e3
        self._number = max(self._number + 1, int(elapsed / self._duration))
        time.sleep(max(0.0, (self._number * self._duration - elapsed) / 1e6))
        return self._number

    def _encode(self) -> None:
        while True:
            self._encoder.encode(luma(self._next()))


class Request:
    def __init__(self, main: dict[str, Any], number: int, duration: float) -> None:
        self._main, self._number, self._duration = main, number, duration

    def get_metadata(self) -> dict[str, Any]:
        return {"FrameDuration": int(self._duration)} if "FrameDurationLimits" in FAKE["controls"] else {}

    def release(self) -> None:
        assert self._main
        self._main = {}

    def make_buffer(self, name: str) -> NDArray[np.uint8]:
        assert name == "main"
        form, stride = self._main["format"], self._main["stride"]
        gray = luma(self._number)
        if form in ("RGB888", "BGR888"):
            # libcamera names them from the high byte of a word down: RGB888 lies in memory as B, G, R.
            colour = np.array(FAKE.get("tint", [0, 0, 0]), np.int16)
            pixels = np.clip(gray[..., None] + (colour[::-1] if form == "RGB888" else colour), 0, 255)
            return padded(pixels.reshape(gray.shape[0], -1).astype(np.uint8), stride)
        chroma = np.full((gray.shape[0] // 2, gray.shape[1] // 2), 128, np.uint8)
        return np.concatenate([padded(gray, stride), padded(chroma, stride // 2), padded(chroma, stride // 2)])


def luma(number: int) -> NDArray[np.uint8]:
    """A recorded picture."""
    width, height = FAKE["size"]
    frames = np.fromfile(FAKE["frames"], np.uint8).reshape(-1, height, width)
    frame: NDArray[np.uint8] = frames[number % len(frames)]
    return frame


def padded(plane: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    return np.pad(plane, ((0, 0), (0, stride - plane.shape[1])), constant_values=77).ravel()
