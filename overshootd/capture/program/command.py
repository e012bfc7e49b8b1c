"""The `command` camera: whatever program writes video to its standard output.

Its H.264 is Annex B. FFmpeg's parser knows that a picture is complete when the next begins, so the newest waits for one
camera interval; a program that writes an access unit delimiter (00 00 00 01 09 F0) after each picture avoids that.
"""

from __future__ import annotations

from overshootd.capture.program.launch import filled
from overshootd.capture.program.process import Leftovers, Program, ProgramCamera
from overshootd.capture.program.video import JpegVideo, RawVideo, UnitVideo, Video
from overshootd.config.cameras import CommandCamera as CommandConfig
from overshootd.contracts import CaptureFormat, CaptureNeed, Log, Sample
from overshootd.errors import Permanent
from overshootd.ffmpeg.draw import Drawer

OPEN_SECONDS = 10.0
"""A program has so long for its first frame; less than `feed.Limits.open`, for its last words say more than that."""


class CommandCamera(ProgramCamera):
    """Starts the program anew for each opening."""

    def __init__(self, config: CommandConfig, log: Log, leftovers: Leftovers | None = None) -> None:
        """`leftovers` is shared by all instances for one camera."""
        super().__init__()
        self._config, self._log = config, log
        self._leftovers = leftovers or Leftovers()
        self._video: Video | None = None

    def open(self, need: CaptureNeed) -> CaptureFormat:
        argv, fps = command(self._config, need)
        program = Program(argv, self._log, self._leftovers)
        self._start(program)
        self._video = self._reader(program, fps, need)
        return self._video.begin(OPEN_SECONDS)

    def read(self, timeout: float) -> Sample | None:
        assert self._video is not None, "open comes first"
        return self._video.read(timeout)

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        """No program knows of a common way to be told."""

    def _reader(self, program: Program, fps: float, need: CaptureNeed) -> Video:
        config = self._config
        drawer = Drawer(rotate=config.rotate, hflip=config.hflip)
        match config.format:
            case "i420":
                return RawVideo(program, drawer, "YU12", *_size(config, need), fps)
            case "mjpeg":
                return JpegVideo(program, drawer, fps)
            case "h264":
                turned = config.rotate != 0 or config.hflip
                return UnitVideo(program, drawer, fps, need.fps, turned=turned)


def command(config: CommandConfig, need: CaptureNeed) -> tuple[list[str], float]:
    """The program's arguments, and the frames per second that it will give. Raises Permanent.

    A program that is told a rate is told what is needed, unless the configuration has one. All others have their own.
    """
    if config.format == "i420" and not (config.width and config.height):
        raise Permanent("i420 is bare pixels, which do not say their size; give width and height")
    told = any("{fps}" in argument for argument in config.argv)
    fps = need.fps if told and "fps" not in config.model_fields_set else config.fps
    return filled(config.argv, *_size(config, need), fps), fps


def _size(config: CommandConfig, need: CaptureNeed) -> tuple[int, int]:
    return config.width or need.width, config.height or need.height
