"""The command camera keeps the contract with what real ffmpeg writes, and says what is wrong with what does not."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
import structlog

from overshootd.capture.choose import camera_for
from overshootd.capture.feed import CameraFeed, Limits
from overshootd.capture.program import command, video
from overshootd.capture.program.command import CommandCamera
from overshootd.config.cameras import CommandCamera as CommandConfig
from overshootd.contracts import CaptureNeed
from overshootd.errors import CameraLost, Permanent
from overshootd.ffmpeg.live import JpegDecoder
from overshootd.h264 import parse_sps
from tests.camera_contract import NEED, CameraContract, EncodedCameraContract, Make, pictured, sample_of
from tests.integration.feed_bench import until
from tests.videos import H264, H264_B_FRAMES, MJPEG, Codec, number_of, write_video

LOG = structlog.get_logger()
RAW: Codec = ("rawvideo", "yuv420p", {})
FFMPEG = ("ffmpeg", "-nostdin", "-loglevel", "error", "-re")
Open = Callable[..., CommandCamera]


def play(path: Path, *output: str, loops: int = -1) -> tuple[str, ...]:
    """The arguments that make ffmpeg write a video at its own pace."""
    return (*FFMPEG, "-stream_loop", str(loops), "-i", str(path), *output, "-flush_packets", "1", "-")


def copied(tmp_path: Path, codec: Codec, form: str, **options: Any) -> tuple[str, ...]:
    path = write_video(tmp_path / "video.mkv", codec, **{"frames": 60, **options})
    return play(path, "-c", "copy", "-f", form)


def config(argv: tuple[str, ...], form: str, **options: Any) -> CommandConfig:
    return CommandConfig.model_validate({"type": "command", "argv": argv, "format": form, "fps": 20.0, **options})


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open a camera; all are closed."""
    cameras: list[CommandCamera] = []

    def opened(
        argv: tuple[str, ...], form: str, need: CaptureNeed = NEED, log: Any = LOG, **options: Any
    ) -> CommandCamera:
        cameras.append(CommandCamera(config(argv, form, **options), log))
        cameras[-1].open(need)
        return cameras[-1]

    yield opened
    for camera in cameras:
        camera.close()


