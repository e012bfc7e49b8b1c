"""The `picamera2` camera: a CSI camera of a Raspberry Pi, in a child process under the system's Python.

Its picamera2 must match its libcamera and its NumPy, none of which are ours; and a driver that hangs is killed with the
child. See picamera2_child.py for what the two say to each other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overshootd.capture.program.process import Leftovers, Program, ProgramCamera
from overshootd.capture.program.rates import KEYFRAME_SECONDS, bitrate, sensor_fps
from overshootd.capture.program.video import RawVideo, UnitVideo, Video
from overshootd.capture.users import users_of
from overshootd.config.cameras import Picamera2Camera as Picamera2Config
from overshootd.contracts import CaptureFormat, CaptureNeed, Log, Sample
from overshootd.errors import CameraBusy, CameraLost, OvershootdError, Permanent
from overshootd.ffmpeg.draw import Drawer

PYTHON = "/usr/bin/python3"
CHILD = Path(__file__).with_name("picamera2_child.py")

OPEN_SECONDS = 14.0
"""Of those that the feed gives (`Limits.open`): importing picamera2 alone takes 5 on the smallest Pi."""

LIST_SECONDS = 30.0
"""Each sensor's modes are tried one by one."""

HEADER_BYTES = LIST_BYTES = 2**16
NONE_SEEN, IN_USE, CONFIGURATION, SENTENCES = 66, 75, 78, (66, 69, 75, 78)
"""The child's exit codes. With each of them the last line that it says is meant for a person."""

LAYOUTS = {"i420": "YU12", "nv12": "NV12", "rgb24": "RGB3", "bgr24": "BGR3"}
"""V4L2's names (`ffmpeg.live.RAW_FORMATS`) of what the child writes."""

ENCODER = "sys/class/video4linux/video11/name"
ENCODER_NAME = "bcm2835-codec-encode"
LARGEST = 1920, 1080
"""The encoder of the Pi 4 and older, the node that picamera2 expects it at, and what it can do."""


class Picamera2Camera(ProgramCamera):
    """Starts the child anew for each opening."""

    def __init__(
        self,
        config: Picamera2Config,
        log: Log,
        leftovers: Leftovers | None = None,
        *,
        python: str = PYTHON,
        root: Path = Path("/"),
    ) -> None:
        """`leftovers` is shared by all instances for one camera. `python` is the interpreter that has picamera2, and
        `root` the prefix of /sys and /dev."""
        super().__init__()
        self._config, self._log, self._python, self._root = config, log, python, root
        self._leftovers = leftovers or Leftovers()
        self._video: Video | None = None

    def open(self, need: CaptureNeed) -> CaptureFormat:
        end = time.monotonic() + OPEN_SECONDS
        wanted = parameters(self._config, need, has_encoder(self._root))
        argv = (self._python, "-I", str(CHILD), "run", json.dumps(wanted))
        program = Program(argv, self._log, self._leftovers, name="picamera2", listens=True)
        self._start(program)
        try:
            header = _header(program, end)
            self._video = _video(self._config, program, header, need)
            return self._video.begin(max(end - time.monotonic(), 1.0))
        except CameraLost as error:
            raise meant(program, error, self._root) from error

    def read(self, timeout: float) -> Sample | None:
        assert self._program is not None, "open comes first"
        assert self._video is not None
        try:
            return self._video.read(timeout)
        except CameraLost as error:
            raise meant(self._program, error, self._root) from error

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        """For the board's encoder. Its rate is the sensor's, so wishes for another are not passed on."""
        if self._program is not None and (keyframe or kbps):
            self._program.say(json.dumps({"keyframe": keyframe, "kbps": kbps}).encode() + b"\n")


def parameters(config: Picamera2Config, need: CaptureNeed, encoder: bool) -> dict[str, Any]:
    """What the child is told."""
    width, height = config.width or need.width, config.height or need.height
    fps = config.fps or need.fps
    fits = width <= LARGEST[0] and height <= LARGEST[1]
    return {
        "camera": config.camera,
        "width": width,
        "height": height,
        "fps": fps,
        "sensor_fps": sensor_fps(config.fps, need.fps),
        "hflip": (config.rotate == 180) != config.hflip,
        "vflip": config.rotate == 180,
        "h264": encoder and fits and config.hardware_h264,
        "keyframe_seconds": KEYFRAME_SECONDS,
        "bitrate": bitrate(width, height, fps),
        "controls": dict(config.controls),
        "tuning": config.tuning,
    }


