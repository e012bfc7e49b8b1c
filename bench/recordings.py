"""What a camera would send, recorded once: JPEG pictures and H.264 access units of the bench's pictures."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from bench.pictures import FPS, HEIGHT, SIZE, WIDTH, Pictures

LENGTH = struct.Struct("<I")
COUNT = 300
"""Ten seconds at 30 fps; the player begins again then, with a keyframe."""

DELIMITER = bytes((0, 0, 0, 1, 9, 0xF0))
"""An access unit delimiter (ITU-T H.264, 7.3.2.4): the unit before it is complete, and nobody waits for the next."""


def mjpeg(path: Path, pictures: Pictures) -> Path:
    """COUNT pictures of 720p, as large as a webcam's (some 100 kB)."""
    options = {"qmin": "4", "qmax": "4"}
    return _write(path, (bytes(packet) for packet in _encoded(pictures, "mjpeg", "yuvj420p", 1, options)))


def h264(path: Path, pictures: Pictures, *, fps: int = 30, gop: int = 30, kbps: int = 2000) -> Path:
    """COUNT access units of 720p, one of every FPS / `fps` pictures, a keyframe every `gop`; no B-frames."""
    rate = {"b:v": f"{kbps}k", "maxrate": f"{kbps}k", "bufsize": f"{kbps}k"}
    options = {"preset": "veryfast", "tune": "zerolatency", "bf": "0", "g": str(gop), "sc_threshold": "0", **rate}
    packets = _encoded(pictures, "libx264", "yuv420p", round(FPS / fps), options)
    return _write(path, (bytes(packet) + DELIMITER for packet in packets))


def frames(path: Path) -> list[bytes]:
    """What `_write` wrote."""
    data, offset, found = path.read_bytes(), 0, []
    while offset < len(data):
        (length,) = LENGTH.unpack_from(data, offset)
        found.append(data[offset + LENGTH.size : offset + LENGTH.size + length])
        offset += LENGTH.size + length
    return found


def _encoded(
    pictures: Pictures, codec: str, pixels: str, step: int, options: dict[str, str]
) -> Iterator[av.Packet[av.VideoStream]]:
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, pixels
    context.time_base = Fraction(1, round(FPS / step))
    context.framerate = Fraction(round(FPS / step))
    context.options = options
    for number in range(COUNT):
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        data = pictures[number * step][:SIZE]
        luma, chroma = WIDTH * HEIGHT, WIDTH * HEIGHT // 4
        for plane, part in zip(frame.planes, (data[:luma], data[luma : luma + chroma], data[-chroma:]), strict=True):
            plane.update(bytes(part))
        frame.pts = number
        yield from context.encode(frame.reformat(format=pixels) if pixels != "yuv420p" else frame)
    yield from context.encode(None)


def _write(path: Path, units: Iterator[bytes]) -> Path:
    with path.open("wb") as file:
        for unit in units:
            file.write(LENGTH.pack(len(unit)) + unit)
    return path
