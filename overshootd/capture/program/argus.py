"""The `argus` camera: a Jetson's CSI sensor, through a GStreamer pipeline of NVIDIA's elements.

Argus and its encoder exist on a Jetson only: here they can be faked, not tested.
"""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from overshootd.capture.program.process import Leftovers, Program, ProgramCamera
from overshootd.capture.program.rates import bitrate, keyframe_frames, sensor_fps
from overshootd.capture.program.video import RawVideo, UnitVideo, Video
from overshootd.config.cameras import ArgusCamera as ArgusConfig
from overshootd.contracts import CaptureFormat, CaptureNeed, Log, Sample
from overshootd.errors import CameraLost, OvershootdError, Permanent
from overshootd.ffmpeg.draw import Drawer

GST_LAUNCH = "gst-launch-1.0"
OPEN_SECONDS = 12.0
"""Argus itself gives up after some 5 s, and has the reason in its words; `feed.Limits.open` is more."""

ENCODERS = ("dev/v4l2-nvenc", "dev/nvhost-msenc")
"""The encoder's node: of JetPack 6, and of those before."""

WITHOUT_ENCODER = "Orin Nano"
"""JetPack makes the node there too, but the chip has no NVENC."""

FLIPS = {(180, False): 2, (0, True): 4, (180, True): 6}
"""nvvidconv's flip-method, by `rotate` and `hflip`."""


@dataclass(frozen=True, slots=True)
class Board:
    """What of a Jetson matters here."""

    model: str
    encoder: bool


def board(root: Path = Path("/")) -> Board:
    """Which one this is. `root` is the prefix of /dev and /proc."""
    try:
        model = (root / "proc/device-tree/model").read_text(errors="replace").rstrip("\0\n")
    except OSError:
        model = ""
    node = any((root / path).exists() for path in ENCODERS)
    return Board(model, node and WITHOUT_ENCODER not in model)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What to start, and what comes out of it: I420's sibling NV12, or H.264 with so many seconds between keyframes."""

    argv: tuple[str, ...]
    width: int
    height: int
    fps: float
    keyframe_seconds: float | None


def pipeline(config: ArgusConfig, need: CaptureNeed, encoder: bool) -> Pipeline:
    """H.264 where there is an `encoder`, NV12 elsewhere."""
    fps = sensor_fps(config.fps, need.fps)
    # Without an encoder the rows are written as GStreamer keeps them, which is in steps of 4 bytes.
    width, height = config.width if encoder else config.width // 4 * 4, config.height
    rate = Fraction(fps).limit_denominator(1001)
    size = f"width={width},height={height}"
    nvmm = f"video/x-raw(memory:NVMM),{size},framerate={rate.numerator}/{rate.denominator},format=NV12"
    flip = FLIPS.get((config.rotate, config.hflip), 0)
    source = f"nvarguscamerasrc sensor-id={config.sensor_id} ! {nvmm}"
    turned = f"nvvidconv flip-method={flip} !"
    raw = f"{turned} video/x-raw,format=NV12,{size}"
    frames = keyframe_frames(fps, need.fps)
    encoded = (
        f"{f'{turned} {nvmm} ! ' if flip else ''}nvv4l2h264enc bitrate={bitrate(width, height, fps)} "
        f"idrinterval={frames} iframeinterval={frames} insert-sps-pps=true ! h264parse ! "
        "video/x-h264,stream-format=byte-stream,alignment=au"
    )
    argv = f"{GST_LAUNCH} -q {source} ! {encoded if encoder else raw} ! fdsink fd={{fd}}".split()
    return Pipeline(tuple(argv), width, height, fps, frames / fps if encoder else None)


@dataclass(frozen=True, slots=True)
class Cause:
    """How a known failure shows itself, and what a person can do about it. `final`: trying again cannot help."""

    sign: re.Pattern[str]
    remedy: str
    final: bool = False


_MISSING = "no element [\"']?"
CAUSES = (
    Cause(re.compile(_MISSING + "h264parse"), "sudo apt install gstreamer1.0-plugins-bad", final=True),
    Cause(
        re.compile(_MISSING + "nv"), "NVIDIA's elements are missing: sudo apt install nvidia-l4t-gstreamer", final=True
    ),
    Cause(
        re.compile("No cameras available|Invalid camera device", re.IGNORECASE),
        "is its cable in, and the sensor chosen in sudo /opt/nvidia/jetson-io/jetson-io.py?",
    ),
    Cause(
        re.compile(r"Connecting to nvargus-daemon failed: No such file", re.IGNORECASE),
        "sudo systemctl restart nvargus-daemon; its socket is in /tmp, so the unit must not have PrivateTmp=yes",
    ),
    Cause(
        re.compile(
            r"nvargus-daemon|CaptureSession|Failed to create Camera ?Provider|\(Argus\) Error|Argus Error Status"
            r"|Connection refused|SocketClient",
            re.IGNORECASE,
        ),
        "Argus is dead or hangs, as after the crash of a program that used it: sudo systemctl restart nvargus-daemon",
    ),
)
"""What GStreamer and Argus print, the more special first."""


def advised(error: CameraLost, said: Iterable[str]) -> OvershootdError:
    """The error with the line that tells the cause, and the remedy; as it is where no line is known."""
    for cause in CAUSES:
        for line in said:
            if cause.sign.search(line):
                what = str(error).partition(": ")[0]
                return (Permanent if cause.final else CameraLost)(f"{what}: {line}; {cause.remedy}")
    return error


class ArgusCamera(ProgramCamera):
    """Starts the pipeline anew for each opening."""

    def __init__(
        self, config: ArgusConfig, log: Log, leftovers: Leftovers | None = None, root: Path = Path("/")
    ) -> None:
        """`leftovers` is shared by all instances for one camera; `root` as in `board`."""
        super().__init__()
        self._config, self._log, self._root = config, log, root
        self._leftovers = leftovers or Leftovers()
        self._video: Video | None = None

    def open(self, need: CaptureNeed) -> CaptureFormat:
        if shutil.which(GST_LAUNCH) is None:
            raise Permanent(f"{GST_LAUNCH}: no such program; sudo apt install gstreamer1.0-tools")
        plan = pipeline(self._config, need, board(self._root).encoder)
        # NVIDIA's elements print to the standard output. On INT the pipeline is shut down properly; a program that just
        # dies may take Argus with it.
        program = Program(plan.argv, self._log, self._leftovers, aside=True, polite=signal.SIGINT)
        self._start(program)
        self._video = _video(program, plan, need)
        try:
            return self._video.begin(OPEN_SECONDS)
        except CameraLost as error:
            raise advised(error, program.said) from error

    def read(self, timeout: float) -> Sample | None:
        assert self._video is not None, "open comes first"
        assert self._program is not None
        try:
            return self._video.read(timeout)
        except CameraLost as error:
            raise advised(error, self._program.said) from error

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        """gst-launch takes no wishes."""


def _video(program: Program, plan: Pipeline, need: CaptureNeed) -> Video:
    if plan.keyframe_seconds is None:
        return RawVideo(program, Drawer(), "NV12", plan.width, plan.height, plan.fps)
    return UnitVideo(program, Drawer(), plan.fps, need.fps, turned=False, known=plan.keyframe_seconds)
