"""The `v4l2` camera: whatever the kernel shows as a video device, in the format that costs least."""

from __future__ import annotations

import time
from pathlib import Path

from overshootd.capture.v4l2.controls import Control, by_name, flips, settings
from overshootd.capture.v4l2.device import Device, Given
from overshootd.capture.v4l2.encoder import BITRATE, DISTANCE, KEYFRAME_NOW, Wishes, encoder_settings
from overshootd.capture.v4l2.find import find
from overshootd.capture.v4l2.frames import Frames
from overshootd.capture.v4l2.negotiate import KINDS, Choice, negotiate
from overshootd.capture.v4l2.samples import Sampler, sampler_for
from overshootd.config.cameras import V4l2Camera as V4l2CameraConfig
from overshootd.contracts import CaptureFormat, CaptureNeed, Log, Sample
from overshootd.errors import CameraLost, Permanent
from overshootd.ffmpeg.draw import Drawer

SPOKEN = {"H264": "H.264", "MJPG": "MJPEG", "JPEG": "MJPEG"}
"""What people call V4L2's formats, where it is another word."""

NOMINAL_FPS = 30.0
"""Of a camera whose driver does not say how many it gives."""


class V4l2Camera:
    """A `contracts.Camera`. It is looked for at every opening: plugged in again, it may be another node."""

    def __init__(self, config: V4l2CameraConfig, log: Log, root: Path = Path("/")) -> None:
        """`root` is where /dev and /sys are."""
        self._config, self._log, self._root = config, log, root
        self._device: Device | None = None
        self._controls: dict[str, Control] = {}
        self._wishes = Wishes()
        self._frames: Frames | None = None
        self._sampler: Sampler | None = None

    def open(self, need: CaptureNeed) -> CaptureFormat:
        found, note = find(self._config.device, self._root)
        name = f"{found.stable_name} ({found.path})"
        device = self._device = Device(str(self._root / found.path[1:]), name)
        device.open()
        if obstacle := device.abilities().obstacle:
            raise Permanent(f"{name} {obstacle}")
        self._controls = by_name(device.controls())
        drawer, turned = self._turn(device)
        choice = self._choose(device, name, need, pixels=turned or self._config.hides)
        # The format first: drivers forget rate and controls when they change it.
        given = device.set_format(choice.fourcc, choice.width, choice.height)
        fps = device.set_rate(choice.fps) or NOMINAL_FPS
        self._set_controls(device, name, given, fps, need)
        self._sampler = sampler_for(
            given, name, drawer, turned=turned, want_keyframe=lambda: self._wishes.add(True, None)
        )
        device.start()
        self._frames = Frames(device, all_of_them=_encodes(given))
        if note:
            self._log.warning(note)
        return self._opened(device, name, given, fps, choice, turned)

    def read(self, timeout: float) -> Sample | None:
        assert self._frames is not None, "open comes first"
        assert self._sampler is not None
        self._fulfil_wishes()
        end = time.monotonic() + timeout
        while (frame := self._frames.next(max(end - time.monotonic(), 0))) is not None:
            if (sample := self._sampler.sample(frame)) is not None:
                return sample
        return None

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        self._wishes.add(keyframe, kbps)

    def abort(self) -> None:
        """The kernel closes the device with the process."""

    def close(self) -> None:
        if self._device is not None:
            self._device.close()

    def _turn(self, device: Device) -> tuple[Drawer, bool]:
        """What turns the pictures, unless the camera does so itself; and whether it has to."""
        rotate, hflip = self._config.rotate, self._config.hflip
        own, unable = flips(self._controls, rotate, hflip, self._config.controls)
        for control, value in own:
            if device.value(control) != value:
                device.set_control(control, value)
        return (Drawer(rotate=rotate, hflip=hflip), True) if unable else (Drawer(), False)

    def _choose(self, device: Device, name: str, need: CaptureNeed, *, pixels: bool) -> Choice:
        size = self._config.width or need.width, self._config.height or need.height
        offers = device.offers([size], [self._config.fps or need.fps])
        if not offers:
            raise CameraLost(f"{name} offers no format at all")
        keyframes = any(distance in self._controls for distance in DISTANCE)
        try:
            return negotiate(offers, need, self._config, pixels=pixels, keyframes=keyframes)
        except Permanent as error:
            raise Permanent(f"{name}: {error}") from error

    def _set_controls(self, device: Device, name: str, given: Given, fps: float, need: CaptureNeed) -> None:
        wanted = self._config.controls
        if _encodes(given):
            size = given.width, given.height
            for control, value in encoder_settings(self._controls, fps, need.fps, size, wanted):
                self._ask_encoder(control.name, value)
        for control, value in settings(self._controls, wanted, name):
            device.set_control(control, value)

    def _opened(
        self, device: Device, name: str, given: Given, fps: float, choice: Choice, turned: bool
    ) -> CaptureFormat:
        encoded = _encodes(given) and not turned
        frames = [device.value(self._controls[control]) for control in DISTANCE if control in self._controls]
        distance = min(filter(None, frames), default=None) if encoded else None
        why = "decoded, for the camera does not turn it itself" if _encodes(given) and turned else choice.why
        what = f"{SPOKEN.get(given.fourcc, given.fourcc)} from {name}, {why}"
        return CaptureFormat(
            fps, given.width, given.height, encoded, distance and distance / fps, what, _encodes(given)
        )

    def _fulfil_wishes(self) -> None:
        wish = self._wishes.take()
        if wish.keyframe:
            self._ask_encoder(KEYFRAME_NOW, 1)
        if wish.kbps is not None and BITRATE not in self._config.controls:
            self._ask_encoder(BITRATE, wish.kbps * 1000)

    def _ask_encoder(self, name: str, value: int) -> None:
        if (control := self._controls.get(name)) is None or self._device is None:
            return
        try:
            self._device.set_control(control, control.nearest(value))
        except (Permanent, CameraLost) as error:
            # It still gives frames, or the next read finds out that it does not.
            self._log.warning(f"the camera's encoder takes no wishes any more: {error}")
            del self._controls[name]


def _encodes(given: Given) -> bool:
    return KINDS[given.fourcc] == "h264"
