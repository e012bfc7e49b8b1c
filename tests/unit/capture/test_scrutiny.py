"""What counts as a picture that shows nothing, for how long, and what clears a camera of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.capture.scrutiny import Scrutiny
from overshootd.contracts import Picture, PixelFormat
from overshootd.errors import CameraLost, FrameSpoiled

SECOND = 1_000_000_000
WIDTH, HEIGHT = 320, 180
GREY = np.full(WIDTH * HEIGHT // 2, 128, np.uint8)


def picture(luma: object, second: float, width: int = WIDTH) -> Picture:
    """A picture with this luma: one value, or one for each pixel."""
    plane = np.broadcast_to(np.asarray(luma, np.uint8), (HEIGHT, width)).ravel()
    data = np.concatenate([plane, GREY[: width * HEIGHT // 2]])
    return Picture(data.data, width, HEIGHT, PixelFormat.I420, round(second * SECOND))


def noise(second: float, level: float, spread: float) -> Picture:
    """What a sensor gives of an even surface: its noise is another in every frame."""
    rng = np.random.default_rng(round(second * 1000))
    return picture(np.clip(rng.normal(level, spread, (HEIGHT, WIDTH)), 16, 235), second)


def judge(scrutiny: Scrutiny, pictures: list[Picture]) -> float | None:
    """Second of the picture for which the camera was given up."""
    for one in pictures:
        try:
            scrutiny.look(one)
        except CameraLost:
            return one.captured_ns / SECOND
    return None


@given(st.integers(0, 40), st.integers(1, 100))
def test_one_dark_value_all_over_is_black_after_just_that_time(value: int, limit: int) -> None:
    lost = judge(Scrutiny(black_seconds=limit), [picture(value, second) for second in range(110)])
    assert lost is not None
    assert lost == limit


@pytest.mark.parametrize("artefact", [1, 2])
def test_what_jpeg_makes_of_black_is_still_black(artefact: int) -> None:
    pictures = [picture(16 + np.random.default_rng(s).integers(0, artefact + 1, (HEIGHT, WIDTH)), s) for s in range(63)]
    assert judge(Scrutiny(black_seconds=60), pictures) is not None


@given(st.floats(16, 30), st.floats(2.0, 20.0))
def test_a_dark_night_with_a_sensors_noise_is_not_black(level: float, spread: float) -> None:
    assert judge(Scrutiny(black_seconds=2), [noise(s, level, spread) for s in range(6)]) is None


def test_one_lamp_in_the_dark_is_something_to_see() -> None:
    luma = np.full((HEIGHT, WIDTH), 16)
    luma[80:100, 200:220] = 120
    assert judge(Scrutiny(black_seconds=5), [picture(luma, s) for s in range(20)]) is None


@pytest.mark.parametrize("value", [90, 235])
def test_an_even_surface_that_is_not_dark_is_not_black(value: int) -> None:
    """A wall, or the sun in the lens."""
    assert judge(Scrutiny(black_seconds=5), [picture(value, s) for s in range(20)]) is None


def test_black_that_is_interrupted_begins_anew() -> None:
    pictures = [picture(16, s) if s != 40 else noise(s, 100, 5) for s in range(100)]
    assert judge(Scrutiny(black_seconds=60), pictures) is None


def test_the_same_picture_is_frozen_after_its_time_and_not_before() -> None:
    assert (
        judge(
            Scrutiny(frozen_seconds=180),
            [noise(0, 100, 20)]
            + [Picture(noise(0, 100, 20).data, WIDTH, HEIGHT, PixelFormat.I420, s * SECOND) for s in range(1, 300)],
        )
        == 180
    )


@given(st.integers(0, WIDTH * HEIGHT * 3 // 2 - 1))
def test_one_byte_that_differs_is_a_change(place: int) -> None:
    def changing(second: int) -> Picture:
        data = bytearray(WIDTH * HEIGHT * 3 // 2)
        data[:] = b"\x64" * len(data)
        data[place] = second % 200
        return Picture(data, WIDTH, HEIGHT, PixelFormat.I420, second * SECOND)

    assert judge(Scrutiny(frozen_seconds=10), [changing(s) for s in range(30)]) is None


def test_two_streams_of_two_sizes_are_no_change_of_the_picture() -> None:
    sizes = [WIDTH, 160]
    pictures = [picture(100, s, sizes[s % 2]) for s in range(200)]
    assert judge(Scrutiny(frozen_seconds=180), pictures) is not None


def test_who_puts_up_with_black_puts_up_with_it_for_ever() -> None:
    assert judge(Scrutiny(black_seconds=0, frozen_seconds=10), [picture(16, s) for s in range(100)]) is None


def test_nothing_is_looked_for_unless_it_was_asked() -> None:
    pictures = [picture(16, s) for s in range(1000)] + [picture(100, s) for s in range(1000, 2000)]
    assert judge(Scrutiny(), pictures) is None
    assert not Scrutiny().wants_a_glance(10**18)


def suspect(scrutiny: Scrutiny, luma: int) -> Scrutiny:
    assert judge(scrutiny, [picture(luma, s) for s in range(400)]) is not None
    assert scrutiny.suspicion
    scrutiny.opened()
    return scrutiny


def test_a_frozen_camera_is_cleared_by_another_picture_only() -> None:
    scrutiny = suspect(Scrutiny(black_seconds=60, frozen_seconds=180), 100)
    assert not scrutiny.clears(lambda width, height: picture(100, 500), 500 * SECOND, 5)
    assert not scrutiny.clears(lambda width, height: picture(16, 501), 501 * SECOND, 5), "nor by a black one"
    assert scrutiny.clears(lambda width, height: picture(101, 502), 502 * SECOND, 5)
    assert not scrutiny.suspicion
    assert judge(scrutiny, [noise(503 + s, 100, 20) for s in range(20)]) is None


def test_a_camera_under_suspicion_has_as_long_as_any_to_show_something() -> None:
    """The first pictures of a good one may be black too, until it has found its exposure."""
    scrutiny = suspect(Scrutiny(black_seconds=60), 16)
    for second in range(500, 505):
        assert not scrutiny.clears(lambda width, height: picture(16, second), second * SECOND, 5)  # noqa: B023
    with pytest.raises(CameraLost, match="black pictures for 60 s"):
        scrutiny.clears(lambda width, height: picture(16, 505), 505 * SECOND, 5)
    scrutiny.opened()
    assert not scrutiny.clears(lambda width, height: picture(16, 506), 506 * SECOND, 5), "a new opening, a new chance"


def test_a_suspect_is_looked_at_a_few_times_a_second_whatever_its_rate() -> None:
    scrutiny, drawn = suspect(Scrutiny(black_seconds=60), 16), list[int]()

    def draw(width: int, height: int) -> Picture:
        drawn.append(width)
        return picture(16, 500)

    for frame in range(60):
        scrutiny.clears(draw, 500 * SECOND + frame * SECOND // 30, 5)
    assert len(drawn) == 8


def spoil(scrutiny: Scrutiny, seconds: list[float], patience: float = 5.0) -> float | None:
    for second in seconds:
        try:
            scrutiny.spoiled(FrameSpoiled("truncated"), round(second * SECOND), patience)
        except CameraLost:
            return second
    return None


def test_spoiled_frames_count_in_a_row() -> None:
    assert spoil(Scrutiny(), [s / 10 for s in range(100)]) == 5.0
    scrutiny = Scrutiny()
    assert spoil(scrutiny, [s / 10 for s in range(49)]) is None
    scrutiny.look(picture(100, 4.95))
    assert spoil(scrutiny, [5 + s / 10 for s in range(49)]) is None


def test_spoiled_frames_with_a_long_pause_between_them_are_no_row() -> None:
    """A stream that is paused draws nothing: two bad frames in an hour are two bad frames."""
    assert spoil(Scrutiny(), [0.0, 3600.0, 7200.0]) is None


def test_the_first_of_a_row_is_told() -> None:
    scrutiny = Scrutiny()
    told = [scrutiny.spoiled(FrameSpoiled("no keyframe yet"), s * SECOND, 30) for s in range(3)]
    scrutiny.look(picture(100, 3))
    assert [*told, scrutiny.spoiled(FrameSpoiled("no keyframe yet"), 4 * SECOND, 30)] == [True, False, False, True]
