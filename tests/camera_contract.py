"""What every camera backend keeps, whatever it is made of: a class of tests that each backend's own tests inherit.

A subclass is named Test…, gives the fixture `make`, and says in attributes what its camera does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from overshootd.contracts import AccessUnit, Camera, CaptureFormat, CaptureNeed, Picture, PixelFormat, Sample
from overshootd.errors import FrameSpoiled
from tests.videos import number_of

NEED = CaptureNeed(fps=1.0, width=1280, height=720)
BOUND = 10.0

Make = Callable[[], Camera]


def sample_of(camera: Camera, bound: float = BOUND) -> Sample:
    """The next sample; fails when none comes within `bound` seconds."""
    end = time.monotonic() + bound
    while time.monotonic() < end:
        if (sample := camera.read(0.5)) is not None:
            return sample
    raise AssertionError(f"no frame within {bound} s")


def pictured(camera: Camera, width: int, height: int, bound: float = BOUND) -> tuple[Sample, Picture]:
    """The next sample that can be shown: an encoded camera may begin between two keyframes."""
    end = time.monotonic() + bound
    while time.monotonic() < end:
        sample = sample_of(camera, bound)
        try:
            return sample, sample.picture(width, height)
        except FrameSpoiled:
            continue
    raise AssertionError(f"no frame that can be shown within {bound} s")


class CameraContract:
    """The tests. `rate` is the camera's, in frames per second; `behind` how many frames a picture may lag behind its
    sample; `bound` how many seconds the slowest step may take."""

    rate = 20.0
    behind = 0
    bound = BOUND

    def number(self, picture: Picture) -> int:
        """The frame number that the picture shows."""
        return number_of(picture)

    @pytest.fixture
    def make(self) -> Make:
        """How to make the camera, as often as it is asked."""
        raise NotImplementedError

    @pytest.fixture
    def camera(self, make: Make) -> Iterator[Camera]:
        camera = make()
        yield camera
        camera.close()

    def test_says_what_it_gives(self, camera: Camera) -> None:
        given = camera.open(NEED)
        assert isinstance(given, CaptureFormat)
        assert given.fps == pytest.approx(self.rate)
        assert given.width >= 160
        assert given.height >= 90

    def test_gives_frames_at_its_rate_with_times_that_rise_and_are_not_in_the_future(self, camera: Camera) -> None:
        given = camera.open(NEED)
        times = []
        for _ in range(15):
            times.append(sample_of(camera, self.bound).captured_ns)
            assert times[-1] <= time.monotonic_ns()
        assert all(earlier < later for earlier, later in pairwise(times))
        # Frames may be missed on a busy machine, never added; what waited in a driver may come at once.
        assert (times[-1] - times[0]) / 1e9 >= 9.9 / given.fps

    def test_waits_no_longer_than_told(self, camera: Camera) -> None:
        camera.open(NEED)
        sample_of(camera, self.bound)
        began = time.monotonic()
        nothing = [camera.read(0.001) for _ in range(5)]
        assert nothing.count(None) >= 1, "a frame does not come every millisecond"
        assert time.monotonic() - began < 2.0

    def test_gives_a_picture_of_the_size_asked(self, camera: Camera) -> None:
        camera.open(NEED)
        for width, height in [(320, 240), (160, 90), (322, 182), (240, 320)]:
            sample, picture = pictured(camera, width, height, self.bound)
            assert (picture.width, picture.height, picture.format) == (width, height, PixelFormat.I420)
            assert len(picture.data) == memoryview(picture.data).nbytes == width * height * 3 // 2
            assert picture.captured_ns == sample.captured_ns

    def test_shows_the_same_moment_at_every_size(self, camera: Camera) -> None:
        camera.open(NEED)
        for _ in range(7):
            sample, picture = pictured(camera, 320, 240, self.bound)
        assert self.number(picture) == self.number(sample.picture(200, 112))

    def test_goes_on_while_no_picture_is_asked(self, camera: Camera) -> None:
        camera.open(NEED)
        earlier = self.number(pictured(camera, 320, 240, self.bound)[1])
        for _ in range(12):
            sample_of(camera, self.bound)
        assert self.number(pictured(camera, 320, 240, self.bound)[1]) >= earlier + 13 - self.behind

    def test_may_be_closed_twice_and_unopened(self, camera: Camera) -> None:
        camera.close()
        camera.open(NEED)
        camera.close()
        camera.close()

    def test_can_be_opened_again_by_another_instance(self, make: Make) -> None:
        for _ in range(2):
            camera = make()
            camera.open(NEED)
            sample_of(camera, self.bound)
            camera.close()

    def test_takes_feedback_at_any_time(self, camera: Camera) -> None:
        camera.feedback(True, 100, 5.0)
        camera.open(NEED)
        camera.feedback(False, None, None)
        sample_of(camera, self.bound)


class EncodedCameraContract(CameraContract):
    """What a camera that encodes keeps besides."""

    def test_gives_access_units_that_begin_with_a_keyframe_and_its_parameter_sets(self, camera: Camera) -> None:
        assert camera.open(NEED).encoded
        units: list[AccessUnit] = []
        while not any(unit.keyframe for unit in units):
            unit = sample_of(camera, self.bound).access_unit
            assert unit is not None
            units.append(unit)
        assert units[-1].data.startswith((b"\0\0\0\1", b"\0\0\1"))
        assert _types(units[-1].data) >= {5, 7, 8}


def _types(data: bytes) -> set[int]:
    return {data[start + 3] & 0x1F for start in range(len(data) - 3) if data[start : start + 3] == b"\0\0\1"}