class TestMjpegCommand(CameraContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return camera_for(config(copied(tmp_path, MJPEG, "mjpeg"), "mjpeg"), LOG)


class TestI420Command(CameraContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        path = write_video(tmp_path / "video.avi", MJPEG, frames=60)
        argv = play(path, "-f", "rawvideo", "-pix_fmt", "yuv420p")
        return camera_for(config(argv, "i420", width=320, height=240), LOG)


class TestH264Command(EncodedCameraContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return camera_for(config(copied(tmp_path, H264, "h264"), "h264"), LOG)


class TestH264CommandWithBFrames(CameraContract):
    behind = 4  # reordered frames may be shown late, by as many as the encoder held back

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return camera_for(config(copied(tmp_path, H264_B_FRAMES, "h264"), "h264"), LOG)


@pytest.fixture
def still(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """A program that writes bytes at once, says a word, and then waits."""

    def still(*parts: bytes) -> tuple[str, ...]:
        path = tmp_path / "bytes"
        path.write_bytes(b"".join(parts))
        return ("sh", "-c", f"cat {path}; echo now I wait >&2; exec sleep 60")

    return still


def packets(codec: Codec, tmp_path: Path, **options: Any) -> list[bytes]:
    """The pictures of a video, each by itself."""
    name = "packets.h264" if codec is H264 else "packets.nut"
    with av.open(str(write_video(tmp_path / name, codec, **{"frames": 6, **options}))) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def loss_of(camera: CommandCamera) -> str:
    """Why it is lost."""
    while True:
        try:
            sample_of(camera)
        except CameraLost as error:
            return str(error)


@pytest.mark.parametrize(("need", "every"), [(1.0, 0.5), (20.0, None)])
def test_h264_is_passed_on_with_the_distance_of_its_keyframes_as_far_as_that_matters(
    tmp_path: Path, need: float, every: float | None
) -> None:
    camera = CommandCamera(config(copied(tmp_path, H264, "h264"), "h264"), LOG)
    given = camera.open(CaptureNeed(need, 1280, 720))
    sample = sample_of(camera)
    camera.close()
    assert given.encoded
    assert (given.width, given.height, given.what) == (320, 240, "H.264 as ffmpeg encodes it")
    assert given.keyframe_seconds == (every and pytest.approx(every, abs=0.2))
    assert sample.access_unit is not None
    assert sample.access_unit.keyframe == (every is not None), "the keyframe that ended the measurement is the first"


@pytest.mark.parametrize(
    ("codec", "options", "why"),
    [(H264_B_FRAMES, {}, "it has B-frames"), (H264, {"rotate": 180}, "it must be turned")],
    ids=["b-frames", "turned"],
)
def test_h264_that_cannot_be_passed_on_is_decoded_and_the_log_can_say_why(
    tmp_path: Path, codec: Codec, options: dict[str, Any], why: str
) -> None:
    camera = CommandCamera(config(copied(tmp_path, codec, "h264"), "h264", **options), LOG)
    given = camera.open(NEED)
    units = [sample_of(camera).access_unit for _ in range(3)]
    camera.close()
    assert not given.encoded
    assert given.keyframe_seconds is None
    assert given.what == f"H.264, decoded where it is published, for {why}"
    assert units == [None] * 3


def test_b_frames_are_seen_where_the_parameter_sets_do_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "parse_sps", lambda nal: replace(parse_sps(nal), reorders=None))
    for codec, encoded in ((H264, True), (H264_B_FRAMES, False)):
        camera = CommandCamera(config(copied(tmp_path, codec, "h264"), "h264"), LOG)
        assert camera.open(NEED).encoded == encoded
        camera.close()


@pytest.mark.parametrize("form", ["h264", "mjpeg", "i420"])
def test_what_it_shows_is_upright(tmp_path: Path, opened: Open, form: str) -> None:
    path = write_video(tmp_path / "video.mkv", MJPEG, frames=60)
    encoder = {"h264": ("-c:v", "libx264", "-g", "10"), "mjpeg": ("-q:v", "2"), "i420": ("-pix_fmt", "yuv420p")}[form]
    argv = play(path, "-vf", "vflip", *encoder, "-f", "rawvideo" if form == "i420" else form)
    camera = opened(argv, form, rotate=180, hflip=True, width=320, height=240)
    assert number_of(pictured(camera, 320, 240)[1]) >= 0


@pytest.mark.parametrize("form", ["mjpeg", "i420"])
def test_of_pictures_that_wait_the_newest_is_given(tmp_path: Path, opened: Open, form: str) -> None:
    first, *others = packets(MJPEG if form == "mjpeg" else RAW, tmp_path)
    (tmp_path / "first").write_bytes(first)
    (tmp_path / "others").write_bytes(b"".join(others))
    os.mkfifo(tmp_path / "go")
    os.mkfifo(tmp_path / "done")
    script = f"cd {tmp_path}; cat first; cat go; cat others; echo > done; exec sleep 60"
    camera = opened(("sh", "-c", script), form, width=320, height=240)
    assert number_of(sample_of(camera).picture(320, 240)) == 0
    (tmp_path / "go").write_bytes(b"")
    assert (tmp_path / "done").read_text() == "\n", "all of them are in the pipe now"
    assert number_of(sample_of(camera).picture(320, 240)) == len(others)
    assert camera.read(0.1) is None


@pytest.mark.parametrize("form", ["mjpeg", "i420"])
def test_a_picture_does_not_wait_for_the_next(
    tmp_path: Path, opened: Open, still: Callable[..., tuple[str, ...]], form: str
) -> None:
    picture = packets(MJPEG if form == "mjpeg" else RAW, tmp_path)[0]
    camera = opened(still(picture), form, width=320, height=240)
    assert number_of(sample_of(camera).picture(320, 240)) == 0


def test_an_access_unit_waits_for_the_next_unless_a_delimiter_follows(
    tmp_path: Path, opened: Open, still: Callable[..., tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "OPEN_SECONDS", 0.5)
    monkeypatch.setattr(video, "MEASURE_SECONDS", 0.1)
    keyframe = packets(H264, tmp_path)[0]
    with pytest.raises(CameraLost, match=rf"no frame within 0\.5 s \({len(keyframe)} bytes came without a keyframe\)"):
        opened(still(keyframe), "h264")
    opened(still(keyframe + b"\0\0\0\1\x09\xf0"), "h264")


def test_what_is_between_jpegs_is_passed_over(
    tmp_path: Path, opened: Open, still: Callable[..., tuple[str, ...]]
) -> None:
    pictures = packets(MJPEG, tmp_path)
    boundary = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
    camera = opened(still(boundary.join([b"", *pictures, b""])), "mjpeg")
    while number_of(sample_of(camera).picture(320, 240)) < len(pictures) - 1:
        pass


def test_only_what_is_asked_is_decoded(tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    decode = JpegDecoder._frame

    def spy(self: JpegDecoder, data: bytes) -> av.VideoFrame:
        decoded.append(len(data))
        return decode(self, data)

    monkeypatch.setattr(JpegDecoder, "_frame", spy)
    camera = opened(copied(tmp_path, MJPEG, "mjpeg"), "mjpeg")
    samples = [sample_of(camera) for _ in range(10)]
    assert decoded == []
    samples[-1].picture(320, 240)
    assert len(decoded) == 1


def test_h264_that_changes_its_size_is_opened_anew(
    tmp_path: Path, opened: Open, still: Callable[..., tuple[str, ...]]
) -> None:
    first, second = packets(H264, tmp_path), packets(H264, tmp_path, size=(640, 480))
    camera = opened(still(*first, *second), "h264")
    assert loss_of(camera) == "sh has changed its picture from 320x240 to 640x480"


@pytest.mark.parametrize(
    ("form", "written", "sentence"),
    [
        ("i420", b"", "sh gave no frame within 0.5 s: now I wait"),
        ("i420", b"12345", "sh gave no frame within 0.5 s (5 of the 115200 bytes of a picture came): now I wait"),
        ("mjpeg", b"no picture", "sh gave no frame within 0.5 s (8 bytes came that are no JPEG picture): now I wait"),
        ("h264", b"no video", "sh gave no frame within 0.5 s (8 bytes came without a keyframe): now I wait"),
    ],
)
def test_a_program_without_a_picture_is_lost_with_what_it_wrote_and_said(
    opened: Open,
    still: Callable[..., tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    written: bytes,
    sentence: str,
) -> None:
    monkeypatch.setattr(command, "OPEN_SECONDS", 0.5)
    with pytest.raises(CameraLost) as raised:
        opened(still(written), form, width=320, height=240)
    assert str(raised.value) == sentence


def test_ffmpegs_own_reason_is_in_the_error(opened: Open, tmp_path: Path) -> None:
    with pytest.raises(CameraLost, match=r"^ffmpeg ended with exit code 1: .*/missing: No such file or directory$"):
        opened(play(tmp_path / "missing", "-f", "mjpeg"), "mjpeg")


def test_a_program_that_dies_is_lost_and_can_be_started_again(tmp_path: Path, opened: Open) -> None:
    argv = play(write_video(tmp_path / "video.avi", MJPEG, frames=10), "-c", "copy", "-f", "mjpeg", loops=0)
    argv = ("sh", "-c", f"{shlex.join(argv)}; echo unplugged >&2; exit 5")
    for _ in range(2):
        camera = opened(argv, "mjpeg")
        assert loss_of(camera) == "sh ended with exit code 5: unplugged"


def test_bare_pixels_need_a_size_and_a_program_must_be_there(opened: Open) -> None:
    with pytest.raises(Permanent, match="give width and height"):
        opened(("cat",), "i420")
    with pytest.raises(Permanent, match="no-such-thing: no such program"):
        opened(("no-such-thing",), "mjpeg")


async def test_a_feed_that_is_cancelled_while_a_program_opens_ends_it_in_time(tmp_path: Path) -> None:
    started = tmp_path / "started"
    silent = ("sh", "-c", f"trap '' TERM; echo $$ > {tmp_path}/pid; mv {tmp_path}/pid {started}; exec sleep 60")
    feed = CameraFeed("a", camera_for(config(silent, "mjpeg"), LOG), on_state=lambda state, detail: None, log=LOG)
    feed.subscribe(NEED)
    running = asyncio.create_task(feed.run())
    await until(started.exists, "the program runs")
    began = time.monotonic()
    running.cancel()
    await asyncio.wait([running])
    assert time.monotonic() - began < Limits().close
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_a_camera_that_was_given_up_before_it_is_opened_starts_nothing(tmp_path: Path) -> None:
    camera = CommandCamera(config(("touch", str(tmp_path / "started")), "mjpeg"), LOG)
    camera.abort()
    with pytest.raises(CameraLost, match="touch is given up"):
        camera.open(NEED)
    camera.close()
    camera.abort()
    assert not (tmp_path / "started").exists()
