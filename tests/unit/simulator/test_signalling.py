from __future__ import annotations

import base64
import contextlib
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import models, rtc

from overshootd.simulator.signalling import JoinOptions, parse_join, track_violations

REQUEST = rtc.JoinRequest(
    connection_settings=rtc.ConnectionSettings(auto_subscribe=True, adaptive_stream=True),
    publisher_offer=rtc.SessionDescription(type="offer", sdp="v=0"),
    reconnect=True,
)
CAMERA = rtc.AddTrackRequest(type=models.VIDEO, source=models.CAMERA, layers=[models.VideoLayer(width=1280)])


def wrapped(data: bytes, compression: rtc.WrappedJoinRequest.Compression) -> dict[str, str]:
    request = rtc.WrappedJoinRequest(join_request=data, compression=compression)
    return {"join_request": base64.urlsafe_b64encode(request.SerializeToString()).decode()}


@pytest.mark.parametrize(
    "query",
    [
        wrapped(REQUEST.SerializeToString(), rtc.WrappedJoinRequest.NONE),
        wrapped(gzip.compress(REQUEST.SerializeToString()), rtc.WrappedJoinRequest.GZIP),
    ],
    ids=["plain", "gzip"],
)
def test_a_join_request_is_read(query: dict[str, str]) -> None:
    assert parse_join(query) == JoinOptions(auto_subscribe=True, adaptive_stream=True, reconnect=True, offer="v=0")


def test_the_older_query_is_read() -> None:
    query = {"auto_subscribe": "0", "adaptive_stream": "0", "reconnect": "1", "sdk": "python"}
    assert parse_join(query) == JoinOptions(auto_subscribe=False, adaptive_stream=False, reconnect=True)


def test_who_does_not_speak_of_auto_subscribe_has_it_on() -> None:
    assert parse_join({}).auto_subscribe


@given(st.binary(max_size=200))
def test_any_join_request_is_read_or_refused(data: bytes) -> None:
    for query in (
        {"join_request": data.decode("latin-1")},
        {"join_request": base64.urlsafe_b64encode(data).decode()},
        wrapped(data, rtc.WrappedJoinRequest.NONE),
        wrapped(data, rtc.WrappedJoinRequest.GZIP),
    ):
        with contextlib.suppress(ValueError):
            parse_join(query)


def test_a_join_request_that_expands_to_megabytes_is_refused() -> None:
    bomb = rtc.JoinRequest(metadata="x" * (8 << 20)).SerializeToString()
    with pytest.raises(ValueError, match="join_request"):
        parse_join(wrapped(gzip.compress(bomb), rtc.WrappedJoinRequest.GZIP))


def test_what_the_api_asks_for_is_no_violation() -> None:
    assert not list(JoinOptions(auto_subscribe=False, adaptive_stream=False, reconnect=False).violations())
    assert not list(track_violations(CAMERA))


def test_joining_otherwise_is() -> None:
    told = list(JoinOptions(auto_subscribe=True, adaptive_stream=True, reconnect=False).violations())
    assert [what.split(":")[0] for what in told] == ["auto-subscribe", "adaptive stream"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (rtc.AddTrackRequest(source=models.SCREEN_SHARE), "source"),
        (rtc.AddTrackRequest(layers=[models.VideoLayer(width=640)]), "simulcast"),
        (
            rtc.AddTrackRequest(simulcast_codecs=[rtc.SimulcastCodec(codec=codec) for codec in ("vp8", "h264")]),
            "simulcast",
        ),
    ],
    ids=["screen share", "two layers", "two codecs"],
)
def test_publishing_otherwise_is(change: rtc.AddTrackRequest, rule: str) -> None:
    request = rtc.AddTrackRequest()
    request.MergeFrom(CAMERA)
    request.MergeFrom(change)
    assert [what.split(":")[0] for what in track_violations(request)] == [rule]


def test_a_microphone_is_two() -> None:
    request = rtc.AddTrackRequest(type=models.AUDIO, source=models.MICROPHONE)
    assert [what.split(":")[0] for what in track_violations(request)] == ["source", "audio"]
