"""Network cameras are gone and back, refuse, and fall silent: noticed, said in plain words, and never with a login."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import pytest

from overshootd.backoff import Backoff
from overshootd.capture import rtsp
from overshootd.capture.choose import camera_for
from overshootd.capture.feed import CameraFeed
from overshootd.capture.rtsp import RtspCamera
from overshootd.config.cameras import RtspCamera as RtspConfig
from overshootd.contracts import AccessUnit, CameraState, Subscription
from overshootd.errors import CameraLost, Permanent
from overshootd.ffmpeg import network
from tests.camera_contract import NEED, sample_of
from tests.integration.rtsp_lab import (
    BOUND,
    Journal,
    RtspServer,
    camera_at,
    encode,
    ended,
    lost,
    refused,
    rtsp_server,
    save,
    serving,
)
from tests.videos import H264

PASSWORD = "p@ss:w/ord?#%41+ü"
"""What a URL cannot hold as it is, and what looks as if it were encoded already."""

SOON = Backoff(base=0.01, cap=0.05)

Mounts = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def server(mounts: Mounts) -> Iterator[RtspServer]:
    with rtsp_server(mounts=mounts) as running:
        yield running


@pytest.fixture(scope="module")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> Mounts:
    file = save(tmp_path_factory.mktemp("recordings") / "units", encode(H264))
    return {"/h264": {"codec": "h264", "file": str(file)}}


def test_a_stall_is_noticed(mounts: Mounts) -> None:
    with rtsp_server(mounts=mounts) as server, camera_at(server.url("/h264")) as camera:
        camera.open(NEED)
        sample_of(camera)
        server.stall()
        why, seconds = lost(camera)
        assert "no answer within 5 s" in why
        assert seconds < 8.0


def test_closing_does_not_wait_for_a_camera_that_stalls(mounts: Mounts) -> None:
    with rtsp_server(mounts=mounts) as server:
        camera = RtspCamera(RtspConfig(type="rtsp", url=server.url("/h264")), None, Journal())
        camera.open(NEED)
        server.stall()
        began = time.monotonic()
        camera.close()
        assert time.monotonic() - began < 2.0
    assert ended("network video")


def test_a_server_that_dies_is_noticed_at_once_and_found_again(mounts: Mounts) -> None:
    with rtsp_server(mounts=mounts) as server:
        with camera_at(server.url("/h264")) as camera:
            camera.open(NEED)
            sample_of(camera)
            server.kill()
            why, seconds = lost(camera)
            assert "the camera ended the connection" in why
            assert seconds < 3.0
        assert "connection refused" in refused(server.url("/h264"))
        server.start()
        with camera_at(server.url("/h264")) as camera:
            camera.open(NEED)
            sample_of(camera)


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_logging_in(mounts: Mounts, method: str) -> None:
    with rtsp_server(mounts=mounts, login=[method, "ad min", PASSWORD]) as server:
        with camera_at(server.url("/h264"), username="ad min", password=PASSWORD) as camera:
            assert camera.open(NEED).encoded
        login = f"ad%20min:{quote(PASSWORD, safe='')}@"
        with camera_at(server.url("/h264", login)) as camera:
            assert camera.open(NEED).encoded


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_a_refusal_never_shows_who_wanted_to_log_in(
    mounts: Mounts,
    method: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with rtsp_server(mounts=mounts, login=[method, "admin", "right"]) as server:
        url = server.url("/h264")
        said = [
            refused(url, username="visitor", password=PASSWORD),
            refused(server.url("/h264", f"visitor:{quote(PASSWORD, safe='')}@")),
            refused(url),
        ]
        assert said == [f"{url}: the camera refuses the user name or password"] * 2 + [
            f"{url}: the camera wants a user name and a password"
        ]
        shown = "".join((*said, *capfd.readouterr(), caplog.text))
        basic = base64.b64encode(f"visitor:{PASSWORD}".encode()).decode()
        for secret in ("visitor", PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), basic, "Authorization"):
            assert secret not in shown


def test_an_error_carries_no_url_with_it(mounts: Mounts) -> None:
    """FFmpeg's own does, and a traceback shows what an error came from."""
    with (
        rtsp_server(mounts=mounts, login=["basic", "admin", "right"]) as server,
        camera_at(server.url("/h264"), username="visitor", password=PASSWORD) as camera,
        pytest.raises(CameraLost) as failure,
    ):
        camera.open(NEED)
    assert failure.value.__context__ is None
    assert failure.value.__cause__ is None


