"""From FFmpeg's frames to the pictures that publishers take: packed I420, upright, of the size asked."""

from __future__ import annotations

from typing import TypeAlias

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

Plane: TypeAlias = NDArray[np.uint8]


class Drawer:
    """Converts, scales and turns. For one thread; it remembers the last conversion, which is then cheaper."""

    def __init__(self, *, rotate: int = 0, hflip: bool = False) -> None:
        """`rotate` is 0 or 180 degrees, then `hflip` mirrors left and right."""
        self._reformatter = VideoReformatter()
        self._mirror = (rotate == 180, (rotate == 180) != hflip)  # upside down, left to right

    def draw(self, frame: av.VideoFrame, width: int, height: int) -> memoryview:
        """The whole frame as packed I420 of this even size."""
        turns = quarter_turns(frame)
        if turns % 2:
            width, height = height, width
        # WebRTC's white is 235, JPEG's and many phones' 255. Unless both ranges are named, full range passes unchanged.
        full = frame.color_range == ColorRange.JPEG
        ranges = (ColorRange.JPEG, ColorRange.MPEG) if full else (None, None)
        scaled = self._reformatter.reformat(
            frame, width, height, "yuv420p", src_color_range=ranges[0], dst_color_range=ranges[1], threads=1
        )
        packed = scaled.to_ndarray().astype(np.uint8, copy=False).reshape(-1)
        if turns == 0 and self._mirror == (False, False):
            return packed.data
        return np.concatenate([self._turned(plane, turns).ravel() for plane in planes(packed, width, height)]).data

    def _turned(self, plane: Plane, turns: int) -> Plane:
        upside_down, mirrored = self._mirror
        turned = np.rot90(plane, turns) if turns else plane
        return turned[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def planes(packed: Plane, width: int, height: int) -> tuple[Plane, Plane, Plane]:
    """Y, U and V of a packed I420 picture, as views of its rows."""
    luma, chroma = width * height, width * height // 4
    return (
        packed[:luma].reshape(height, width),
        packed[luma : luma + chroma].reshape(height // 2, width // 2),
        packed[luma + chroma :].reshape(height // 2, width // 2),
    )


def quarter_turns(frame: av.VideoFrame) -> int:
    """How often to turn the frame by 90 degrees counterclockwise to show it upright: phones film sideways."""
    return round(frame.rotation / 90) % 4
