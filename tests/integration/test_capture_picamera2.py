"""The picamera2 camera keeps the contract through a real child process, whose picamera2 alone is a fake.

No Raspberry Pi is here, and so no encoder of one: x264 plays it. The lab has the real picamera2 on a virtual sensor.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from overshootd.capture.program import picamera2
from overshootd.capture.program.picamera2 import LibcameraCamera, Picamera2Camera, libcamera_cameras
from overshootd.config.cameras import Picamera2Camera as Picamera2Config
from overshootd.contracts import CaptureNeed
from overshootd.errors import CameraLost, Permanent
from overshootd.ffmpeg.draw import planes
from tests.camera_contract import NEED, CameraContract, EncodedCameraContract, Make, pictured, sample_of
from tests.videos import marked, number_of

FAKES = Path(__file__).parent / "fake_picamera2"
IDS = ["/base/soc/i2c0mux/i2c@1/imx219@10", "/base/soc/i2c0mux/i2c@0/imx477@1a"]
CONTROLS = {
    "FrameDurationLimits": [20_000, 1_000_000, 33_333],
    "ExposureTime": [75, 66_666, 0],
    "AfMode": [0, 2, 0],
    "AwbEnable": [False, True, None],
    "ColourGains": [0.0, 32.0, None],
    "NoiseReductionMode": [0, 4, 0],
}
SIZE = 320, 240

Open = Callable[..., Picamera2Camera]


class Pi:
    """A faked one: what its picamera2 is like, and what was done with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = str(folder / "python3")
        frames = folder / "frames"
        frames.write_bytes(np.stack([marked(number, *SIZE) for number in range(200)]).tobytes())
        cameras = [{"Id": IDS[0], "Model": "imx219"}, {"Id": IDS[1], "Model": "imx477"}]
        self._fake = {"cameras": cameras, "controls": CONTROLS, "size": SIZE, "frames": str(frames)}
        self.set(calls=str(folder / "calls"))
        self.interpreter(f"sys.path.insert(0, {str(FAKES)!r})")

    def set(self, **fake: Any) -> None:
        self._fake.update(fake)
        (self.folder / "fake.json").write_text(json.dumps(self._fake))

    def interpreter(self, prelude: str) -> None:
        """What stands in for /usr/bin/python3 -I: it finds the fakes, and nothing of this project beside the child."""
        Path(self.python).write_text(
            f"#!{sys.executable}\nimport runpy, sys\nassert sys.argv.pop(1) == '-I'\n{prelude}\n"
            "sys.argv.pop(0)\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
        )
        Path(self.python).chmod(0o755)

    def encoder(self) -> None:
        """The one of the Pi 4 and older."""
        name = self.folder / picamera2.ENCODER
        name.parent.mkdir(parents=True)
        name.write_text("bcm2835-codec-encode\n")

    def calls(self, what: str) -> list[Any]:
        lines = (self.folder / "calls").read_text().splitlines() if (self.folder / "calls").exists() else []
        return [value for name, value in map(json.loads, lines) if name == what]

    def camera(self, **config: Any) -> Picamera2Camera:
        made = Picamera2Config.model_validate({"type": "picamera2", **config})
        return Picamera2Camera(made, structlog.get_logger(), python=self.python, root=self.folder)


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pi:
    monkeypatch.setenv("FAKE_PICAMERA2", str(tmp_path / "fake.json"))
    return Pi(tmp_path)


@pytest.fixture
def opened(pi: Pi) -> Iterator[Open]:
    """Open a camera; all are closed."""
    cameras: list[Picamera2Camera] = []

    def opened(need: CaptureNeed = NEED, **config: Any) -> Picamera2Camera:
        cameras.append(pi.camera(**config))
        cameras[-1].open(need)
        return cameras[-1]

    yield opened
    for camera in cameras:
        camera.close()


