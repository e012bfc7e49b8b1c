"""What overshootd is compared with: the LiveKit SDK alone, as its README publishes a video track.

`python -m bench.net.plain WIDTH HEIGHT FPS`, the room's URL and token in LIVEKIT_URL and LIVEKIT_TOKEN. It ends when
the SDK has given up.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from livekit import rtc

from overshootd.capture.testcam import TestCamera
from overshootd.config.cameras import TestCamera as TestCameraConfig


async def main(width: int, height: int, fps: float) -> int:
    """The exit code."""
    room, gone = rtc.Room(), asyncio.Event()
    room.on("disconnected", lambda *_: gone.set())
    options = rtc.RoomOptions(auto_subscribe=False, dynacast=False)
    await room.connect(os.environ["LIVEKIT_URL"], os.environ["LIVEKIT_TOKEN"], options)
    source = rtc.VideoSource(width, height)
    track = rtc.LocalVideoTrack.create_video_track("camera", source)
    await room.local_participant.publish_track(
        track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=False)
    )
    camera = TestCamera(TestCameraConfig(type="test", width=width, height=height, fps=fps))
    start, number = time.monotonic(), 0
    while not gone.is_set():
        picture = camera.draw(number, time.monotonic_ns(), width, height)
        source.capture_frame(rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, picture.data))
        number = int((time.monotonic() - start) * fps) + 1
        await asyncio.sleep(start + number / fps - time.monotonic())
    return 1


if __name__ == "__main__":
    os._exit(asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
