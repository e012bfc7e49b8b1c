"""A subscriber that compares what arrives with what was sent: `python -m bench.receiver PICTURES WARM_UP SECONDS`.

Looks at one frame a second once WARM_UP is over, for SECONDS, and prints the mean SSIM of their luma (FFmpeg's `ssim`
filter) as JSON. The room's URL and token are in LIVEKIT_URL and LIVEKIT_TOKEN.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.filter import Graph
from livekit import rtc

from bench.pictures import CELL, HEIGHT, SIZE, WIDTH, Pictures, Planes, read_number

PERIOD = 0.9
"""Seconds from one frame to the next that is looked at: all at 1 fps, however they jitter."""


async def collect(warm_up: float, seconds: float) -> list[Planes]:
    room = rtc.Room()
    subscribed: asyncio.Future[rtc.Track] = asyncio.get_running_loop().create_future()

    def on_subscribed(track: rtc.Track, *_: object) -> None:
        if not subscribed.done():
            subscribed.set_result(track)

    room.on("track_subscribed", on_subscribed)
    await room.connect(os.environ["LIVEKIT_URL"], os.environ["LIVEKIT_TOKEN"], rtc.RoomOptions(auto_subscribe=True))
    begin = time.monotonic() + warm_up
    frames: list[Planes] = []
    taken = 0.0
    async for event in rtc.VideoStream(await subscribed, capacity=1, format=rtc.VideoBufferType.I420):
        now = time.monotonic()
        if now > begin + seconds:
            break
        if now > begin and now - taken > PERIOD:
            taken = now
            frames.append(planes(event.frame))
    await room.disconnect()
    return frames


def planes(frame: rtc.VideoFrame) -> Planes:
    if (frame.width, frame.height) != (WIDTH, HEIGHT):
        raise ValueError(f"a picture of {frame.width}x{frame.height} arrived")
    return np.frombuffer(frame.data, np.uint8, SIZE)


def ssim(pictures: Pictures, frames: list[Planes]) -> list[float]:
    """One figure a frame, the rows with the number left out."""
    graph = Graph()
    size = {"width": WIDTH, "height": HEIGHT - CELL, "format": "gray8", "time_base": Fraction(1)}
    inputs = [graph.add_buffer(**size), graph.add_buffer(**size)]  # type: ignore[arg-type]
    compare, sink = graph.add("ssim"), graph.add("buffersink")
    for port, source in enumerate(inputs):
        source.link_to(compare, 0, port)
    compare.link_to(sink)
    graph.configure()
    figures = []
    for count, frame in enumerate(frames):
        original = np.frombuffer(pictures[read_number(luma(frame))], np.uint8)
        for source, each in zip(inputs, (frame, original), strict=True):
            image = av.VideoFrame.from_ndarray(luma(each)[CELL:], format="gray8")
            image.pts = count
            source.push(image)
        figures.append(float(sink.pull().metadata["lavfi.ssim.Y"]))
    return figures


def luma(frame: Planes) -> Planes:
    return frame[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)


if __name__ == "__main__":
    arrived = asyncio.run(collect(float(sys.argv[2]), float(sys.argv[3])))
    figures = ssim(Pictures(Path(sys.argv[1])), arrived)
    print(json.dumps({"frames": len(figures), "ssim": float(np.mean(figures)), "worst": min(figures)}), flush=True)
    os._exit(0)
