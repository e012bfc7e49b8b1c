"""Between the thread that demuxes and the one that reads nothing grows; and what FFmpeg says becomes plain words."""

from __future__ import annotations

import threading
from itertools import pairwise

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.errors import CameraLost
from overshootd.ffmpeg.errors import trouble
from overshootd.ffmpeg.inbox import Inbox, NetworkPacket
from overshootd.ffmpeg.network import Pace


def packet(number: int, *, keyframe: bool = False, size: int = 1) -> NetworkPacket:
    return NetworkPacket(bytes(size), keyframe, None, number)


def taken(inbox: Inbox) -> list[int]:
    return [packet.arrived_ns for packet in iter(lambda: inbox.take(0.0), None)]


def test_packets_come_out_in_order() -> None:
    inbox = Inbox()
    for number in range(5):
        inbox.put(packet(number))
    assert taken(inbox) == [0, 1, 2, 3, 4]


def test_nothing_comes_out_of_an_empty_one() -> None:
    assert Inbox().take(0.001) is None


def test_who_waits_is_told() -> None:
    inbox, got = Inbox(), list[NetworkPacket | None]()
    waiting = threading.Thread(target=lambda: got.append(inbox.take(60)))
    waiting.start()
    inbox.put(packet(7))
    waiting.join(30)
    assert got == [packet(7)]


def test_what_is_too_much_is_dropped_up_to_the_next_keyframe() -> None:
    inbox = Inbox(packets=3)
    for number in range(10):
        inbox.put(packet(number, keyframe=number % 4 == 0))
    assert taken(inbox) == [8, 9]
    assert inbox.dropped == 8


def test_bytes_count_too() -> None:
    inbox = Inbox(size=100)
    for number, size in enumerate([60, 30, 20, 60, 30]):
        inbox.put(packet(number, keyframe=number in (0, 3), size=size))
    assert taken(inbox) == [3, 4]


def test_a_keyframe_that_is_too_large_by_itself_still_comes() -> None:
    inbox = Inbox(size=100)
    inbox.put(packet(0, keyframe=True, size=500))
    assert taken(inbox) == [0]


def test_the_end_comes_after_what_waits() -> None:
    inbox = Inbox()
    inbox.put(packet(1))
    inbox.fail(CameraLost("gone"))
    assert inbox.take(0.0) == packet(1)
    with pytest.raises(CameraLost, match="gone"):
        inbox.take(60)


@given(
    keyframes=st.lists(st.booleans(), max_size=60),
    takes=st.lists(st.integers(0, 3), min_size=60, max_size=60),
    limit=st.integers(1, 10),
)
def test_it_never_holds_more_than_it_may_nor_skips_but_to_a_keyframe(
    keyframes: list[bool], takes: list[int], limit: int
) -> None:
    inbox, got = Inbox(packets=limit), list[int]()
    for number, keyframe in enumerate(keyframes):
        inbox.put(packet(number, keyframe=keyframe))
        got += [one.arrived_ns for one in (inbox.take(0.0) for _ in range(takes[number])) if one]
    waiting = taken(inbox)
    assert len(waiting) <= limit
    assert len(got + waiting) + inbox.dropped == len(keyframes)
    assert all(later == earlier + 1 or keyframes[later] for earlier, later in pairwise(got + waiting))


def test_a_video_that_lies_ready_is_read_at_its_own_pace() -> None:
    pace = Pace()
    assert pace.ahead(5.0, 100.0) == 0.0
    assert pace.ahead(5.5, 100.1) == pytest.approx(0.4)
    assert pace.ahead(5.5, 101.0) == 0.0, "late already"


def test_times_that_leap_begin_anew() -> None:
    pace = Pace()
    pace.ahead(5.0, 100.0)
    assert pace.ahead(95_000.0, 100.1) == 0.0
    assert pace.ahead(95_000.5, 100.2) == pytest.approx(0.4)
    assert pace.ahead(0.0, 100.3) == 0.0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (av.HTTPUnauthorizedError(1, "x", "rtsp://a:b@c"), "the camera refuses the user name or password"),
        (av.HTTPForbiddenError(1, "x"), "the camera does not allow this user this stream: 403"),
        (av.HTTPNotFoundError(1, "x"), "no such stream: 404"),
        (av.HTTPOtherClientError(1, "x"), "the camera refuses the request (4xx)"),
        (av.HTTPServerError(1, "x"), "the camera reports an error of its own (5xx)"),
        (av.ConnectionRefusedError(111, "x"), "connection refused"),
        (av.ConnectionResetError(104, "x"), "the camera ended the connection"),
        (av.OSError(113, "No route to host", "rtsp://a:b@c"), "No route to host"),
        (av.UndefinedError(1, "", "rtsp://a:b@c"), "UndefinedError"),
    ],
)
def test_each_failure_has_its_words_and_never_the_url(error: Exception, said: str) -> None:
    assert trouble(error, waited=0.1, limit=5.0) == said


@pytest.mark.parametrize(
    "error", [av.ExitError(1, "x"), av.InvalidDataError(1, "x"), av.TimeoutError(110, "x"), av.OSError(5, "x")]
)
def test_silence_is_called_so_however_ffmpeg_calls_it(error: Exception) -> None:
    assert trouble(error, waited=5.01, limit=5.0) == "no answer within 5 s"
    assert trouble(error, waited=0.1, limit=5.0) != "no answer within 5 s"