class TestPicamera2(CameraContract):
    """With padding behind every row, as a Pi's pipelines have it at many sizes."""

    @pytest.fixture
    def make(self, pi: Pi) -> Make:
        pi.set(align=256)
        return lambda: pi.camera(fps=20.0)


class TestPicamera2Encoder(EncodedCameraContract):
    @pytest.fixture
    def make(self, pi: Pi) -> Make:
        pi.encoder()
        return lambda: pi.camera(fps=20.0)


@pytest.mark.parametrize(
    ("fake", "layout"),
    [
        ({}, "YU12"),
        ({"formats": ["BGR888"], "align": 256}, "RGB3"),
        ({"formats": ["XRGB8888", "RGB888"], "strict": True}, "BGR3"),
        ({"formats": ["XRGB8888", "BGR888"]}, "RGB3"),
    ],
    ids=["as asked", "adjusted", "asked again after a refusal", "asked again after a format of no use"],
)
def test_what_the_pipeline_really_gives_is_taken(pi: Pi, opened: Open, fake: dict[str, Any], layout: str) -> None:
    pi.set(tint=[60, 0, -60], **fake)
    camera = pi.camera()
    given = camera.open(NEED)
    picture = sample_of(camera).picture(*SIZE)
    camera.close()
    assert (given.width, given.height, given.encoded) == (*SIZE, False)
    assert given.what == f"{layout}, converted where it is published"
    assert number_of(picture) >= 0
    blue, red = (plane.mean() for plane in planes(np.frombuffer(picture.data, np.uint8), *SIZE)[1:])
    assert (blue < 120 and red > 136) if layout != "YU12" else (blue == red == 128), "red is red, and not blue"


def test_a_pipeline_without_any_such_format_is_lost(pi: Pi, opened: Open) -> None:
    pi.set(formats=["MJPEG"])
    with pytest.raises(CameraLost, match=r"^camera 0 \(imx219\) gives neither YUV420 nor RGB: MJPEG, MJPEG, MJPEG$"):
        opened()


def test_the_sensor_runs_faster_than_is_published(pi: Pi) -> None:
    camera = pi.camera()
    given = camera.open(CaptureNeed(2.0, 640, 480))
    times = [sample_of(camera).captured_ns for _ in range(4)]
    camera.close()
    assert given.fps == 2.0
    assert (times[-1] - times[0]) / 1e9 == pytest.approx(1.5, abs=0.3)
    assert pi.calls("controls")[-1] == {"FrameDurationLimits": [100_000, 100_000]}
    assert pi.calls("configured") == [["YUV420", [640, 480], False, False]]


@pytest.mark.parametrize(("fps", "microseconds"), [(0.1, 1_000_000), (5.0, 200_000), (240.0, 20_000)])
def test_a_rate_that_the_sensor_does_not_have_is_the_nearest(
    pi: Pi, opened: Open, fps: float, microseconds: int
) -> None:
    opened(fps=fps)
    assert pi.calls("controls")[-1] == {"FrameDurationLimits": [microseconds] * 2}


def test_a_sensor_that_cannot_be_told_a_rate_gives_its_own(pi: Pi, opened: Open) -> None:
    pi.set(controls={}, fps=4.0)
    camera = opened(CaptureNeed(2.0, 640, 480))
    times = [sample_of(camera).captured_ns for _ in range(3)]
    assert (times[-1] - times[0]) / 1e9 == pytest.approx(1.0, abs=0.3)
    assert pi.calls("controls") == [{}]


@pytest.mark.parametrize("turns", [True, False], ids=["by the pipeline", "afterwards"])
@pytest.mark.parametrize("encoder", [True, False], ids=["encoded", "bare"])
def test_pictures_are_upright(pi: Pi, turns: bool, encoder: bool) -> None:
    upside_down = np.stack([marked(number, *SIZE)[::-1, ::-1] for number in range(200)])
    pi.set(turns=turns)
    if encoder:
        pi.encoder()
    if not turns:
        (pi.folder / "frames").write_bytes(upside_down.tobytes())
    camera = pi.camera(rotate=180)
    given = camera.open(NEED)
    number_of(pictured(camera, *SIZE)[1])
    camera.close()
    assert pi.calls("configured")[0][2:] == [True, True]
    assert given.encoded == (encoder and turns), "what must be turned afterwards cannot be passed on"


