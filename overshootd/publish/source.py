"""What frames are put into: pictures, which the library encodes, and access units, which it sends as they are."""

from __future__ import annotations

import time
from typing import Protocol

from livekit import rtc

from overshootd.contracts import AccessUnit, Log, Media, Picture, PixelFormat, PublishPlan, Wish
from overshootd.errors import Congested, Transient
from overshootd.publish.health import Losses

CODECS = {
    "vp8": rtc.VideoCodec.VP8,
    "vp9": rtc.VideoCodec.VP9,
    "h264": rtc.VideoCodec.H264,
    "av1": rtc.VideoCodec.AV1,
}

FORMATS = {
    PixelFormat.I420: rtc.VideoBufferType.I420,
    PixelFormat.NV12: rtc.VideoBufferType.NV12,
    PixelFormat.RGB24: rtc.VideoBufferType.RGB24,
}

UNITS_BITRATE = 8_000_000
"""Bits per second that access units may take. None is left out for being above: 1.5 Mbit/s passed whole under a limit
of 300 kbit/s. But the limit is the pace of large frames: keyframes of 100 kB arrived after 400 ms then, and after
110 ms under this one, and no more was sent in all (720p, livekit-server). What the encoder is told is the plan's."""

STEP_US = 1000
"""Least time between two frames: the library asks for times that rise, and counts in milliseconds."""

ON_ITS_WAY = 0.01
"""Seconds in which a frame that was taken may not be counted as sent yet; it took 1 to 3 ms."""


class Source(Protocol):
    """One track's source. Used in the event loop only."""

    taken: int
    """Frames that the library took so far. Taken is not sent."""

    def track(self) -> rtc.LocalVideoTrack: ...

    def push(self, media: Media) -> Wish:
        """Hand it over. Raises Transient when it is not of the plan's size."""

    def look(self, sent: int | None, asked: float) -> None:
        """Learn how many of those taken had been sent at `asked` (monotonic seconds), None while that is not known.

        Raises Congested as `contracts.Publisher.watch`.
        """

    def begin_anew(self) -> None:
        """Whoever receives has seen nothing yet."""

    def summary(self) -> dict[str, int]:
        """What is worth a word in the log at the end."""

    async def close(self) -> None: ...


def source_for(plan: PublishPlan, log: Log) -> Source:
    return UnitSource(plan, log) if plan.encoded else PictureSource(plan)


def options(plan: PublishPlan) -> rtc.TrackPublishOptions:
    """How the track is published."""
    wanted = rtc.TrackPublishOptions(
        source=rtc.TrackSource.SOURCE_CAMERA,
        simulcast=False,
        video_codec=CODECS[plan.codec],
        video_encoding=rtc.VideoEncoding(max_bitrate=plan.max_bitrate, max_framerate=_framerate_limit(plan.fps)),
        degradation_preference=rtc.DegradationPreference.MAINTAIN_RESOLUTION.value,
    )
    if plan.encoded:
        wanted.video_encoder = rtc.VideoEncoderBackend.ENCODER_BACKEND_PRE_ENCODED
        wanted.video_encoding.max_bitrate = max(plan.max_bitrate, UNITS_BITRATE)
    return wanted


def _framerate_limit(fps: float) -> float:
    # The SDK drops what comes faster than this; pacing has dropped already, and jitter must not cost a frame.
    return max(2.0 * fps, 5.0)


class PictureSource:
    """Pictures for one of the library's own encoders."""

    def __init__(self, plan: PublishPlan) -> None:
        self.taken = 0
        self._source = rtc.VideoSource(plan.width, plan.height)

    def track(self) -> rtc.LocalVideoTrack:
        return rtc.LocalVideoTrack.create_video_track("camera", self._source)

    def push(self, media: Media) -> Wish:
        if not isinstance(media, Picture):
            raise TypeError("this publisher encodes pictures; it has no source for access units")
        frame = rtc.VideoFrame(media.width, media.height, FORMATS[media.format], media.data)
        self._source.capture_frame(frame, timestamp_us=media.captured_ns // 1000)
        self.taken += 1
        return Wish()

    def look(self, sent: int | None, asked: float) -> None:
        """A picture that was not sent spoils no other."""

    def begin_anew(self) -> None:
        """The library sees to its encoder's keyframes."""

    def summary(self) -> dict[str, int]:
        return {}

    async def close(self) -> None:
        await self._source.aclose()


class UnitSource:
    """Access units. After a loss nothing goes out up to the next keyframe, which is wished for at every frame."""

    def __init__(self, plan: PublishPlan, log: Log) -> None:
        self.taken = 0
        self._plan = plan
        self._log = log
        self._source = rtc.EncodedVideoSource(plan.width, plan.height)
        self._broken = True  # until a keyframe comes
        self._told = False
        self._skipped = self._refused = 0
        self._timestamp_us = 0
        self._taken_at = float("-inf")
        self._losses = Losses(time.monotonic())

    def track(self) -> rtc.LocalVideoTrack:
        return rtc.LocalVideoTrack.create_video_track("camera", self._source)

    def push(self, media: Media) -> Wish:
        if not isinstance(media, AccessUnit):
            raise TypeError("this publisher passes access units on; it has no source for pictures")
        if (media.width, media.height) != (self._plan.width, self._plan.height):
            raise Transient(
                f"the camera's H.264 has changed from {self._plan.width}x{self._plan.height} "
                f"to {media.width}x{media.height}"
            )
        self._broken = self._broken and not media.keyframe
        if self._broken:
            self._skipped += 1
        else:
            self._capture(media)
        feedback = self._source.take_feedback()
        kbps = None if feedback.rate_control is None else feedback.rate_control.target_bitrate_bps // 1000
        # Its frame rate is no wish: it is what the library measured of ours.
        return Wish(feedback.keyframe_requested or self._broken, kbps)

    def _capture(self, unit: AccessUnit) -> None:
        self._timestamp_us = max(unit.captured_ns // 1000, self._timestamp_us + STEP_US)
        self._taken_at = time.monotonic()
        kinds = rtc.EncodedFrameType
        frame = rtc.EncodedVideoFrame(
            data=unit.data,
            width=unit.width,
            height=unit.height,
            codec=rtc.VideoCodec.H264,
            frame_type=kinds.ENCODED_FRAME_KEY if unit.keyframe else kinds.ENCODED_FRAME_DELTA,
            timestamp_us=self._timestamp_us,
        )
        if self._source.capture_frame(frame):
            self.taken += 1
        else:
            self._refused += 1
            self._lose("the library refused an access unit")

    def look(self, sent: int | None, asked: float) -> None:
        if sent is not None and asked - self._taken_at < ON_ITS_WAY:
            return
        if lost := self._losses.look(asked, self.taken, sent):
            self._lose(f"access units not sent: {lost}")
        why = self._losses.narrow(asked, self.taken)
        if why and self._plan.replaceable:
            raise Congested(why)

    def begin_anew(self) -> None:
        self._broken = True

    def _lose(self, what: str) -> None:
        say = self._log.debug if self._told else self._log.warning  # the rest is told when the room is left
        say(f"{what}; nothing is passed on up to the next keyframe")
        self._broken = self._told = True

    def summary(self) -> dict[str, int]:
        return {"lost": self._losses.total + self._refused, "skipped": self._skipped}

    async def close(self) -> None:
        await self._source.aclose()
