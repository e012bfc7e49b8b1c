"""Which frames an inference sees, and that nothing else is measured or kept."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from overshootd.simulator.intake import IDLE_AFTER, Intake
from overshootd.simulator.media import ArrivedFrame, Luma
from overshootd.simulator.sampling import NewestFrame, RecentClip


class Camera:
    """Frames at given times, and a count of those that were looked at."""

    def __init__(self) -> None:
        self.looked = 0

    def frame(self, arrived: float) -> ArrivedFrame:
        return ArrivedFrame(64, 36, arrived, self._luma)

    def _luma(self) -> Luma:
        self.looked += 1
        return np.zeros((36, 64), np.uint8)


def test_frame_mode_looks_only_at_the_newest_frame() -> None:
    camera, newest = Camera(), NewestFrame()
    assert newest.sample(0.0) == []
    for number in range(1, 31):
        newest.arrived(camera.frame(number / 30), number)
    assert [sample.number for sample in newest.sample(1.0)] == [30]
    assert camera.looked == 1


def test_a_frame_that_stays_the_newest_is_sampled_again() -> None:
    camera, newest = Camera(), NewestFrame()
    newest.arrived(camera.frame(1.0), 1)
    assert newest.sample(1.5) == newest.sample(2.5)


def test_a_cleared_sampler_knows_nothing() -> None:
    camera, newest, clip = Camera(), NewestFrame(), RecentClip(1.0, 6)
    for each in (newest, clip):
        each.arrived(camera.frame(1.0), 1)
        each.clear()
        assert each.sample(1.0) == []


def test_a_clip_is_spread_evenly_over_its_length() -> None:
    camera, clip = Camera(), RecentClip(1.0, 5)
    for number in range(300):
        clip.arrived(camera.frame(number / 30), number)
    seen = clip.sample(10.0)
    assert len(seen) == 5
    assert all(9.0 <= sample.arrived <= 10.0 for sample in seen)
    gaps = [later.arrived - earlier.arrived for earlier, later in itertools.pairwise(seen)]
    assert all(0.1 <= gap <= 0.3 for gap in gaps)


def test_a_clip_looks_at_no_more_than_twice_the_target_rate() -> None:
    camera, clip = Camera(), RecentClip(1.0, 5)
    for number in range(300):
        clip.arrived(camera.frame(number / 30), number)
    assert camera.looked <= 2 * 5 * 10 + 1


def test_frames_before_the_clip_are_not_in_it() -> None:
    camera, clip = Camera(), RecentClip(0.5, 6)
    clip.arrived(camera.frame(1.0), 1)
    assert clip.sample(1.6) == []


@given(st.lists(st.floats(0, 100), max_size=200), st.floats(0, 100), st.floats(0.1, 60), st.integers(1, 30))
def test_a_clip_never_has_more_frames_than_asked_for(times: list[float], now: float, length: float, fps: int) -> None:
    camera, clip = Camera(), RecentClip(length, fps)
    for number, arrived in enumerate(sorted(times)):
        clip.arrived(camera.frame(arrived), number)
    assert len(clip.sample(now)) <= max(1, round(length * fps))


def test_a_publisher_at_half_a_frame_a_second_stays_active() -> None:
    intake = Intake()
    assert intake.state(0.0) == "pending"
    for second in range(0, 20, 2):
        intake.arrived(Camera().frame(0.0), float(second))
        assert intake.state(second + 1.9) == "active"
    assert intake.fps(19.0) == 0.5
    assert intake.state(18 + IDLE_AFTER + 0.1) == "idle"


def test_the_server_works_at_720p_at_most() -> None:
    sizes = {(1920, 1080): (1280, 720), (640, 480): (640, 480), (1080, 1920): (720, 1280), (4000, 1000): (1280, 320)}
    for (width, height), effective in sizes.items():
        intake = Intake()
        intake.arrived(ArrivedFrame(width, height, 0.0, lambda: np.zeros((1, 1), np.uint8)), 0.0)
        assert intake.effective_size() == effective