def has_encoder(root: Path = Path("/")) -> bool:
    """Whether this board encodes H.264 (Pi 4 and older). `root` is the prefix of /sys."""
    try:
        return (root / ENCODER).read_text().strip() == ENCODER_NAME
    except OSError:
        return False


def meant(program: Program, error: CameraLost, root: Path) -> OvershootdError:
    """The child's own sentence, where it has ended with one; who has the camera, where that is the reason."""
    if program.code not in SENTENCES or not program.said:
        return error
    sentence = program.said[-1]
    if program.code == CONFIGURATION:
        return Permanent(sentence)
    if program.code not in (NONE_SEEN, IN_USE):
        return CameraLost(sentence)
    nodes = sorted((root / "dev").glob("media*"))
    users = ", ".join(dict.fromkeys(user for node in nodes for user in users_of(str(node))))
    if program.code == IN_USE:
        return CameraBusy(f"{sentence}: {users}" if users else f"{sentence}; `sudo fuser -v /dev/media*` shows by whom")
    return CameraBusy(f"libcamera sees no camera; one may be in use by {users}") if users else CameraLost(sentence)


def _header(program: Program, end: float) -> Mapping[str, Any]:
    """The child's first line. Raises CameraLost."""
    data = b""
    while b"\n" not in data:
        left = end - time.monotonic()
        if left <= 0 or len(data) > HEADER_BYTES:
            raise CameraLost(program.explained(f"gave no frame within {OPEN_SECONDS:g} s"))
        data += program.read(left)
    line, _, rest = data.partition(b"\n")
    program.unread(rest)
    header: Mapping[str, Any] = json.loads(line)
    return header


def _video(config: Picamera2Config, program: Program, header: Mapping[str, Any], need: CaptureNeed) -> Video:
    turned = header["turned"]
    drawer = Drawer() if turned else Drawer(rotate=config.rotate, hflip=config.hflip)
    if header["format"] == "h264":
        known = header["keyframe_seconds"]
        return UnitVideo(program, drawer, header["fps"], need.fps, turned=not turned, known=known)
    layout = LAYOUTS[header["format"]]
    return RawVideo(program, drawer, layout, header["width"], header["height"], header["fps"])


@dataclass(frozen=True, slots=True)
class LibcameraCamera:
    """A camera that libcamera knows. `modes`: width, height and highest rate, if known, of what its sensor can do;
    empty while another process has it."""

    number: int
    id: str
    model: str
    modes: tuple[tuple[int, int, float | None], ...] = ()

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Without doubles, the largest first."""
        return tuple(sorted({(width, height) for width, height, _ in self.modes}, reverse=True))


def libcamera_cameras(python: str = PYTHON, seconds: float = LIST_SECONDS) -> list[LibcameraCamera]:
    """All that libcamera knows, USB cameras included. Raises CameraLost or Permanent with the reason why none can be
    seen, such as that picamera2 is not installed."""
    program = Program((python, "-I", str(CHILD), "list"), _Silent(), Leftovers(), name="picamera2")
    program.start()
    found: dict[int, LibcameraCamera] = {}
    data, end = b"", time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0 and len(data) < LIST_BYTES:
            *lines, data = (data + program.read(left)).split(b"\n")
            for camera in map(_camera, lines):
                found[camera.number] = camera
    except CameraLost as error:
        if program.code != 0:
            raise meant(program, error, Path("/")) from error
    finally:
        program.stop()
    if not found and program.code != 0:
        raise CameraLost(f"libcamera gave no answer within {seconds:g} s")
    return list(found.values())


def _camera(line: bytes) -> LibcameraCamera:
    told = json.loads(line)
    modes = tuple((width, height, fps) for width, height, fps in told.get("modes", ()))
    return LibcameraCamera(told["number"], told["id"], told["model"], modes)


class _Silent:
    """A log for a look that is no event."""

    def bind(self, **context: Any) -> Log:
        return self

    def debug(self, event: str, **context: Any) -> None:
        pass

    info = warning = error = debug
