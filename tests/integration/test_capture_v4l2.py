"""V4L2 cameras keep the cameras' contract in each format, and spend nothing on frames that nobody wants."""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from overshootd.capture.v4l2.camera import V4l2Camera
from overshootd.capture.v4l2.device import BUFFERS, Device, Filled, Given
from overshootd.capture.v4l2.frames import Frame
from overshootd.capture.v4l2.samples import Units
from overshootd.contracts import CaptureNeed
from overshootd.errors import CameraLost, FrameSpoiled
from overshootd.ffmpeg.draw import Drawer
from overshootd.ffmpeg.live import JpegDecoder, RawPictures, UnitDecoder
from overshootd.h264 import IDR, PPS, SPS, kinds
from tests.camera_contract import NEED, CameraContract, EncodedCameraContract, Make, pictured, sample_of
from tests.integration.fake_v4l2_camera import FakeCamera, Mode
from tests.integration.v4l2_bed import Bed, bed_at, until
from tests.integration.v4l2_sources import H264Source
from tests.videos import number_of

SIZE = ((320, 240),)
JPEG, YUYV, NV12, H264 = (Mode(fourcc, SIZE) for fourcc in ("MJPG", "YUYV", "NV12", "H264"))


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    with bed_at(tmp_path / "root", monkeypatch) as bed:
        yield bed


def plugged(bed: Bed, *modes: Mode, **wrong: Any) -> FakeCamera:
    camera = FakeCamera(modes, **wrong)
    bed.kernel.plug(camera)
    return camera


def wait_for_frames(fake: FakeCamera, count: int) -> None:
    sent = fake.sent
    until(lambda: fake.sent >= sent + count)


class FakedContract(CameraContract):
    mode: Mode

    @pytest.fixture
    def make(self, bed: Bed) -> Make:
        plugged(bed, self.mode)
        return bed.camera


class TestMjpeg(FakedContract):
    mode = JPEG


class TestYuyv(FakedContract):
    mode = YUYV


class TestYuyvWithPaddedRows(FakedContract):
    mode = Mode("YUYV", SIZE, padding=64)


class TestNv12(FakedContract):
    mode = NV12


class TestNv12WithPaddedRows(FakedContract):
    mode = Mode("NV12", SIZE, padding=32)


class TestH264(FakedContract, EncodedCameraContract):
    mode = H264


def opened(bed: Bed, need: CaptureNeed = NEED, **wanted: Any) -> V4l2Camera:
    camera = bed.camera(**wanted)
    camera.open(need)
    return camera


