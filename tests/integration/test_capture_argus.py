"""The argus camera keeps the contract on a Jetson that is faked at gst-launch-1.0: there is none to test on.

The fake takes a pipeline only of the elements and properties that NVIDIA's have, prints what they print, and writes
real video.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import structlog

from overshootd.capture.program.argus import ArgusCamera
from overshootd.config.cameras import ArgusCamera as ArgusConfig
from overshootd.errors import CameraLost, Permanent
from tests.camera_contract import NEED, CameraContract, EncodedCameraContract, Make, sample_of
from tests.videos import MJPEG, write_video

LOG = structlog.get_logger()
CONFIG = ArgusConfig(type="argus", width=320, height=240, fps=20.0)

GST_LAUNCH = """
    import os, re, signal, sys, time
    known = {
        "nvarguscamerasrc": {"sensor-id"}, "nvvidconv": {"flip-method"}, "h264parse": set(), "fdsink": {"fd"},
        "nvv4l2h264enc": {"bitrate", "idrinterval", "iframeinterval", "insert-sps-pps"},
    }
    quiet, *words = sys.argv[1:]
    assert quiet == "-q", quiet
    elements = [element.split() for element in " ".join(words).split(" ! ")]
    for name, *properties in elements:
        if "/" not in name:
            assert {text.partition("=")[0] for text in properties} <= known[name], (name, properties)
    names = [name.partition(",")[0] for name, *_ in elements]
    caps = dict(re.findall(r"(width|height|framerate)=([\\d/]+)", elements[1][0]))
    print("GST_ARGUS: Creating output stream\\nCONSUMER: Producer has connected; continuing.", flush=True)
    fd = elements[-1][1].removeprefix("fd=")
    source = ["ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", {video!r}]
    if names[2:] == ["nvv4l2h264enc", "h264parse", "video/x-h264", "fdsink"]:
        gop = next(text for text in elements[2] if text.startswith("idrinterval")).partition("=")[2]
        form = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", gop, "-bf", "0", "-f", "h264"]
    elif names[2:] == ["nvvidconv", "video/x-raw", "fdsink"]:
        form = ["-f", "rawvideo", "-pix_fmt", "nv12"]
    else:
        sys.exit("erroneous pipeline: " + " ".join(names))
    size = ["-s", caps["width"] + "x" + caps["height"]]
    os.execvp(source[0], [*source, *size, *form, "-flush_packets", "1", "pipe:" + fd])
"""

Launcher = Callable[[str], None]


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """Put a program of this text in gst-launch-1.0's place."""

    def launcher(text: str) -> None:
        path = tmp_path / "bin" / "gst-launch-1.0"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{sys.executable}\n{dedent(text)}")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(path.parent), prepend=":")

    return launcher


@pytest.fixture
def jetson(launcher: Launcher, tmp_path: Path) -> Callable[[bool], Make]:
    """A Jetson, with or without an encoder."""

    def jetson(encoder: bool) -> Make:
        video = write_video(tmp_path / "video.avi", MJPEG, frames=60)
        launcher(GST_LAUNCH.replace("{video!r}", repr(str(video))))
        (tmp_path / "dev").mkdir()
        if encoder:
            (tmp_path / "dev/v4l2-nvenc").touch()
        return lambda: ArgusCamera(CONFIG, LOG, root=tmp_path)

    return jetson


class TestArgusWithEncoder(EncodedCameraContract):
    @pytest.fixture
    def make(self, jetson: Callable[[bool], Make]) -> Make:
        return jetson(True)


class TestArgusWithoutEncoder(CameraContract):
    @pytest.fixture
    def make(self, jetson: Callable[[bool], Make]) -> Make:
        return jetson(False)


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[ArgusCamera]:
    camera = ArgusCamera(CONFIG, LOG, root=tmp_path)
    yield camera
    camera.close()


def test_keyframes_come_as_often_as_they_are_published(jetson: Callable[[bool], Make]) -> None:
    camera = jetson(True)()
    given = camera.open(NEED)
    units = [sample_of(camera).access_unit for _ in range(45)]
    camera.close()
    keyframes = [number for number, unit in enumerate(units) if unit and unit.keyframe]
    assert keyframes[1] - keyframes[0] == 20
    assert given.keyframe_seconds == 1.0


def test_a_dead_argus_is_named_with_its_remedy(launcher: Launcher, camera: ArgusCamera) -> None:
    launcher("""
        import sys
        print("GST_ARGUS: Creating output stream")
        print("Error generated. /dvs/git/gstnvarguscamerasrc.cpp, execute:656 Failed to create CaptureSession")
        print("ERROR: pipeline doesn't want to preroll.", file=sys.stderr)
        sys.exit(1)
    """)
    with pytest.raises(CameraLost, match=r"exit code 1: Error .* CaptureSession; .*systemctl restart nvargus-daemon$"):
        camera.open(NEED)


def test_an_argus_that_dies_later_is_named_too(launcher: Launcher, camera: ArgusCamera) -> None:
    launcher("""
        import os, sys
        os.write(int(sys.argv[-1].removeprefix("fd=")), bytes(320 * 240 * 3 // 2))
        sys.stdin.read()
        print("(Argus) Error EndOfFile: Receiving thread terminated with error", file=sys.stderr)
    """)
    camera.open(NEED)
    with pytest.raises(CameraLost, match=r"exit code 0: \(Argus\) Error EndOfFile.*systemctl restart nvargus-daemon$"):
        lost(camera)


def lost(camera: ArgusCamera) -> None:
    while True:
        sample_of(camera)


def test_the_pipeline_is_shut_down_and_not_just_killed(launcher: Launcher, camera: ArgusCamera, tmp_path: Path) -> None:
    launcher(f"""
        import os, signal, sys, time
        def down(*_):
            open({str(tmp_path / "down")!r}, "w").close()
            sys.exit()
        signal.signal(signal.SIGINT, down)
        os.write(int(sys.argv[-1].removeprefix("fd=")), bytes(320 * 240 * 3 // 2))
        time.sleep(60)
    """)
    camera.open(NEED)
    camera.close()
    assert (tmp_path / "down").exists()


def test_elements_that_apt_must_install_are_named(camera: ArgusCamera, launcher: Launcher) -> None:
    launcher("""
        import sys
        sys.exit('WARNING: erroneous pipeline: no element "nvarguscamerasrc"')
    """)
    with pytest.raises(Permanent, match=r"sudo apt install nvidia-l4t-gstreamer$"):
        camera.open(NEED)


def test_a_missing_gst_launch_is_named(camera: ArgusCamera, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Permanent, match=r"^gst-launch-1\.0: no such program; sudo apt install gstreamer1\.0-tools$"):
        camera.open(NEED)
