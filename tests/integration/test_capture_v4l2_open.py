"""What a V4L2 camera does when it is opened: chooses, sets, turns, and says what is in the way."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overshootd.capture.v4l2.device import Device
from overshootd.config.cameras import Rectangle
from overshootd.contracts import CaptureFormat, CaptureNeed
from overshootd.errors import CameraLost, FrameSpoiled, Permanent
from overshootd.marker import read_marker
from tests.camera_contract import NEED, pictured, sample_of
from tests.integration.fake_v4l2_camera import Caps, FakeCamera, Knob, Mode, Type
from tests.integration.v4l2_bed import Bed, bed_at

JPEG, YUYV, H264 = (Mode(fourcc, ((320, 240), (640, 480)), (5.0, 15.0, 30.0)) for fourcc in ("MJPG", "YUYV", "H264"))
NAME = r"Fake Camera \(/dev/video0\)"
SMALL = CaptureNeed(fps=2.0, width=320, height=240)


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    with bed_at(tmp_path / "root", monkeypatch) as bed:
        yield bed


def opened(bed: Bed, fake: FakeCamera, need: CaptureNeed = SMALL, **wanted: Any) -> CaptureFormat:
    bed.kernel.plug(fake)
    return bed.camera(**wanted).open(need)


def encoder() -> FakeCamera:
    knobs = (
        Knob("Video GOP Size", minimum=1, maximum=200, default=100),
        Knob("Video Bitrate", minimum=25_000, maximum=10_000_000, default=10_000_000),
        Knob("Repeat Sequence Header", Type.BOOLEAN, maximum=1, default=0),
        Knob("Force Key Frame", Type.BUTTON, maximum=0, default=0),
    )
    return FakeCamera((H264, JPEG), knobs)


@pytest.mark.parametrize(
    ("modes", "fps", "fourcc", "rate"),
    [((JPEG, YUYV), 1.0, "MJPG", 5.0), ((JPEG, YUYV), 12.0, "YUYV", 15.0), ((H264, JPEG), 12.0, "H264", 15.0)],
)
def test_the_driver_is_set_to_what_costs_least(
    bed: Bed, modes: tuple[Mode, ...], fps: float, fourcc: str, rate: float
) -> None:
    fake = FakeCamera(modes)
    given = opened(bed, fake, CaptureNeed(fps, 320, 240))
    assert (fake.now[0].fourcc, fake.now[1:], fake.fps) == (fourcc, (320, 240), rate)
    assert (given.width, given.height, given.fps, given.encoded) == (320, 240, rate, fourcc == "H264")
    spoken = {"MJPG": "MJPEG", "H264": "H.264"}.get(fourcc, fourcc)
    assert given.what.startswith(f"{spoken} from Fake Camera (/dev/video0), ")


def test_a_driver_of_any_size_and_rate_gives_exactly_what_is_needed(bed: Bed) -> None:
    fake = FakeCamera((Mode("NV12", ((16, 1920, 2), (16, 1080, 2)), (1.0, 60.0), any_rate=True),))
    given = opened(bed, fake, CaptureNeed(7.5, 356, 200))
    assert (given.width, given.height, given.fps) == (356, 200, 7.5)


def test_what_the_driver_really_set_is_what_counts(bed: Bed) -> None:
    fake = FakeCamera((Mode("MJPG", ((320, 240),), ()),), errors={"S_PARM": errno.ENOTTY})
    assert opened(bed, fake).fps == 30.0


def test_masks_of_the_camera_make_h264_a_detour(bed: Bed) -> None:
    fake = FakeCamera((H264, YUYV))
    given = opened(bed, fake, CaptureNeed(5.0, 320, 240), masks=(Rectangle(x=0, y=0, width=0.5, height=0.5),))
    assert (fake.now[0].fourcc, given.encoded) == ("YUYV", False)


@pytest.mark.parametrize("busy", ["S_FMT", "REQBUFS", "STREAMON"])
def test_a_camera_in_use_says_by_whom(bed: Bed, busy: str) -> None:
    bed.kernel.plug(FakeCamera(errors={busy: errno.EBUSY}))
    with reader_of(bed.kernel.root / "dev/video0") as pid, pytest.raises(CameraLost) as lost:
        bed.camera().open(NEED)
    assert re.fullmatch(rf"{NAME} is in use by python\S* \(pid {pid}\)", str(lost.value))


def test_a_camera_in_use_by_who_cannot_be_seen_says_how_to_find_out(bed: Bed) -> None:
    bed.kernel.plug(FakeCamera(errors={"S_FMT": errno.EBUSY}))
    with pytest.raises(
        CameraLost, match=f"{NAME} is in use by another process .as root, `fuser -v .*/dev/video0` says which."
    ):
        bed.camera().open(NEED)


@contextmanager
def reader_of(node: Path) -> Iterator[int]:
    code = "import sys; node = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code, str(node)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield process.pid
    finally:
        process.communicate(timeout=10)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ({"STREAMON": errno.ENOSPC}, f"{NAME}: its USB bus has no bandwidth left; choose a smaller size, "),
        ({"STREAMON": errno.EPIPE}, f"{NAME} is not connected to its sensor; that is libcamera"),
        ({"STREAMON": errno.EIO}, f"{NAME} does not start: Input/output error"),
        ({"S_FMT": errno.EIO}, f"{NAME} does not take MJPG 320x240: Input/output error"),
        ({"ENUM_FMT": errno.ENODEV}, f"{NAME} was unplugged"),
        ({"ENUM_FMT": errno.EINVAL}, f"{NAME} offers no format at all"),
    ],
)
def test_a_driver_that_fails_is_lost_with_the_reason(bed: Bed, error: dict[str, int], message: str) -> None:
    with pytest.raises(CameraLost, match=message):
        opened(bed, FakeCamera((JPEG,), errors=error))


def test_a_camera_that_is_not_ours_to_open_says_what_to_do(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    bed.kernel.plug(FakeCamera((JPEG,)))
    monkeypatch.setattr("os.open", refused)
    with pytest.raises(
        CameraLost, match=f"{NAME} is not ours to open; add the daemon's user to the group of .*/dev/video0"
    ):
        bed.camera().open(NEED)


@pytest.mark.parametrize(
    ("caps", "message"),
    [
        (
            Caps.VIDEO_CAPTURE_MPLANE | Caps.STREAMING,
            "speaks only the multiplanar part of V4L2, which is not read here",
        ),
        (Caps.META_CAPTURE | Caps.STREAMING, "gives metadata, no pictures"),
        (Caps.VIDEO_M2M_MPLANE | Caps.STREAMING, "encodes, decodes or scales, but sees nothing"),
        (Caps.VIDEO_OUTPUT | Caps.STREAMING, "gives no pictures"),
        (Caps.VIDEO_CAPTURE | Caps.READWRITE, "cannot stream into memory"),
    ],
)
def test_a_node_that_is_no_camera_says_what_it_is(bed: Bed, caps: int, message: str) -> None:
    with pytest.raises(Permanent, match=f"{NAME} {message}"):
        opened(bed, FakeCamera((JPEG,), caps=caps))


def test_a_format_that_the_camera_has_not_is_refused_with_its_name(bed: Bed) -> None:
    with pytest.raises(Permanent, match=f"{NAME}: it offers no h264, but MJPG and YUYV"):
        opened(bed, FakeCamera((JPEG, YUYV)), format="h264")


def test_controls_are_set_in_order_after_the_format(bed: Bed) -> None:
    exposure = Knob("Auto Exposure", Type.MENU, maximum=3, default=3, entries={1: "Manual Mode", 3: "Auto"})
    fake = FakeCamera((JPEG,), (Knob("Exposure Time, Absolute", maximum=5000), exposure, Knob("Gain")))
    wanted = {"gain": 7, "auto_exposure": "manual mode", "exposure_time_absolute": 312}
    opened(bed, fake, controls=wanted)
    assert fake.settings == [("Gain", 7), ("Auto Exposure", 1), ("Exposure Time, Absolute", 312)]


def test_numbers_in_menus_and_wide_and_negative_values_are_understood(bed: Bed) -> None:
    knobs = (
        Knob("Link Frequency", Type.INTEGER_MENU, maximum=1, default=0, entries={0: 450_000_000, 1: 900_000_000}),
        Knob("Pixel Rate", Type.INTEGER64, maximum=10**12, default=0),
        Knob("Hue", minimum=-180, maximum=180, default=0),
    )
    fake = FakeCamera((JPEG,), knobs)
    opened(bed, fake, controls={"link_frequency": "900000000", "pixel_rate": 5 * 10**9, "hue": -90})
    assert [knob.value for knob in fake.knobs] == [1, 5 * 10**9, -90]
    device = Device(str(bed.kernel.root / "dev/video0"), "yard")
    device.open()
    try:
        assert [device.value(control) for control in device.controls()] == [1, 5 * 10**9, -90]
    finally:
        device.close()


@pytest.mark.parametrize(
    ("refuses", "message"),
    [
        (errno.EACCES, "the control gain cannot be set while another, such as an automatic, decides about it"),
        (errno.ERANGE, "refuses 7 for the control gain, which takes 0 to 255"),
    ],
)
def test_a_control_that_the_driver_refuses_is_a_mistake(bed: Bed, refuses: int, message: str) -> None:
    fake = FakeCamera((JPEG,), (Knob("Gain", refuses=refuses),))
    with pytest.raises(Permanent, match=message):
        opened(bed, fake, controls={"gain": 7})


def turning(mode: Mode) -> FakeCamera:
    names = ("Horizontal Flip", "Vertical Flip")
    return FakeCamera((mode,), tuple(Knob(name, Type.BOOLEAN, maximum=1, default=0) for name in names))


@pytest.mark.parametrize(("rotate", "hflip"), [(180, False), (0, True), (180, True)])
@pytest.mark.parametrize("mode", [JPEG, YUYV, H264], ids=lambda mode: mode.fourcc)
def test_a_camera_that_cannot_turn_its_picture_has_it_turned(bed: Bed, mode: Mode, rotate: int, hflip: bool) -> None:
    given = opened(bed, FakeCamera((mode,)), rotate=rotate, hflip=hflip)
    _, picture = pictured(bed.made[0], 320, 240)
    turned = np.frombuffer(picture.data, np.uint8)[: 320 * 240].reshape(240, 320)
    upright = turned[:: -1 if rotate else 1, :: -1 if (rotate == 180) != hflip else 1]
    assert read_marker(upright) is not None
    assert not given.encoded
    assert sample_of(bed.made[0]).access_unit is None
    assert ("decoded, for the camera does not turn it itself" in given.what) == (mode is H264)


def test_a_camera_that_can_turn_its_picture_does_so_and_may_stay_encoded(bed: Bed) -> None:
    fake = turning(H264)
    assert opened(bed, fake, rotate=180).encoded
    assert fake.settings == [("Vertical Flip", 1), ("Horizontal Flip", 1)]


def test_a_flip_left_over_from_before_is_taken_back(bed: Bed) -> None:
    fake = turning(JPEG)
    fake.knob("Vertical Flip").value = 1
    opened(bed, fake)
    assert fake.settings == [("Vertical Flip", 0)]


def test_keyframes_come_as_often_as_they_are_published(bed: Bed) -> None:
    fake = encoder()
    given = opened(bed, fake, CaptureNeed(1.0, 640, 480))
    assert (given.encoded, given.fps, given.keyframe_seconds) == (True, 5.0, 1.0)
    assert dict(fake.settings) == {"Video GOP Size": 5, "Video Bitrate": 153_600, "Repeat Sequence Header": 1}


def test_a_distance_that_the_configuration_sets_is_reported(bed: Bed) -> None:
    given = opened(bed, encoder(), CaptureNeed(1.0, 640, 480), controls={"video_gop_size": 20})
    assert given.keyframe_seconds == 4.0


def test_an_encoder_without_controls_says_nothing_of_keyframes(bed: Bed) -> None:
    assert opened(bed, FakeCamera((H264,)), CaptureNeed(5.0, 320, 240)).keyframe_seconds is None


def test_what_receivers_wish_reaches_the_encoder(bed: Bed) -> None:
    fake = encoder()
    opened(bed, fake, CaptureNeed(15.0, 320, 240))
    camera = bed.made[0]
    while (unit := sample_of(camera).access_unit) is None or not unit.keyframe:
        pass
    camera.feedback(True, 300, None)
    keyframes = [unit.keyframe for _ in range(8) if (unit := sample_of(camera).access_unit)]
    assert any(keyframes), "the next would have come after 30 frames"
    assert fake.settings[-2:] == [("Force Key Frame", 0), ("Video Bitrate", 300_000)]


def test_a_bitrate_of_the_configuration_stands(bed: Bed) -> None:
    fake = encoder()
    opened(bed, fake, CaptureNeed(15.0, 320, 240), controls={"video_bitrate": 1_000_000})
    bed.made[0].feedback(False, 300, None)
    sample_of(bed.made[0])
    assert fake.knob("Video Bitrate").value == 1_000_000


def test_an_encoder_that_takes_no_wishes_is_told_once_and_goes_on(bed: Bed) -> None:
    fake = encoder()
    opened(bed, fake, CaptureNeed(15.0, 320, 240))
    fake.knob("Force Key Frame").refuses = errno.EINVAL
    for _ in range(3):
        bed.made[0].feedback(True, None, None)
        sample_of(bed.made[0])
    assert len([line for line in bed.log.lines if "takes no wishes any more" in line]) == 1


def test_a_picture_that_waits_for_a_keyframe_asks_for_one(bed: Bed) -> None:
    fake = encoder()
    fake.beheaded = True
    opened(bed, fake, CaptureNeed(15.0, 320, 240))
    with pytest.raises(FrameSpoiled, match="no keyframe yet"):
        sample_of(bed.made[0]).picture(320, 240)
    sample_of(bed.made[0])
    assert ("Force Key Frame", 0) in fake.settings


def test_which_of_several_was_taken_is_said_once_it_works(bed: Bed) -> None:
    bed.kernel.plug(FakeCamera((JPEG,)), 0, usb="1-1", serial="", by_path="pci-1-video-index0")
    bed.kernel.plug(FakeCamera((JPEG,)), 1, usb="1-2", serial="", by_path="pci-2-video-index0")
    bed.camera("Fake Camera").open(NEED)
    assert bed.log.lines == [
        "Fake Camera may be any of 2 cameras, and the first is taken; these names are for sure: pci-1-video-index0, "
        "pci-2-video-index0"
    ]
