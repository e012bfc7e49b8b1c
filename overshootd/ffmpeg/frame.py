"""Our pictures as FFmpeg's frames, for encoders."""

from __future__ import annotations

import av

from overshootd.contracts import Picture, PixelFormat

LAYOUTS = {PixelFormat.I420: "yuv420p", PixelFormat.NV12: "nv12"}


def frame_of(picture: Picture) -> av.VideoFrame:
    """A copy of this picture, its rows padded as FFmpeg wants them."""
    frame = av.VideoFrame(picture.width, picture.height, LAYOUTS[picture.format])
    view, offset = memoryview(picture.data).cast("B"), 0
    for plane in frame.planes:
        # NV12's second plane has two bytes for each of its pixels.
        row = plane.width * (2 if picture.format is PixelFormat.NV12 and offset else 1)
        end = offset + row * plane.height
        plane.update(_padded(view[offset:end], row, plane.line_size))  # type: ignore[arg-type]  # any buffer
        offset = end
    return frame


def _padded(rows: memoryview, row: int, line: int) -> memoryview | bytes:
    """Rows of `row` bytes, `line` bytes apart."""
    if row == line:
        return rows
    padding = bytes(line - row)
    return b"".join(bytes(rows[start : start + row]) + padding for start in range(0, len(rows), row))
