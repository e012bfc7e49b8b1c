"""What every camera backend keeps, whatever it is made of."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from overshootd.capture.choose import camera_for
from overshootd.config.model import FileCamera, TestCamera
from overshootd.contracts import Camera, CaptureFormat, CaptureNeed, PixelFormat, Sample
from tests.videos import H264, H264_B_FRAMES, MJPEG, VP8, number_of, write_video

NEED = CaptureNeed(fps=1.0, width=1280, height=720)
BOUND = 10.0

Make = Callable[[], Camera]

FILES = {"mjpeg.avi": MJPEG, "h264.mp4": H264, "b-frames.mkv": H264_B_FRAMES, "vp8.webm": VP8}


@pytest.fixture(params=["test", *FILES])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "test":
        return camera_for(TestCamera(type="test", width=640, height=360, fps=20.0))
    path = write_video(tmp_path / request.param, FILES[request.param])
    return camera_for(FileCamera(type="file", path=str(path)))


@pytest.fixture
def camera(make: Make) -> Iterator[Camera]:
    camera = make()
    yield camera
    camera.close()


def sample_of(camera: Camera) -> Sample:
    end = time.monotonic() + BOUND
    while time.monotonic() < end:
        if (sample := camera.read(0.5)) is not None:
            return sample
    raise AssertionError(f"no frame within {BOUND} s")


class TestEveryCamera:
    def test_says_what_it_gives(self, camera: Camera) -> None:
        given = camera.open(NEED)
        assert isinstance(given, CaptureFormat)
        assert given.fps == pytest.approx(20.0)
        assert given.width >= 160
        assert given.height >= 90

    def test_gives_frames_at_its_rate_with_times_that_rise_and_are_not_in_the_future(self, camera: Camera) -> None:
        given = camera.open(NEED)
        times = []
        for _ in range(15):
            times.append(sample_of(camera).captured_ns)
            assert times[-1] <= time.monotonic_ns()
        assert all(earlier < later for earlier, later in pairwise(times))
        # Frames may be missed on a busy machine, never added.
        assert (times[-1] - times[0]) / 1e9 >= 13.9 / given.fps

    def test_waits_no_longer_than_told(self, camera: Camera) -> None:
        camera.open(NEED)
        sample_of(camera)
        began = time.monotonic()
        nothing = [camera.read(0.001) for _ in range(5)]
        assert nothing.count(None) >= 3, "a frame comes every 50 ms"
        assert time.monotonic() - began < 2.0

    def test_gives_a_picture_of_the_size_asked(self, camera: Camera) -> None:
        camera.open(NEED)
        sample = sample_of(camera)
        for width, height in [(320, 240), (160, 90), (322, 182), (240, 320)]:
            picture = sample.picture(width, height)
            assert (picture.width, picture.height, picture.format) == (width, height, PixelFormat.I420)
            assert len(picture.data) == memoryview(picture.data).nbytes == width * height * 3 // 2
            assert picture.captured_ns == sample.captured_ns

    def test_shows_the_same_moment_at_every_size(self, camera: Camera) -> None:
        camera.open(NEED)
        for _ in range(7):
            sample = sample_of(camera)
        assert number_of(sample.picture(320, 240)) == number_of(sample.picture(200, 112))

    def test_goes_on_while_no_picture_is_asked(self, camera: Camera) -> None:
        camera.open(NEED)
        earlier = number_of(sample_of(camera).picture(320, 240))
        for _ in range(12):
            sample = sample_of(camera)
        # Reordered frames may be shown late, by as many as the encoder held back.
        assert number_of(sample.picture(320, 240)) >= earlier + 12 - 4

    def test_may_be_closed_twice_and_unopened(self, camera: Camera) -> None:
        camera.close()
        camera.open(NEED)
        camera.close()
        camera.close()

    def test_can_be_opened_again_by_another_instance(self, make: Make) -> None:
        for _ in range(2):
            camera = make()
            camera.open(NEED)
            sample_of(camera)
            camera.close()

    def test_takes_feedback_at_any_time(self, camera: Camera) -> None:
        camera.feedback(True, 100, 5.0)
        camera.open(NEED)
        camera.feedback(False, None, None)
        sample_of(camera)


def test_a_daemon_without_video_files_never_loads_ffmpeg() -> None:
    code = (
        "import sys; from overshootd.capture.choose import camera_for; from overshootd.config.model import TestCamera; "
        "camera_for(TestCamera(type='test'))(); sys.exit('av' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
