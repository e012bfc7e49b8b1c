"""Network cameras keep the cameras' contract: what receivers can show is passed on, the rest decoded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from overshootd import h264
from overshootd.capture.choose import camera_for
from overshootd.capture.rtsp import Learned
from overshootd.config.cameras import RtspCamera as RtspConfig
from overshootd.contracts import Camera, CaptureNeed, Sample
from overshootd.errors import CameraLost
from tests.camera_contract import NEED, CameraContract, EncodedCameraContract, Make, pictured, sample_of
from tests.integration.rtsp_lab import (
    FPS,
    Journal,
    RtspServer,
    camera_at,
    encode,
    http_camera,
    lost,
    recordings,
    rtsp_server,
    serving,
)  # fmt: skip
from tests.videos import H264, MJPEG, number_of, write_video


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtspServer]:
    with rtsp_server(mounts=recordings(tmp_path_factory.mktemp("recordings"))) as running:
        yield running


@pytest.fixture(scope="module")
def mjpeg_url() -> Iterator[str]:
    with http_camera([data for _, data in encode(MJPEG)]) as url:
        yield url


class TestH264(EncodedCameraContract):
    @pytest.fixture(params=["tcp", "udp"])
    def make(self, server: RtspServer, request: pytest.FixtureRequest) -> Make:
        config = RtspConfig(type="rtsp", url=server.url("/h264"), transport=request.param)
        return camera_for(config, Journal())


class TestH264WithBFrames(CameraContract):
    behind = 4

    @pytest.fixture
    def make(self, server: RtspServer) -> Make:
        return camera_for(RtspConfig(type="rtsp", url=server.url("/b-frames")), Journal())


class TestH265(CameraContract):
    @pytest.fixture
    def make(self, server: RtspServer) -> Make:
        return camera_for(RtspConfig(type="rtsp", url=server.url("/h265")), Journal())


class TestMjpegOverHttp(CameraContract):
    @pytest.fixture
    def make(self, mjpeg_url: str) -> Make:
        return camera_for(RtspConfig(type="rtsp", url=mjpeg_url), Journal())

    def test_says_what_it_gives(self, camera: Camera) -> None:
        given = camera.open(NEED)
        assert (given.width, given.height, given.encoded) == (320, 240, False)
        assert given.fps == pytest.approx(FPS, rel=0.25), "measured, for nothing says it"
        assert given.what == "MJPEG, decoded where it is published"


def test_h264_is_passed_on_as_it_was_recorded(server: RtspServer) -> None:
    recorded = {tuple(h264.nal_units(data)) for _, data in encode(H264)}
    with camera_at(server.url("/h264")) as camera:
        given = camera.open(NEED)
        assert (given.width, given.height, given.fps, given.encoded) == (320, 240, FPS, True)
        assert given.keyframe_seconds == pytest.approx(0.5)
        assert given.what == "H.264, as the camera encodes it"
        for _ in range(30):
            unit = sample_of(camera).access_unit
            assert unit is not None
            assert tuple(h264.nal_units(unit.data)) in recorded
            assert (unit.width, unit.height) == (320, 240)


def test_what_is_passed_on_is_not_decoded(server: RtspServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overshootd.ffmpeg.lazy.LazyDecoder.decode_pending", lambda self: pytest.fail("decoded"))
    with camera_at(server.url("/h264")) as camera:
        camera.open(NEED)
        for _ in range(80):
            sample_of(camera)


def test_parameter_sets_that_came_once_stand_before_every_keyframe(server: RtspServer) -> None:
    with camera_at(server.url("/sets-once")) as camera:
        assert camera.open(NEED).encoded
        units = [sample_of(camera).access_unit for _ in range(25)]
        keyframes = [unit for unit in units if unit and unit.keyframe]
        assert len(keyframes) >= 2
        assert all(h264.kinds(unit.data)[:2] == [h264.SPS, h264.PPS] for unit in keyframes)


def test_keyframes_that_are_far_apart_are_not_waited_for(server: RtspServer) -> None:
    with camera_at(server.url("/h264")) as camera:
        given = camera.open(CaptureNeed(fps=30.0, width=1280, height=720))
        assert (given.encoded, given.keyframe_seconds) == (True, None)
        first = sample_of(camera).access_unit
        assert first is not None and first.keyframe


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/b-frames", "H.264, decoded: it has B-frames, so it cannot be passed on to WebRTC"),
        ("/h265", "H.265, decoded: it cannot be passed on to WebRTC"),
        ("/jpeg", "MJPEG, decoded where it is published"),
    ],
)
def test_what_cannot_be_passed_on_is_decoded_and_the_format_says_so(server: RtspServer, path: str, what: str) -> None:
    with camera_at(server.url(path)) as camera:
        given = camera.open(NEED)
        assert (given.width, given.height, given.encoded, given.what) == (320, 240, False, what)
        assert given.keyframe_seconds is None
        assert sample_of(camera).access_unit is None


@pytest.mark.parametrize("path", ["/b-frames", "/h265", "/h264"])
def test_pictures_come_in_the_order_in_which_they_were_taken(server: RtspServer, path: str) -> None:
    with camera_at(server.url(path)) as camera:
        camera.open(NEED)
        numbers = [number_of(pictured(camera, 320, 240)[1]) for _ in range(40)]
        assert numbers == list(range(numbers[0], numbers[0] + 40))


def test_a_camera_that_hangs_upside_down_is_turned_and_so_decoded(server: RtspServer) -> None:
    with camera_at(server.url("/h264"), rotate=180) as camera:
        given = camera.open(NEED)
        assert (given.encoded, given.what) == (False, "H.264, decoded: its pictures must be turned")
        _, picture = pictured(camera, 320, 240)
        planes = np.frombuffer(picture.data, np.uint8).copy()
        planes[: 320 * 240] = planes[: 320 * 240][::-1]
        assert number_of(picture.__class__(planes.data, 320, 240, picture.format, 0)) >= 0


def test_b_frames_that_begin_later_are_decoded_from_the_next_opening_on(server: RtspServer) -> None:
    learned = Learned()
    with camera_at(server.url("/b-frames-later"), learned=learned) as camera:
        assert camera.open(NEED).encoded
        assert "it has B-frames, which it had not before; it will be decoded" in lost(camera)[0]
    with camera_at(server.url("/b-frames-later"), learned=learned) as camera:
        assert not camera.open(NEED).encoded


def test_another_size_is_a_lost_camera(server: RtspServer) -> None:
    with camera_at(server.url("/grows")) as camera:
        camera.open(NEED)
        assert "the picture's size changed from 320x240 to 640x360" in lost(camera)[0]


def all_pictures(camera: Camera) -> None:
    while True:
        pictured(camera, 320, 240)


def test_another_size_of_what_is_decoded_is_a_lost_camera_too(server: RtspServer) -> None:
    with camera_at(server.url("/h265-grows")) as camera:
        camera.open(NEED)
        with pytest.raises(CameraLost, match="the picture's size changed from 320x240 to 640x360"):
            all_pictures(camera)


@pytest.mark.parametrize("name", ["a.mp4", "a.flv", "a.mkv"])
def test_h264_in_any_container_is_passed_on_at_its_own_pace_to_its_end(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / name, H264, frames=30, fps=FPS)
    (tmp_path / name).rename(tmp_path / "video")
    with serving(partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as url, camera_at(url) as camera:  # type: ignore[arg-type]
        given = camera.open(NEED)
        assert (given.width, given.height, given.encoded) == (320, 240, True)
        samples: list[Sample] = []
        with pytest.raises(CameraLost, match="the camera ended the connection"):
            samples.extend(iter(partial(sample_of, camera), None))
        keyframes = [sample.access_unit for sample in samples if sample.access_unit and sample.access_unit.keyframe]
        assert keyframes
        assert all({h264.IDR, h264.SPS, h264.PPS} <= set(h264.kinds(unit.data)) for unit in keyframes)
        assert (samples[-1].captured_ns - samples[0].captured_ns) / 1e9 >= 0.7 * (len(samples) - 1) / FPS
