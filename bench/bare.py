"""What overshootd is compared with: the SDK alone, as its examples use it.

`python -m bench.bare PICTURES FPS MAX_BITRATE CODEC`, the room's URL and token in LIVEKIT_URL and LIVEKIT_TOKEN.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from livekit import rtc
from livekit.rtc._proto.room_pb2 import DEGRADATION_PREFERENCE_MAINTAIN_RESOLUTION

from bench.pictures import FPS, HEIGHT, WIDTH, Pictures


async def main(pictures: Pictures, fps: float, max_bitrate: int, codec: str) -> None:
    room = rtc.Room()
    await room.connect(
        os.environ["LIVEKIT_URL"], os.environ["LIVEKIT_TOKEN"], rtc.RoomOptions(auto_subscribe=False, dynacast=False)
    )
    source = rtc.VideoSource(WIDTH, HEIGHT)
    options = rtc.TrackPublishOptions(
        source=rtc.TrackSource.SOURCE_CAMERA,
        simulcast=False,
        video_codec=rtc.VideoCodec.Value(codec.upper()),
        video_encoding=rtc.VideoEncoding(max_bitrate=max_bitrate, max_framerate=max(fps, 5.0)),
        degradation_preference=DEGRADATION_PREFERENCE_MAINTAIN_RESOLUTION,
    )
    start, step = time.monotonic(), round(FPS / fps)
    number = 0
    show(source, pictures[number])
    await room.local_participant.publish_track(rtc.LocalVideoTrack.create_video_track("camera", source), options)
    while True:
        number = int((time.monotonic() - start) * fps) + 1
        await asyncio.sleep(start + number / fps - time.monotonic())
        show(source, pictures[number * step])


def show(source: rtc.VideoSource, data: memoryview) -> None:
    frame = rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.I420, data)
    source.capture_frame(frame, timestamp_us=time.monotonic_ns() // 1000)


if __name__ == "__main__":
    asyncio.run(main(Pictures(Path(sys.argv[1])), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
