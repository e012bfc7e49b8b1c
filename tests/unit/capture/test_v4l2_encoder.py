"""The encoder in an H.264 camera is set for what will be published, and told what receivers wish."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.capture.v4l2.controls import Control, Kind, by_name
from overshootd.capture.v4l2.encoder import Wishes, encoder_settings, keyframe_distance
from overshootd.contracts import Wish
from overshootd.route import passable

ENCODER = by_name(
    [
        Control(1, "video_gop_size", Kind.INTEGER, 1, 300, 1, 60),
        Control(2, "video_bitrate", Kind.INTEGER, 25_000, 2_000_000, 25_000, 10_000_000),
        Control(3, "repeat_sequence_header", Kind.BOOLEAN, 0, 1, 1, 0),
        Control(4, "brightness", Kind.INTEGER, 0, 100, 1, 50),
    ]
)


def chosen(fps: float, needed: float, *configured: str) -> dict[str, int]:
    found = encoder_settings(ENCODER, fps, needed, (1280, 720), configured)
    return {control.name: value for control, value in found}


@given(st.floats(1.0, 120.0), st.floats(0.1, 60.0))
def test_keyframes_alone_suffice_where_the_camera_gives_many_more_frames(fps: float, needed: float) -> None:
    seconds = keyframe_distance(fps, needed) / fps
    if not passable(fps, needed):
        assert seconds <= 1 / needed * 1.002
    else:
        assert seconds <= max(2.0, 1 / fps) * 1.002


@pytest.mark.parametrize(
    ("fps", "needed", "frames"), [(30.0, 1.0, 30), (30.0, 0.5, 60), (30.0, 30.0, 60), (30.0, 20.0, 60), (5.0, 0.5, 10)]
)
def test_keyframes_come_as_often_as_they_are_published_or_every_two_seconds(
    fps: float, needed: float, frames: int
) -> None:
    assert keyframe_distance(fps, needed) == frames


def test_distance_headers_and_bits_are_set_within_what_the_encoder_takes() -> None:
    assert chosen(30.0, 1.0) == {"video_gop_size": 30, "video_bitrate": 2_000_000, "repeat_sequence_header": 1}


def test_what_the_configuration_sets_by_name_is_left_alone() -> None:
    assert chosen(30.0, 1.0, "video_bitrate", "video_gop_size") == {"repeat_sequence_header": 1}


def test_a_camera_without_these_controls_is_left_as_it_is() -> None:
    assert encoder_settings({}, 30.0, 1.0, (1280, 720), ()) == []


def test_wishes_are_gathered_and_taken_once() -> None:
    wishes = Wishes()
    wishes.add(True, None)
    wishes.add(False, 500)
    wishes.add(False, 300)
    wishes.add(False, None)
    assert wishes.take() == Wish(True, 300)
    assert wishes.take() == Wish()


def test_no_keyframe_that_another_thread_asks_for_gets_lost() -> None:
    wishes, taken, asking = Wishes(), 0, threading.Event()

    def ask() -> None:
        for number in range(2000):
            wishes.add(False, number)
        wishes.add(True, None)
        asking.set()

    thread = threading.Thread(target=ask)
    thread.start()
    while not asking.is_set():
        taken += wishes.take().keyframe
    thread.join()
    assert taken + wishes.take().keyframe == 1
