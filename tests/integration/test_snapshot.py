"""`overshootd snapshot`: the picture is what the stream may show, and what goes wrong is said without a password."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from overshootd.capture.once import Shot, settled, take
from overshootd.cli import main
from overshootd.config.cameras import Rectangle, View
from overshootd.contracts import AccessUnit, Camera, CaptureFormat, CaptureNeed, Picture, PixelFormat
from overshootd.errors import CameraBusy, CameraEnded, CameraLost, FrameSpoiled, Permanent
from tests.integration.fake_v4l2_camera import FakeCamera
from tests.integration.v4l2_bed import bed_at
from tests.videos import write_video

STREAM = "processing: {interval_seconds: 1}, inference: {prompt: x, model: y}"
RIGHT_HALF = "{x: 0.5, y: 0, width: 0.5, height: 1}"
Rgb = NDArray[np.uint8]
Write = Callable[[str], Path]


@pytest.fixture
def config(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "x.yaml"
        path.write_text(text)
        return path

    return write


def pixels(content: bytes) -> Rgb:
    with av.open(io.BytesIO(content), "r", format="mjpeg") as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24").astype(np.uint8)


def shot(tmp_path: Path, config: Path, name: str) -> Rgb:
    output = tmp_path / "picture.jpg"
    assert main(["snapshot", name, "-o", str(output), "-c", str(config)]) == 0
    return pixels(output.read_bytes())


def black(part: Rgb) -> bool:
    return bool(part.max() <= 8)


def test_a_camera_is_shown_as_its_own_view_at_its_own_size(tmp_path: Path, config: Write) -> None:
    mask = "{x: 0, y: 0, width: 0.5, height: 0.5}"
    seen = shot(tmp_path, config(f"cameras: {{a: {{type: test, width: 640, height: 360, masks: [{mask}]}}}}"), "a")
    assert seen.shape == (360, 640, 3)
    assert black(seen[4:176, 4:316])
    assert not black(seen[4:176, 330:])
    assert not black(seen[184:, :])


def test_a_stream_is_shown_as_it_would_be_published(tmp_path: Path, config: Write) -> None:
    path = config(
        f"cameras: {{a: {{type: test, width: 1920, height: 1080, crop: {RIGHT_HALF}}}}}\n"
        f"streams: {{s: {{camera: a, {STREAM}, masks: [{{x: 0.75, y: 0, width: 0.25, height: 1}}]}},"
        f" t: {{camera: a, {STREAM}, publish: {{size: 320x360}}}}}}"
    )
    seen = shot(tmp_path, path, "s")
    assert seen.shape == (810, 720, 3)  # the half is upright, as 720p is then
    assert black(seen[:, 368:])
    assert not black(seen[:, :352])
    assert shot(tmp_path, path, "t").shape == (360, 320, 3)


def test_a_stream_needs_no_key_of_the_api_for_it(tmp_path: Path, config: Write) -> None:
    path = config(f"api: {{key: {{env: NONE}}}}\nstreams: {{s: {{camera: {{type: test}}, {STREAM}}}}}")
    assert shot(tmp_path, path, "s").shape == (720, 1280, 3)


def test_a_video_file_is_shown_from_its_beginning(tmp_path: Path, config: Write) -> None:
    video = write_video(tmp_path / "film.avi")
    seen = shot(tmp_path, config(f"cameras: {{a: {{type: file, path: {video}}}}}"), "a")
    assert seen.shape == (240, 320, 3)


def test_the_picture_may_go_to_standard_output(config: Write) -> None:
    path = config("cameras: {a: {type: test, width: 320, height: 180}}")
    command = [sys.executable, "-m", "overshootd", "snapshot", "a", "-o", "-", "-c", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert pixels(done.stdout).shape == (180, 320, 3)
    assert done.stderr == b""


def test_a_picture_that_is_there_is_replaced_and_nothing_else_is_left(tmp_path: Path, config: Write) -> None:
    path = config("cameras: {a: {type: test, width: 320, height: 180}}")
    (tmp_path / "old.jpg").write_bytes(b"old")
    (tmp_path / "picture.jpg").symlink_to("old.jpg")
    shot(tmp_path, path, "a")
    assert {entry.name for entry in tmp_path.iterdir()} == {"x.yaml", "old.jpg", "picture.jpg"}
    assert (tmp_path / "picture.jpg").is_symlink()
    assert (tmp_path / "old.jpg").stat().st_mode & 0o044, "others may look at it"


def test_a_device_stays_one(config: Write) -> None:
    path = config("cameras: {a: {type: test, width: 320, height: 180}}")
    assert main(["snapshot", "a", "-o", "/dev/null", "-c", str(path)]) == 0
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("text", "arguments", "code", "said"),
    [
        ("cameras: {a: {type: test}}", ["b", "-o", "-"], 64, "b is no stream and no camera of this configuration"),
        ("version: 1", ["b", "-o", "-"], 64, "there is none"),
        ("cameras: {a: {type: test, fps: 0}}", ["a", "-o", "-"], 78, "cameras.a.fps: 0 is too small"),
        ("streams: {a: {camera: {type: test}}}", ["a", "-o", "-"], 78, "missing: when inference runs"),
        ("- 1", ["a", "-o", "-"], 78, "expected lines of `key: value`"),
        ("cameras: {a: {type: test}}", ["a", "-o", "/none/x.jpg"], 69, "/none/x.jpg cannot be written: No such file"),
        ("cameras: {a: {type: test}}", ["a", "-o", "/"], 69, "/ cannot be written: Is a directory"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_exit_code(
    config: Write, text: str, arguments: list[str], code: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["snapshot", *arguments, "-c", str(config(text))]) == code
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["a"], ["-o", "-"], ["a", "-o", "-", "--timeout", "0"], ["a", "-o", "-", "--timeout", "x"]]
)
def test_a_wrong_command_line_is_64(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["snapshot", *arguments])
    assert caught.value.code == 64


# -- cameras that fail -------------------------------------------------------------------------------------------------


class Script(Camera):
    """A camera of 64x48 at 100 fps: `open` raises what it is told; of its frames the first are spoiled."""

    def __init__(self, failure: Exception | None = None, *, spoiled: int = 0, silent: bool = False) -> None:
        self.failure, self.spoiled, self.silent = failure, spoiled, silent
        self.read_count, self.closed = 0, False

    def open(self, need: CaptureNeed) -> CaptureFormat:
        if self.failure:
            raise self.failure
        return CaptureFormat(100.0, 64, 48)

    def read(self, timeout: float) -> Frame | None:
        if self.silent:
            return None
        time.sleep(0.01)  # its frame interval
        self.read_count += 1
        return Frame(self.read_count, self.read_count <= self.spoiled)

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        pass

    def abort(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Frame:
    captured_ns = 0
    access_unit: AccessUnit | None = None

    def __init__(self, number: int, spoiled: bool) -> None:
        self.number, self.spoiled = number, spoiled

    def picture(self, width: int, height: int) -> Picture:
        if self.spoiled:
            raise FrameSpoiled("a truncated picture")
        return Picture(bytes([self.number % 256] * (width * height * 3 // 2)), width, height, PixelFormat.I420, 0)


def scripted(camera: Script, view: View | None = None, settle: bool = False) -> Shot:
    return Shot(lambda: camera, CaptureNeed(1.0, 64, 48), view or View(), lambda width, height: (width, height), settle)


def test_spoiled_frames_are_passed_over() -> None:
    camera = Script(spoiled=3)
    assert take(scripted(camera), "a", 10.0).data[0] == 4
    assert camera.closed


def test_a_sensor_is_given_time_to_settle() -> None:
    camera = Script()
    take(scripted(camera, settle=True), "a", 10.0)
    assert camera.read_count > 5


@pytest.mark.parametrize(
    ("seconds", "frames", "done"),
    [(0.9, 30, False), (1.0, 5, True), (1.0, 4, False), (4.9, 4, False), (5.0, 1, True)],
)
def test_exposure_takes_a_second_and_five_frames_but_no_more_than_five_seconds(
    seconds: float, frames: int, done: bool
) -> None:
    assert settled(seconds, frames) == done


def test_a_silent_camera_is_given_up_and_closed() -> None:
    camera = Script(silent=True)
    with pytest.raises(CameraLost, match=r"a gave no picture within 0.1 s"):
        take(scripted(camera), "a", 0.1)
    assert camera.closed


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "], ids=["willing", "deaf"])
def test_a_silent_program_is_given_up_and_ended(tmp_path: Path, config: Write, trap: str) -> None:
    script = f"{trap}echo $$ > {tmp_path}/pid; exec sleep 60"
    path = config(f'cameras: {{a: {{type: command, format: mjpeg, argv: [sh, -c, "{script}"]}}}}')
    command = [sys.executable, "-m", "overshootd", "snapshot", "a", "-o", "-", "--timeout", "2", "-c", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "a gave no picture within 2 s" in done.stderr) == (69, True)
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_a_crop_that_leaves_too_few_pixels_is_said() -> None:
    view = View(crop=Rectangle(x=0, y=0, width=0.2, height=1))
    with pytest.raises(Permanent, match="its crop leaves 12x48 pixels of 64x48"):
        take(scripted(Script(), view), "a", 10.0)


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (CameraBusy("a is in use by overshootd (pid 7)"), 69, "(pid 7). Stop what has the camera"),
        (CameraLost("a was unplugged"), 69, "a was unplugged\n"),
        (CameraEnded("a: played to its end"), 69, "a: played to its end\n"),
        (Permanent("it offers no 1x1"), 78, "it offers no 1x1\n"),
        (CameraLost("no answer from rtsp://u:hunter2@cam, hunter%202"), 69, "no answer from rtsp://u:***@cam"),
        (RuntimeError("hunter2"), 70, "an error of its own"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_a_camera_that_fails_is_said_without_a_password(
    config: Write,
    failure: Exception,
    code: int,
    said: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("overshootd.snapshot.camera_for", lambda *_: lambda: Script(failure))
    path = config("cameras: {a: {type: rtsp, url: 'rtsp://u:hunter2@127.0.0.1/1'}}")
    assert main(["snapshot", "a", "-o", "-", "-c", str(path)]) == code
    err = capfd.readouterr().err
    assert said in err
    assert "hunter2" not in err


def test_a_device_that_another_program_has_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bed_at(tmp_path / "root", monkeypatch) as bed:
        bed.kernel.plug(FakeCamera(errors={"S_FMT": errno.EBUSY}))
        busy = Shot(bed.camera, CaptureNeed(1.0, 64, 48), View(), lambda width, height: (width, height), settle=False)
        with pytest.raises(CameraBusy, match="is in use by"):
            take(busy, "a", 10.0)


def test_a_network_camera_that_is_not_there_is_said_without_its_password(config: Write) -> None:
    path = config("cameras: {a: {type: rtsp, url: 'rtsp://u:hunt%65r2@127.0.0.1:9/user=u_password=hunter3_x'}}")
    command = [sys.executable, "-m", "overshootd", "snapshot", "a", "-o", "-", "-c", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (69, "")
    assert "127.0.0.1:9" in done.stderr
    assert not any(secret in done.stderr for secret in ("hunter2", "hunt%65r2", "hunter3"))