def test_ffmpeg_says_nothing_by_itself(server: RtspServer, capfd: pytest.CaptureFixture[str]) -> None:
    with camera_at(server.url("/h264")) as camera:
        camera.open(NEED)
        sample_of(camera).picture(320, 240)
    refused(server.url("/nothing"))
    assert av.logging.get_level() is None
    assert capfd.readouterr() == ("", "")


def test_what_is_not_there_is_said_in_plain_words(server: RtspServer) -> None:
    assert refused(server.url("/nothing")) == f"{server.url('/nothing')}: no such stream: 404"
    assert "rtsp://nosuch.invalid/a: the host nosuch.invalid cannot be found" in refused("rtsp://nosuch.invalid/a")


def test_what_answers_with_something_else_is_said_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "video").write_text("no video at all\n" * 99)
    with serving(partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as url:  # type: ignore[arg-type]
        assert "no video that FFmpeg understands" in refused(url)
        assert "no such stream: 404" in refused(f"{url}-not")


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for scheme in ("rtsp", "http"):
            assert refused(f"{scheme}://127.0.0.1:{port}/a").endswith(": no answer within 0.5 s")


def test_opening_is_bounded_whatever_ffmpeg_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """It resolves names without any timeout."""
    monkeypatch.setattr(rtsp, "OPEN_SECONDS", 0.3)
    released = threading.Event()
    monkeypatch.setattr(network.NetworkVideo, "_connect", lambda self: released.wait(60))
    camera = RtspCamera(RtspConfig(type="rtsp", url="rtsp://127.0.0.1/a"), None, Journal())
    began = time.monotonic()
    with pytest.raises(CameraLost, match=r"no answer within 0\.3 s"):
        camera.open(NEED)
    camera.close()
    assert time.monotonic() - began < 5.0
    released.set()
    assert ended("network video")


@pytest.mark.parametrize(("offers", "asks"), [("udp", "tcp"), ("tcp", "udp")])
def test_a_transport_that_the_camera_has_not_is_named(mounts: Mounts, offers: str, asks: str) -> None:
    with rtsp_server(mounts=mounts, only=offers) as server:
        assert refused(server.url("/h264"), transport=asks).endswith(
            f": the camera sends nothing over {asks}; transport: {offers} may work"
        )
        with camera_at(server.url("/h264"), transport=offers) as camera:
            camera.open(NEED)
            sample_of(camera)


def test_a_login_that_ffmpeg_would_cut_off_is_refused_before_it_is_tried() -> None:
    with (
        camera_at("rtsp://127.0.0.1/a", username="admin", password="x" * 122) as camera,
        pytest.raises(Permanent, match="too long for FFmpeg, which takes 127 characters"),
    ):
        camera.open(NEED)


def test_a_url_that_ffmpeg_does_not_know_is_wrong_for_good() -> None:
    with camera_at("foo://127.0.0.1/a") as camera, pytest.raises(Permanent, match="does not know this kind of URL"):
        camera.open(NEED)


async def test_a_stream_gets_frames_again_after_its_camera_stalled_and_was_started_anew(mounts: Mounts) -> None:
    states: list[CameraState] = []
    with rtsp_server(mounts=mounts) as server:
        make = camera_for(RtspConfig(type="rtsp", url=server.url("/h264")), Journal())
        backoff = Backoff(base=0.01, cap=0.05)
        feed = CameraFeed(
            "yard", make, on_state=lambda state, why: states.append(state), log=Journal(), backoff=backoff
        )
        running = asyncio.create_task(feed.run())
        subscription = feed.subscribe(NEED)
        try:
            async with asyncio.timeout(4 * BOUND):
                await subscription.ready()
                subscription.start_encoded()
                await subscription.next()
                server.stall()
                began = time.monotonic()
                with pytest.raises(CameraLost, match=r"gave no frame for 5 s|no answer within 5 s"):
                    await until_lost(subscription)
                assert time.monotonic() - began < 8.0
                server.kill()
                server.start()
                await subscription.ready()
                unit = await subscription.next()
            assert isinstance(unit, AccessUnit)
            assert unit.keyframe
            assert states == ["opening", "live", "lost", "live"]
        finally:
            running.cancel()
            await asyncio.wait([running], timeout=BOUND)
    assert ended("network video")


async def until_lost(subscription: Subscription) -> None:
    while True:
        await subscription.next()
