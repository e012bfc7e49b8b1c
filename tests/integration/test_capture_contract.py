"""The test picture and video files keep the cameras' contract."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from overshootd.capture.choose import camera_for
from overshootd.config.cameras import FileCamera, TestCamera
from tests.camera_contract import CameraContract, Make
from tests.videos import H264, H264_B_FRAMES, MJPEG, VP8, write_video

FILES = {"mjpeg.avi": MJPEG, "h264.mp4": H264, "b-frames.mkv": H264_B_FRAMES, "vp8.webm": VP8}
LOG = structlog.get_logger()


class TestTestPicture(CameraContract):
    @pytest.fixture
    def make(self) -> Make:
        return camera_for(TestCamera(type="test", width=640, height=360, fps=20.0), LOG)


class TestVideoFile(CameraContract):
    behind = 4  # reordered frames may be shown late, by as many as the encoder held back

    @pytest.fixture(params=FILES)
    def make(self, request: pytest.FixtureRequest, tmp_path: Path) -> Make:
        path = write_video(tmp_path / request.param, FILES[request.param], frames=60)
        return camera_for(FileCamera(type="file", path=str(path)), LOG)


def test_a_daemon_without_video_files_never_loads_ffmpeg() -> None:
    code = (
        "import sys, structlog; from overshootd.capture.choose import camera_for; "
        "from overshootd.config.cameras import TestCamera; "
        "camera_for(TestCamera(type='test'), structlog.get_logger())(); sys.exit('av' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
