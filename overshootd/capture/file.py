"""The `file` camera: a video at its own pace, as if it were happening now."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from overshootd.config.cameras import FileCamera as FileCameraConfig
from overshootd.contracts import AccessUnit, CaptureFormat, CaptureNeed, Picture, PixelFormat
from overshootd.errors import CameraEnded, CameraLost, Permanent
from overshootd.ffmpeg.video import Video

HOLD_NS = 1_000_000_000
"""A still that lasts longer is given again, as a camera would: screen recordings have no frames where nothing moves."""

GAP_NS = 10_000_000_000
"""A step in time that is longer is the file's mistake (FFmpeg's own dts_delta_threshold), and so is one backwards."""

LATE_NS = 1_000_000_000
"""Later than this (the machine slept), the rest follows from now on instead of all at once."""


class FileCamera:
    """Plays `path`, again and again with `loop`. Opened anew each time round, so a file may be replaced."""

    def __init__(self, config: FileCameraConfig) -> None:
        self._path = Path(config.path)
        self._loop = config.loop
        self._video: Video | None = None
        self._pace = Pace(0)
        self._due_ns: int | None = None
        self._given_ns = 0

    def open(self, need: CaptureNeed) -> CaptureFormat:
        try:
            video = self._start()
        except CameraLost as error:
            raise Permanent(str(error)) from error
        fps = max(video.fps, 1e9 / HOLD_NS)
        self._pace = Pace(round(1e9 / video.fps))
        return CaptureFormat(fps, video.width, video.height)

    def read(self, timeout: float) -> FileSample | None:
        now = time.monotonic_ns()
        if self._due_ns is None:
            self._due_ns = self._next(now)
        still = self._given_ns and self._given_ns + HOLD_NS < self._due_ns
        captured_ns = self._given_ns + HOLD_NS if still else self._due_ns
        wait = (captured_ns - now) / 1e9
        if wait > timeout:
            time.sleep(timeout)
            return None
        time.sleep(max(wait, 0.0))
        if not still:
            self._playing.advance()
            self._due_ns = None
        self._given_ns = captured_ns
        return FileSample(self, captured_ns)

    def draw(self, captured_ns: int, width: int, height: int) -> Picture:
        """The picture at the point that `read` has come to."""
        return Picture(self._playing.picture(width, height), width, height, PixelFormat.I420, captured_ns)

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        pass

    def abort(self) -> None:
        pass

    def close(self) -> None:
        if self._video is not None:
            self._video.close()
            self._video = None

    @property
    def _playing(self) -> Video:
        assert self._video is not None, "open comes first"
        return self._video

    def _next(self, now_ns: int) -> int:
        """When the next frame is due. Raises CameraEnded, or CameraLost when it cannot begin again."""
        try:
            media = self._playing.next_time()
        except CameraEnded:
            if not self._loop:
                raise
            self.close()
            self._pace.restart()
            media = self._start().next_time()
        return self._pace.due(media, now_ns)

    def _start(self) -> Video:
        if not self._path.exists():
            raise CameraLost(f"{self._path}: no such file")
        if not self._path.is_file():
            raise CameraLost(f"{self._path}: not a video file, but a directory or a device")
        # Without the scheme, a colon in the name would be taken for one.
        self._video = Video(f"file:{self._path}", str(self._path))
        return self._video


@dataclass(frozen=True, slots=True)
class FileSample:
    """A place in the video, nothing decoded yet."""

    camera: FileCamera
    captured_ns: int
    access_unit: AccessUnit | None = None

    def picture(self, width: int, height: int) -> Picture:
        return self.camera.draw(self.captured_ns, width, height)


class Pace:
    """From a video's own times, which may be missing, repeated or absurd, to a clock that only rises. Pure."""

    def __init__(self, interval_ns: int) -> None:
        self._interval_ns = interval_ns  # between two frames, where their times do not say
        self._media: float | None = None
        self._due_ns: int | None = None

    def due(self, media: float | None, now_ns: int) -> int:
        """When the frame at `media` seconds is to be given; the first one now."""
        gap_ns = self._interval_ns if media is None or self._media is None else round((media - self._media) * 1e9)
        if not 0 < gap_ns <= GAP_NS:
            gap_ns = self._interval_ns
        self._media = media
        due_ns = now_ns if self._due_ns is None else self._due_ns + gap_ns
        self._due_ns = due_ns if due_ns > now_ns - LATE_NS else now_ns
        return self._due_ns

    def restart(self) -> None:
        """The video begins again: its times do, the clock goes on."""
        self._media = None
