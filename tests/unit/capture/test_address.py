"""A camera's login reaches FFmpeg, and nobody else."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.capture.address import address
from overshootd.config.secret import Secret

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("url", "whole", "shown"),
    [
        ("rtsp://10.0.0.9:554/stream1", "rtsp://10.0.0.9:554/stream1", "rtsp://10.0.0.9:554/stream1"),
        ("rtsp://a:b@cam/s", "rtsp://a:b@cam/s", "rtsp://cam/s"),
        ("rtsp://a%40b:c%2f@[fe80::1]:8554", "rtsp://a%40b:c%2F@[fe80::1]:8554", "rtsp://[fe80::1]:8554"),
        ("rtsp://a:b@c@cam/s", "rtsp://a:b%40c@cam/s", "rtsp://cam/s"),
        ("rtsp://a:b/c@cam:554/s", "rtsp://a:b%2Fc@cam:554/s", "rtsp://cam:554/s"),
        ("rtsp://a:12/c@cam:554/s", "rtsp://a:12/c@cam:554/s", "rtsp://…"),
        ("rtsp://cam/s@1", "rtsp://cam/s@1", "rtsp://cam/s@1"),
        ("udp://@239.0.0.1:5000", "udp://@239.0.0.1:5000", "udp://239.0.0.1:5000"),
        ("http://cam/video.cgi?user=a&pwd=b", "http://cam/video.cgi?user=a&pwd=b", "http://cam/video.cgi?…"),
        (
            "rtsp://cam:554/user=a_password=b_channel=1",
            "rtsp://cam:554/user=a_password=b_channel=1",
            "rtsp://cam:554/…",
        ),
        ("rtsp://cam/live/key=b/1?x#y", "rtsp://cam/live/key=b/1?x#y", "rtsp://cam/live/…"),
        ("rtsp://cam/live#pwd=b", "rtsp://cam/live#pwd=b", "rtsp://cam/live"),
    ],
)
def test_what_ffmpeg_is_given_and_what_is_shown(url: str, whole: str, shown: str) -> None:
    where = address(url, None, None)
    assert (where.url.reveal(), where.shown) == (whole, shown)


def test_a_login_of_its_own_wins_over_that_of_the_url() -> None:
    where = address("rtsp://old:gone@cam/s", "new", Secret("fresh"))
    assert (where.url.reveal(), where.shown) == ("rtsp://new:fresh@cam/s", "rtsp://cam/s")
    assert where.login == Secret("new:fresh")


def test_a_password_alone_goes_with_the_name_in_the_url_and_a_name_with_its_password() -> None:
    assert address("rtsp://me:gone@cam/s", None, Secret("fresh")).url.reveal() == "rtsp://me:fresh@cam/s"
    assert address("rtsp://old:kept@cam/s", "new", None).url.reveal() == "rtsp://new:kept@cam/s"


@given(username=TEXT, password=TEXT)
def test_any_login_arrives_whole_and_is_not_shown(username: str, password: str) -> None:
    where = address("rtsp://camera.local:554/path", username, Secret(password))
    parts = urlsplit(where.url.reveal())
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (username, password)
    assert (parts.hostname, parts.port, parts.path) == ("camera.local", 554, "/path")
    assert where.shown == "rtsp://camera.local:554/path"


@given(username=TEXT, password=TEXT)
def test_any_login_in_the_url_is_the_same_as_one_of_its_own(username: str, password: str) -> None:
    inside = f"rtsp://{quote(username, safe='')}:{quote(password, safe='')}@camera.local/path"
    assert address(inside, None, None) == address("rtsp://camera.local/path", username, Secret(password))


@given(password=st.text(st.sampled_from("ab1@:/?#[]=&%"), min_size=3, max_size=12))
def test_a_password_that_no_url_may_hold_is_not_shown_either(password: str) -> None:
    shown = address(f"rtsp://user:SECRET{password}SECRET@camera.local/path", None, None).shown
    assert "SECRET" not in shown


def test_what_is_no_url_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValueError, match=r"^not a URL$"):
        address("user:secret@camera", None, None)
