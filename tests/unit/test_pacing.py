"""What is published follows from what inference looks at, and its rate is exact whatever the camera does."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.config.model import ClipProcessing, FrameProcessing, PublishConfig
from overshootd.contracts import CaptureFormat, CaptureNeed
from overshootd.pacing import Pacer, fit, need, plan
from overshootd.route import Kind

AUTO = PublishConfig()
HD = CaptureFormat(30.0, 1280, 720)
SECOND = 1_000_000_000


def frame(interval: float) -> FrameProcessing:
    return FrameProcessing(interval_seconds=interval)


def clip(fps: int) -> ClipProcessing:
    return ClipProcessing(target_fps=fps, clip_length_seconds=1.0, delay_seconds=1.0)


@pytest.mark.parametrize(
    ("processing", "fps"),
    [
        (frame(2.0), 1.0),
        (frame(0.5), 4.0),
        (frame(4.0), 0.5),
        (frame(60.0), 0.5),  # never below one frame in 2 s
        (frame(0.01), 30.0),  # never above what the API samples
        (clip(6), 12.0),
        (clip(15), 30.0),
        (clip(30), 30.0),
    ],
)
def test_the_rate_is_twice_the_sampling_rate_within_bounds(
    processing: FrameProcessing | ClipProcessing, fps: float
) -> None:
    assert plan(processing, AUTO, HD).fps == fps
    assert need(processing, AUTO).fps == fps


def test_no_rate_is_above_the_cameras() -> None:
    slow = CaptureFormat(5.0, 1280, 720)
    assert plan(clip(6), AUTO, slow).fps == 5.0
    assert plan(frame(2.0), PublishConfig(fps=25.0), slow).fps == 5.0


def test_what_the_user_says_wins() -> None:
    told = PublishConfig(fps=7.5, size=(640, 360), max_kbps=300, codec="h264")
    planned = plan(frame(2.0), told, HD)
    assert (planned.fps, planned.width, planned.height) == (7.5, 640, 360)
    assert (planned.max_bitrate, planned.codec) == (300_000, "h264")
    assert need(frame(2.0), told) == CaptureNeed(7.5, 640, 360)


@pytest.mark.parametrize(
    ("camera", "published"),
    [
        ((1280, 720), (1280, 720)),
        ((1920, 1080), (1280, 720)),
        ((1080, 1920), (720, 1280)),
        ((3280, 2464), (958, 720)),
        ((768, 576), (768, 576)),
        ((641, 361), (640, 360)),
        ((720, 720), (720, 720)),
        ((4000, 100), (1280, 32)),
        ((1, 1), (2, 2)),
    ],
)
def test_the_size_is_the_largest_that_the_server_works_on(camera: tuple[int, int], published: tuple[int, int]) -> None:
    assert fit(*camera) == published


@given(st.integers(2, 8000), st.integers(2, 8000))
def test_a_fitted_size_is_even_never_larger_and_of_the_same_shape(width: int, height: int) -> None:
    fitted_width, fitted_height = fit(width, height)
    assert fitted_width % 2 == fitted_height % 2 == 0
    assert fitted_width <= min(width, 1280)
    assert fitted_height <= min(height, 1280)
    assert min(fitted_width, fitted_height) <= 720
    scale = min(1.0, *(side / of for side, of in zip(sorted((1280, 720)), sorted((width, height)), strict=True)))
    assert abs(fitted_width - width * scale) < 2 or fitted_width == 2
    assert abs(fitted_height - height * scale) < 2 or fitted_height == 2


@given(st.floats(0.5, 29.0), st.integers(640, 1200))
def test_the_bitrate_rises_with_size_and_more_slowly_than_the_rate(fps: float, width: int) -> None:
    def bitrate(of_fps: float, of_width: int) -> int:
        return plan(frame(1.0), PublishConfig(fps=of_fps, size=(of_width // 2 * 2, 720)), HD).max_bitrate

    assert bitrate(fps, width) < bitrate(fps, width + 80)
    # Each frame is less like the one before when they are further apart, so each needs more bits.
    assert bitrate(fps, width) < bitrate(fps + 1, width) < bitrate(fps, width) * (fps + 1) / fps


def test_av1_is_given_half_of_the_bits() -> None:
    av1, vp8 = (plan(frame(2.0), PublishConfig(codec=codec), HD).max_bitrate for codec in ("av1", "vp8"))
    assert av1 == vp8 / 2


def test_the_bitrate_is_never_below_what_the_encoder_spends_anyway() -> None:
    assert plan(frame(4.0), AUTO, CaptureFormat(30.0, 160, 90)).max_bitrate == 30_000


def test_an_hd_camera_in_frame_mode_at_2_s_takes_a_tenth_of_publishing_all_of_it() -> None:
    assert plan(frame(2.0), AUTO, HD).max_bitrate < 2_000_000 / 10


ENCODED = CaptureFormat(6.0, 1920, 1080, encoded=True, keyframe_seconds=2.0)


def test_what_is_passed_on_has_the_cameras_size_and_rate() -> None:
    planned = plan(frame(0.5), AUTO, ENCODED, Kind.UNITS)
    assert (planned.fps, planned.width, planned.height) == (6.0, 1920, 1080)
    assert (planned.codec, planned.encoded) == ("h264", True)


def test_keyframes_alone_come_at_the_publish_rate_and_their_encoder_has_the_bits_of_all_frames() -> None:
    planned, all_of_it = (plan(frame(4.0), AUTO, ENCODED, kind) for kind in (Kind.KEYFRAMES, Kind.UNITS))
    assert planned.fps == 0.5
    assert planned.max_bitrate == all_of_it.max_bitrate > 300_000


def test_what_the_user_lets_the_encoder_take_is_what_it_gets() -> None:
    assert plan(frame(0.5), PublishConfig(max_kbps=400), ENCODED, Kind.UNITS).max_bitrate == 400_000


def test_pictures_can_replace_what_is_passed_on_unless_the_user_says_always() -> None:
    always = PublishConfig(passthrough="always")
    assert plan(frame(0.5), AUTO, ENCODED, Kind.UNITS).replaceable
    assert not plan(frame(0.5), always, ENCODED, Kind.UNITS).replaceable
    assert not plan(frame(0.5), AUTO, HD).replaceable


def test_an_encoder_of_the_machines_own_is_used_unless_the_user_names_another_codec() -> None:
    assert plan(frame(2.0), AUTO, HD, hardware=True).codec == "h264"
    assert plan(frame(2.0), PublishConfig(codec="vp8"), HD, hardware=True) == plan(frame(2.0), AUTO, HD)


def test_encoders_outside_the_library_are_given_twice_the_bits() -> None:
    auto = plan(frame(2.0), AUTO, HD).max_bitrate
    assert plan(frame(2.0), AUTO, HD, hardware=True).max_bitrate == 2 * auto
    assert plan(frame(2.0), PublishConfig(codec="h264"), HD).max_bitrate == auto, "the library's own"


RATES = st.sampled_from([1.0, 5.0, 7.5, 10.0, 15.0, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0])


@st.composite
def cameras(draw: st.DrawFn) -> tuple[float, float, list[int]]:
    """(publish rate, camera rate, capture times in ns): each frame late or early by up to 0.2 of an interval.

    By a seed: to draw and shrink hundreds of numbers takes a hundred times as long as the test.
    """
    camera_fps = draw(RATES)
    fps = draw(st.floats(0.5, 30.0).map(lambda wanted: min(wanted, camera_fps)) | st.just(camera_fps))
    start = draw(st.integers(0, 2**55))
    jitter = draw(st.floats(0, 0.2)) * SECOND / camera_fps
    count = draw(st.integers(2, 400))
    chance = random.Random(draw(st.integers(0, 2**32)))
    # often as early or as late as may be, for that is where a pacer goes wrong
    late = [max(-1.0, min(1.0, chance.uniform(-1.5, 1.5))) for _ in range(count)]
    first = late[0]
    return fps, camera_fps, [start + round(n * SECOND / camera_fps + (late[n] - first) * jitter) for n in range(count)]


@given(cameras())
def test_the_mean_rate_is_exact_whatever_the_jitter(camera: tuple[float, float, list[int]]) -> None:
    fps, camera_fps, times = camera
    pacer = Pacer(fps, camera_fps)
    published = sum(pacer.due(time) for time in times)
    assert abs(published - (times[-1] - times[0]) / SECOND * fps) <= 1.5


@given(cameras())
def test_the_first_frame_is_due(camera: tuple[float, float, list[int]]) -> None:
    fps, camera_fps, times = camera
    assert Pacer(fps, camera_fps).due(times[0])


@given(RATES, st.integers(1, 1000), st.floats(-0.45, 0.45))
def test_at_the_cameras_own_rate_jitter_loses_no_frame(fps: float, count: int, jitter: float) -> None:
    pacer = Pacer(fps, fps)
    interval = SECOND / fps
    late = [0.0, jitter, -jitter]
    assert all(pacer.due(round((n + late[n % 3]) * interval)) for n in range(count))


@given(RATES, st.floats(-0.9, 0.9), st.floats(0.01, 0.2))
def test_a_first_frame_out_of_step_costs_at_most_one_other(fps: float, offset: float, jitter: float) -> None:
    """Cameras give their first frame at any time. On a fixed grid, jitter would then lose every fourth one for ever."""
    pacer = Pacer(fps, fps)
    late = [0.0, jitter, -jitter]
    assert pacer.due(10**12)
    times = [10**12 + round((1 + offset + n + late[n % 3]) * SECOND / fps) for n in range(1000)]
    assert sum(pacer.due(time) for time in times) >= 998


@pytest.mark.parametrize(("camera_fps", "fps"), [(30.0, 12.0), (29.97, 10.0), (10.0, 1.0), (25.0, 0.5), (59.94, 30.0)])
def test_a_rate_that_is_no_divisor_neither_drifts_nor_beats(camera_fps: float, fps: float) -> None:
    """Over an hour the count is exact to one frame, and every gap is 1/fps to within one of the camera's intervals."""
    pacer = Pacer(fps, camera_fps)
    times = [round(n * SECOND / camera_fps) for n in range(round(3_600 * camera_fps))]
    published = [time for time in times if pacer.due(time)]
    assert abs(len(published) - 3_600 * fps) <= 1
    gaps = [(late - early) / SECOND for early, late in pairwise(published)]
    assert max(abs(gap - 1 / fps) for gap in gaps) <= 1 / camera_fps