@pytest.mark.parametrize("mode", [JPEG, YUYV], ids=lambda mode: mode.fourcc)
def test_a_frame_that_nobody_wants_is_neither_copied_nor_decoded(
    bed: Bed, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Counter[str]()
    for owner, name in ((Device, "copy"), (JpegDecoder, "picture"), (RawPictures, "picture")):
        count(owner, name, calls, monkeypatch)
    plugged(bed, mode)
    camera = opened(bed)
    for _ in range(10):
        sample = sample_of(camera)
    assert not calls
    for width in (320, 160):
        sample.picture(width, 240)
    assert calls == {"copy": 1, "picture": 2}


def count(owner: type, name: str, calls: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = getattr(owner, name)

    def counted(*arguments: Any) -> Any:
        calls[name] += 1
        return real(*arguments)

    monkeypatch.setattr(owner, name, counted)


@pytest.mark.parametrize("mode", [JPEG, NV12], ids=lambda mode: mode.fourcc)
def test_who_comes_late_gets_the_newest_frame_and_none_twice(bed: Bed, mode: Mode) -> None:
    fake = plugged(bed, mode)
    camera = opened(bed)
    sample_of(camera)
    wait_for_frames(fake, 3)
    with fake.lock:
        fake.silent = True
    late = number_of(sample_of(camera).picture(320, 240))
    assert late >= fake.sent - 1
    assert camera.read(0.1) is None


def test_who_is_late_again_and_again_takes_no_buffer_from_the_driver(bed: Bed) -> None:
    fake = plugged(bed, JPEG)
    camera = opened(bed)
    for _ in range(5):
        wait_for_frames(fake, 2)
        sample_of(camera)
    with fake.lock:
        assert len(fake.queued) + len(fake.done) == BUFFERS - 1


def test_no_access_unit_is_left_out_however_late(bed: Bed) -> None:
    fake = plugged(bed, H264)
    camera = opened(bed)
    until(lambda: fake.sent == 4)
    units = [sample_of(camera).access_unit for _ in range(8)]
    assert [unit.keyframe for unit in units if unit] == [True, *7 * [False]]
    assert number_of(sample_of(camera).picture(320, 240)) >= 8


def test_a_camera_that_falls_silent_is_waited_for_no_longer_than_told(bed: Bed) -> None:
    fake = plugged(bed, JPEG)
    camera = opened(bed)
    sample_of(camera)
    fake.silent = True
    assert [camera.read(0.05) for _ in range(4)][-1] is None
    fake.silent = False
    sample_of(camera)


def test_damaged_buffers_are_passed_over(bed: Bed) -> None:
    fake = plugged(bed, JPEG, damaged=True)
    camera = opened(bed)
    until(lambda: fake.sent > 2)
    assert camera.read(0.2) is None
    fake.damaged = False
    sample_of(camera).picture(320, 240)


def test_a_truncated_jpeg_spoils_one_frame(bed: Bed) -> None:
    fake = plugged(bed, JPEG, truncated=True)
    camera = opened(bed)
    with pytest.raises(FrameSpoiled, match=r"Fake Camera \(/dev/video0\): a truncated JPEG picture"):
        sample_of(camera).picture(320, 240)
    fake.truncated = False
    pictured(camera, 320, 240)


@pytest.mark.parametrize(
    "wrong", [{"stuck": True}, {"clock": lambda: 10**18}, {"clock": lambda: 0}, {"flags": 0}],
    ids=["stuck", "to come", "of old", "of another clock"],
)  # fmt: skip
def test_times_rise_and_are_not_in_the_future_whatever_the_driver_says(bed: Bed, wrong: dict[str, Any]) -> None:
    plugged(bed, JPEG, **wrong)
    camera = opened(bed)
    times = []
    for _ in range(6):
        times.append(sample_of(camera).captured_ns)
        assert times[-1] <= time.monotonic_ns()
    assert all(earlier < later for earlier, later in pairwise(times))


def test_a_frames_time_is_the_drivers(bed: Bed) -> None:
    stamps: list[int] = []

    def clock() -> int:
        stamps.append(time.monotonic_ns() // 1000 * 1000)
        return stamps[-1]

    plugged(bed, JPEG, clock=clock)
    assert sample_of(opened(bed)).captured_ns in stamps


def test_a_time_of_no_known_clock_is_not_taken_for_ours(bed: Bed) -> None:
    plugged(bed, JPEG, flags=0, clock=lambda: time.monotonic_ns() - 5_000_000_000)
    opening = time.monotonic_ns()
    assert sample_of(opened(bed)).captured_ns >= opening


def test_a_camera_that_is_unplugged_is_lost_at_once(bed: Bed) -> None:
    fake = plugged(bed, JPEG)
    camera = opened(bed)
    sample_of(camera)
    bed.kernel.pull(fake)
    with pytest.raises(CameraLost, match=r"Fake Camera \(/dev/video0\) was unplugged$"):
        sample_of(camera)


@pytest.mark.parametrize("says", [errno.ENODEV, errno.EINVAL])
def test_a_camera_that_is_unplugged_while_a_frame_is_waited_for_is_lost_whatever_it_says(bed: Bed, says: int) -> None:
    fake = plugged(bed, JPEG)
    camera = opened(bed)
    fake.errors["DQBUF"] = says
    with pytest.raises(CameraLost, match=r"Fake Camera \(/dev/video0\) was unplugged"):
        sample_of(camera)


def test_a_driver_that_fails_is_a_lost_camera(bed: Bed) -> None:
    fake = plugged(bed, JPEG)
    camera = opened(bed)
    fake.errors["DQBUF"] = errno.EIO
    with pytest.raises(CameraLost, match=r"Fake Camera \(/dev/video0\) gives no more frames: Input/output error"):
        sample_of(camera)


def test_a_camera_plugged_in_again_is_found_by_its_name_under_another_number(bed: Bed) -> None:
    name = "usb-Fake_0001-video-index0"
    first, second = FakeCamera((JPEG,)), FakeCamera((JPEG,))
    bed.kernel.plug(first, by_id=name)
    camera = opened(bed, device=name)
    bed.kernel.pull(first)
    with pytest.raises(CameraLost):
        opened(bed, device=name)
    camera.close()
    bed.kernel.plug(second, 3, by_id=name)
    sample_of(opened(bed, device=name))
    assert second.sent and second.streaming


def test_parameter_sets_in_a_buffer_of_their_own_are_put_before_the_keyframe() -> None:
    whole = H264Source(320, 240, 10)(0, False)
    headers = whole[: whole.index(b"\0\0\1\x65") - 1]
    recorded = Recorded([headers, whole[len(headers) :]])
    units = Units(Given("H264", 320, 240, 0), UnitDecoder("yard", Drawer()), encoded=True, want_keyframe=lambda: None)
    assert units.sample(recorded.frame()) is None
    sample = units.sample(recorded.frame())
    assert sample is not None and sample.access_unit is not None
    assert (kinds(sample.access_unit.data), sample.access_unit.keyframe) == ([SPS, PPS, IDR], True)
    assert number_of(sample.picture(320, 240)) == 0


class Recorded(Device):
    """Buffers that were filled before."""

    def __init__(self, buffers: list[bytes]) -> None:
        super().__init__("", "recorded")
        self._buffers = buffers

    def frame(self) -> Frame:
        return Frame(self, Filled(0, 0, None, False), time.monotonic_ns())

    def copy(self, filled: Filled) -> bytes:
        return self._buffers.pop(0)
