"""The board's encoder, played by x264."""

from __future__ import annotations

import fcntl
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray

_IOCTL = fcntl.ioctl


class H264Encoder:
    def __init__(self, bitrate: int, repeat: bool, iperiod: int) -> None:
        assert repeat
        from . import tell

        self.output: Any = None
        self.size = (0, 0)
        self.frame_skip_count = 1
        self.vd = open("/dev/null", "rb+", buffering=0)  # noqa: SIM115 - open as long as the encoder is
        self._iperiod, self._context = iperiod, None
        self._count = self._forced = 0
        tell("encoder", {"bitrate": bitrate, "iperiod": iperiod})

        def ioctl(fd: Any, request: int, value: Any = 0) -> Any:
            return tell("ioctl", [request, list(value)]) if fd is self.vd else _IOCTL(fd, request, value)

        fcntl.ioctl = ioctl  # type: ignore[assignment]

    def force_key_frame(self) -> None:
        self._forced += 1

    def encode(self, luma: NDArray[np.uint8]) -> None:
        self._count += 1
        if (self._count - 1) % self.frame_skip_count:
            return
        frame = av.VideoFrame.from_ndarray(luma, "gray").reformat(format="yuv420p")
        frame.pts = self._count
        if self._forced:
            self._forced -= 1
            frame.pict_type = PictureType.I
        for packet in self._opened().encode(frame):
            self.output.outputframe(bytes(packet), packet.is_keyframe, frame.pts)

    def _opened(self) -> Any:
        if self._context is None:
            context: Any = av.CodecContext.create("libx264", "w")
            context.width, context.height, context.pix_fmt = *self.size, "yuv420p"
            context.time_base = Fraction(1, 30)
            context.options = {"g": str(self._iperiod), "preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1"}
            self._context = context
        return self._context
