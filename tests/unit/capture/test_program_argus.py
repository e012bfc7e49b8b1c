"""Which pipeline a Jetson gets, and what is advised when it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from overshootd.capture.program.argus import Board, Pipeline, advised, board, pipeline
from overshootd.capture.program.rates import bitrate, keyframe_frames, sensor_fps
from overshootd.config.cameras import ArgusCamera
from overshootd.contracts import CaptureNeed
from overshootd.errors import CameraLost, OvershootdError, Permanent

NVMM = "video/x-raw(memory:NVMM),width=1280,height=720,framerate=10/1,format=NV12"
H264 = "video/x-h264,stream-format=byte-stream,alignment=au"


def planned(encoder: bool, **options: Any) -> tuple[Pipeline, list[str]]:
    """What is started for a need of 1 fps, and its elements."""
    config = ArgusCamera.model_validate({"type": "argus", **options})
    plan = pipeline(config, CaptureNeed(1.0, 1280, 720), encoder)
    assert plan.argv[:2] == ("gst-launch-1.0", "-q")
    return plan, " ".join(plan.argv[2:]).split(" ! ")


def test_with_an_encoder_its_h264_comes_out() -> None:
    plan, elements = planned(True, sensor_id=1)
    source, caps, encoder, parser, form, sink = elements
    assert (source, caps) == ("nvarguscamerasrc sensor-id=1", NVMM)
    assert encoder.split()[0] == "nvv4l2h264enc"
    assert {"insert-sps-pps=true", "idrinterval=10", "iframeinterval=10"} <= set(encoder.split())
    assert (parser, form, sink) == ("h264parse", H264, "fdsink fd={fd}")
    assert (plan.fps, plan.keyframe_seconds) == (10.0, 1.0)


def test_without_one_bare_pixels_come_out() -> None:
    plan, elements = planned(False)
    convert, form = "nvvidconv flip-method=0", "video/x-raw,format=NV12,width=1280,height=720"
    assert elements == ["nvarguscamerasrc sensor-id=0", NVMM, convert, form, "fdsink fd={fd}"]
    assert plan.keyframe_seconds is None


@pytest.mark.parametrize("encoder", [True, False])
@pytest.mark.parametrize(
    ("options", "method"), [({"rotate": 180}, 2), ({"hflip": True}, 4), ({"rotate": 180, "hflip": True}, 6)]
)
def test_turning_is_the_pipelines(encoder: bool, options: dict[str, Any], method: int) -> None:
    assert f"nvvidconv flip-method={method}" in planned(encoder, **options)[1]


def test_bare_rows_are_without_padding() -> None:
    plan, elements = planned(False, width=1282, height=722)
    assert (plan.width, plan.height) == (1280, 722)
    assert elements[-2] == "video/x-raw,format=NV12,width=1280,height=722"
    assert planned(True, width=1282, height=722)[0].width == 1282


@pytest.mark.parametrize(("fps", "written"), [(29.97, "2997/100"), (0.5, "1/2"), (15.0, "15/1")])
def test_a_configured_rate_is_the_sensors(fps: float, written: str) -> None:
    plan, elements = planned(True, fps=fps)
    assert f"framerate={written}," in elements[1]
    assert plan.fps == fps


def test_a_sensor_runs_no_slower_than_its_exposure_can_follow() -> None:
    assert [sensor_fps(None, need) for need in (0.5, 12.0)] == [10.0, 12.0]
    assert sensor_fps(2.0, 0.5) == 2.0


@pytest.mark.parametrize(
    ("fps", "published", "frames"),
    [(10.0, 1.0, 10), (10.0, 0.5, 20), (10.0, 3.0, 3), (10.0, 5.0, 20), (1.0, 1.0, 2), (0.2, 0.2, 1)],
)
def test_a_keyframe_comes_for_each_publish_interval_where_only_keyframes_are_published(
    fps: float, published: float, frames: int
) -> None:
    assert keyframe_frames(fps, published) == frames


def test_bits_grow_more_slowly_than_the_rate_and_with_the_pixels() -> None:
    assert bitrate(1280, 720, 0.5) == bitrate(640, 360, 1.0) == 150_000
    assert bitrate(1280, 720, 10.0) == 671_863
    assert bitrate(1920, 1080, 10.0) == pytest.approx(2.25 * 671_863, abs=1)


@pytest.mark.parametrize(
    ("model", "nodes", "expected"),
    [
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", ["dev/v4l2-nvenc"], True),
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", ["dev/v4l2-nvenc"], False),
        ("NVIDIA Jetson Xavier NX Developer Kit", ["dev/nvhost-msenc"], True),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", [], False),
    ],
    ids=["Orin NX", "Orin Nano", "Xavier NX", "no node"],
)
def test_which_boards_have_an_encoder(model: str, nodes: list[str], expected: bool, tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "dev").mkdir()
    (tmp_path / "proc/device-tree/model").write_text(model + "\0")
    for node in nodes:
        (tmp_path / node).touch()
    assert board(tmp_path) == Board(model, expected)


def test_what_is_no_jetson_has_no_encoder(tmp_path: Path) -> None:
    assert board(tmp_path) == Board("", False)


DEAD = "Argus is dead or hangs, as after the crash of a program that used it: sudo systemctl restart nvargus-daemon"
SESSION = "Error generated. /dvs/git/gstnvarguscamerasrc.cpp, execute:656 Failed to create CaptureSession"


@pytest.mark.parametrize(
    ("line", "kind", "remedy"),
    [
        (SESSION, CameraLost, DEAD),
        ("(Argus) Error Timeout:  (propagating from src/rpc/socket/client/ClientSocketManager.cpp)", CameraLost, DEAD),
        ("Connecting to nvargus-daemon failed: Connection refused", CameraLost, DEAD),
        ("Connecting to nvargus-daemon failed: No such file or directory", CameraLost, "must not have PrivateTmp=yes"),
        ("gstnvarguscamerasrc.cpp, execute:557 No cameras available", CameraLost, "jetson-io.py?"),
        ('WARNING: erroneous pipeline: no element "nvv4l2h264enc"', Permanent, "sudo apt install nvidia-l4t-gstreamer"),
        ('erroneous pipeline: no element "h264parse"', Permanent, "sudo apt install gstreamer1.0-plugins-bad"),
    ],
)
def test_a_known_failure_names_its_remedy(line: str, kind: type[OvershootdError], remedy: str) -> None:
    error = CameraLost("gst-launch-1.0 ended with exit code 1: the last line")
    told = advised(error, ["Setting up", line, "the last line"])
    assert type(told) is kind
    assert str(told).startswith(f"gst-launch-1.0 ended with exit code 1: {line}; ")
    assert str(told).endswith(remedy)


def test_another_failure_stays_what_it_is() -> None:
    error = CameraLost("gst-launch-1.0 ended with exit code 1: out of memory")
    assert advised(error, ["out of memory"]) is error