@pytest.mark.parametrize(
    ("rotate", "hflip", "asked"), [(0, True, [True, False]), (180, False, [True, True]), (180, True, [False, True])]
)
def test_turning_is_asked_of_the_pipeline(pi: Pi, opened: Open, rotate: int, hflip: bool, asked: list[bool]) -> None:
    opened(rotate=rotate, hflip=hflip)
    assert pi.calls("configured")[0][2:] == asked


def test_controls_go_by_their_names(pi: Pi, opened: Open) -> None:
    opened(controls={
        "ExposureTime": 10_000, "AfMode": "Continuous", "NoiseReductionMode": "Fast", "AwbEnable": False,
        "ColourGains": [1.5, 2.0],
    })  # fmt: skip
    assert pi.calls("controls")[0] == {
        "ExposureTime": 10_000,
        "AfMode": 2,
        "NoiseReductionMode": 1,
        "AwbEnable": False,
        "ColourGains": [1.5, 2.0],
    }


def test_a_frame_duration_of_the_users_own_is_left_alone(pi: Pi, opened: Open) -> None:
    opened(controls={"FrameDurationLimits": [50_000, 60_000]})
    assert pi.calls("controls") == [{"FrameDurationLimits": [50_000, 60_000]}]


@pytest.mark.parametrize(
    ("controls", "sentence"),
    [
        (
            {"Exposure": 1},
            "this camera has no control Exposure; there are: AfMode, AwbEnable, ColourGains, ExposureTime, "
            "FrameDurationLimits, NoiseReductionMode",
        ),
        ({"ExposureTime": 5}, "ExposureTime: 5 is not within 75 to 66666"),
        ({"AfMode": "Auto"}, "AfMode: there is no Auto; there are: Manual, Continuous"),
        ({"ExposureTime": "long"}, "ExposureTime takes no text, and so not long"),
    ],
)
def test_a_control_that_is_not_there_needs_another_configuration(
    opened: Open, controls: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(Permanent) as raised:
        opened(controls=controls)
    assert str(raised.value) == sentence


def test_a_tuning_file_is_found_by_its_path(pi: Pi, opened: Open, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"version": 2.0}')
    opened(tuning=str(tmp_path / "mine.json"))
    assert pi.calls("opened") == [[0, {"version": 2.0}]]
    with pytest.raises(Permanent, match=r"^tuning file imx219_noir\.json: Tuning file not found$"):
        opened(tuning="imx219_noir.json")


@pytest.mark.parametrize(("camera", "number"), [(1, 1), ("1", 1), (IDS[1], 1), (IDS[0], 0)])
def test_a_camera_goes_by_number_or_id(pi: Pi, opened: Open, camera: int | str, number: int) -> None:
    opened(camera=camera)
    assert pi.calls("opened") == [[number, None]]


def test_one_that_is_not_there_is_waited_for_and_told_with_those_that_are(opened: Open) -> None:
    with pytest.raises(CameraLost) as raised:
        opened(camera=2)
    assert str(raised.value) == f"there is no camera 2; there are: 0 (imx219, {IDS[0]}), 1 (imx477, {IDS[1]})"


def test_where_there_is_none_it_may_come(pi: Pi, opened: Open) -> None:
    pi.set(cameras=[])
    with pytest.raises(CameraLost, match=r"^libcamera sees no camera; is its ribbon the right way round"):
        opened()


def test_where_a_camera_in_use_is_not_even_shown_its_user_is_told(pi: Pi, opened: Open) -> None:
    pi.set(cameras=[])
    (pi.folder / "dev").mkdir()
    with (pi.folder / "dev/media0").open("w") as node, subprocess.Popen(["sleep", "60"], stdout=node) as other:
        with pytest.raises(
            CameraLost, match=rf"^libcamera sees no camera; one may be in use by sleep \(pid {other.pid}\)$"
        ):
            opened()
        other.kill()


def test_a_camera_in_use_is_told_with_its_user(pi: Pi, opened: Open) -> None:
    pi.set(busy=True)
    with pytest.raises(
        CameraLost, match=r"^camera 0 \(imx219\) is in use; `sudo fuser -v /dev/media\*` shows by whom$"
    ):
        opened()
    (pi.folder / "dev").mkdir()
    with (pi.folder / "dev/media0").open("w") as node, subprocess.Popen(["sleep", "60"], stdout=node) as other:
        with pytest.raises(CameraLost, match=rf"^camera 0 \(imx219\) is in use: sleep \(pid {other.pid}\)$"):
            opened()
        other.kill()


@pytest.mark.parametrize(
    ("prelude", "sentence"),
    [
        ("", "picamera2 is not installed: sudo apt install python3-picamera2"),
        (
            "sys.modules['libcamera'] = None; sys.path.insert(0, {fakes!r})",
            "picamera2 cannot be imported: import of libcamera halted; None in sys.modules; "
            "sudo apt install --reinstall python3-picamera2 python3-libcamera python3-numpy",
        ),
    ],
    ids=["missing", "broken"],
)
def test_a_picamera2_that_is_not_there_is_told_with_what_apt_must_install(
    pi: Pi, opened: Open, prelude: str, sentence: str
) -> None:
    pi.interpreter(prelude.format(fakes=str(FAKES)))
    with pytest.raises(CameraLost) as raised:
        opened()
    assert str(raised.value) == sentence
    with pytest.raises(CameraLost) as raised:
        libcamera_cameras(pi.python)
    assert str(raised.value) == sentence


def test_a_constructor_that_hangs_fails_the_opening_and_is_killed(
    pi: Pi, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picamera2, "OPEN_SECONDS", 2.0)
    pi.set(hang="constructor")
    camera = pi.camera()
    with pytest.raises(CameraLost, match=r"^picamera2 gave no frame within 2 s"):
        camera.open(NEED)
    assert closed_in_time(camera, pi.calls("hangs")[0])


def test_a_driver_that_hangs_is_killed_with_the_child(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picamera2, "OPEN_SECONDS", 2.0)
    pi.set(hang="driver")
    camera = pi.camera()
    with pytest.raises(CameraLost, match=r"^picamera2 gave no frame within 2 s"):
        camera.open(NEED)
    assert closed_in_time(camera, pi.calls("hangs")[0])


def closed_in_time(camera: Picamera2Camera, pid: int) -> bool:
    """Whether closing takes less than the feed gives, and takes the child with it."""
    began = time.monotonic()
    camera.close()
    return time.monotonic() - began < 3.0 and not Path(f"/proc/{pid}").exists()


def test_silence_is_noticed_by_the_child(pi: Pi, opened: Open) -> None:
    pi.set(last=3, patience=0.1)
    camera = opened(fps=20.0)
    with pytest.raises(CameraLost, match=r"^camera 0 \(imx219\) gave no frame for 4\.1 s$"):
        lost(camera)


def lost(camera: Picamera2Camera) -> None:
    while True:
        sample_of(camera)


def test_the_camera_is_closed_properly_when_it_is_no_longer_needed(pi: Pi, opened: Open) -> None:
    opened().close()
    assert pi.calls("closed") == [None]


def test_the_child_ends_with_the_daemon_even_while_the_driver_hangs(pi: Pi) -> None:
    pi.set(hang="constructor")
    wanted = picamera2.parameters(Picamera2Config(type="picamera2"), NEED, False)
    argv = [pi.python, "-I", str(picamera2.CHILD), "run", json.dumps(wanted)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        end = time.monotonic() + 10
        while not pi.calls("hangs") and time.monotonic() < end:
            assert child.poll() is None
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(10) == 0


def test_the_encoder_runs_at_the_rate_that_is_published_and_its_units_come_at_once(pi: Pi, opened: Open) -> None:
    pi.encoder()
    camera = pi.camera()
    given = camera.open(CaptureNeed(2.0, 640, 480))
    samples, late = [], []
    for _ in range(9):
        samples.append(sample_of(camera))
        late.append(time.monotonic_ns() - samples[-1].captured_ns)
    camera.close()
    assert (given.fps, given.encoded, given.keyframe_seconds) == (2.0, True, 2.0)
    keyframes = [n for n, sample in enumerate(samples) if sample.access_unit and sample.access_unit.keyframe]
    assert keyframes == [0, 4, 8]
    assert (samples[-1].captured_ns - samples[0].captured_ns) / 1e9 == pytest.approx(4.0, abs=0.4)
    assert sorted(late)[4] < 250_000_000, "not as late as the next is away"
    assert pi.calls("encoder") == [{"bitrate": 150_000, "iperiod": 4}]


def test_wishes_reach_the_encoder(pi: Pi, opened: Open) -> None:
    pi.encoder()
    camera = opened(fps=20.0)
    before = [sample_of(camera).access_unit for _ in range(10)]
    camera.feedback(True, None, None)
    after = [sample_of(camera).access_unit for _ in range(10)]
    camera.feedback(False, 321, 5.0)
    assert [unit.keyframe for unit in before if unit] == [True] + [False] * 9
    assert sum(unit.keyframe for unit in after if unit) == 1
    end = time.monotonic() + 10
    while not pi.calls("ioctl") and time.monotonic() < end:
        sample_of(camera)
    # V4L2_CID_MPEG_VIDEO_BITRATE = V4L2_CID_CODEC_BASE + 207, in the kernel's v4l2-controls.h
    assert pi.calls("ioctl") == [[0xC008561C, list(struct.pack("=Ii", 0x990900 + 207, 321_000))]]


@pytest.mark.parametrize(
    ("fake", "config"),
    [({"encoder": "busy"}, {}), ({}, {"hardware_h264": False}), ({}, {"width": 3280, "height": 2464})],
    ids=["it is taken", "it is not wanted", "it is too small"],
)
def test_where_the_encoder_cannot_be_had_it_goes_without(
    pi: Pi, opened: Open, fake: dict[str, Any], config: dict[str, Any]
) -> None:
    pi.encoder()
    pi.set(**fake)
    assert number_of(sample_of(opened(**config)).picture(*SIZE)) >= 0


def test_the_cameras_are_listed_with_what_their_sensors_can_do(pi: Pi) -> None:
    modes = ((1640, 1232, 41.85), (3280, 2464, 21.19))
    found = libcamera_cameras(pi.python)
    assert found == [LibcameraCamera(0, IDS[0], "imx219", modes), LibcameraCamera(1, IDS[1], "imx477", modes)]
    assert found[0].sizes == ((3280, 2464), (1640, 1232))


@pytest.mark.parametrize(
    ("fake", "modes"),
    [({"controls": {}}, ((3280, 2464, None),)), ({"busy": True}, ())],
    ids=["a sensor of another kind", "one in use"],
)
def test_a_camera_that_says_little_is_listed_too(pi: Pi, fake: dict[str, Any], modes: Any) -> None:
    pi.set(**fake)
    assert libcamera_cameras(pi.python)[0] == LibcameraCamera(0, IDS[0], "imx219", modes)


def test_one_that_hangs_does_not_hide_the_others(pi: Pi) -> None:
    pi.set(hang="constructor")
    assert [camera.id for camera in libcamera_cameras(pi.python, seconds=2.0)] == IDS


def test_no_camera_is_an_empty_list(pi: Pi) -> None:
    pi.set(cameras=[])
    assert libcamera_cameras(pi.python) == []