@given(cameras(), st.integers(0, 399), st.floats(0, 60))
def test_after_a_stall_nothing_is_caught_up(camera: tuple[float, float, list[int]], at: int, seconds: float) -> None:
    """In any second there are at most as many frames as the rate says, and one."""
    fps, camera_fps, times = camera
    times = times[:at] + [time + round(seconds * SECOND) for time in times[at:]]
    pacer = Pacer(fps, camera_fps)
    published = [time for time in times if pacer.due(time)]
    for index, time in enumerate(published):
        within = [later for later in published[index:] if later - time <= SECOND]
        assert len(within) <= fps + 2


@pytest.mark.parametrize("seconds", [5, 60, 3600])
def test_after_a_stall_one_frame_is_due_at_once_and_the_next_a_period_later(seconds: int) -> None:
    pacer = Pacer(1.0, 30.0)
    assert pacer.due(0)
    after = [seconds * SECOND + round(n * SECOND / 30) for n in range(60)]
    assert [n for n, time in enumerate(after) if pacer.due(time)] == [0, 30]


def test_time_that_ran_backwards_does_not_silence_the_stream() -> None:
    pacer = Pacer(1.0, 30.0)
    assert pacer.due(10**18)
    assert pacer.due(5 * SECOND)
    assert not pacer.due(5 * SECOND + SECOND // 30)
    assert pacer.due(6 * SECOND)
