"""The file camera plays what it is given, and decodes what is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from overshootd.capture.file import HOLD_NS, FileCamera, Pace
from overshootd.config.cameras import FileCamera as FileConfig
from overshootd.contracts import CaptureNeed, Sample
from overshootd.errors import CameraEnded, CameraLost, Permanent
from overshootd.ffmpeg.lazy import LazyDecoder, VideoPacket
from tests.videos import H264, H264_B_FRAMES, MJPEG, VP8, number_of, write_video

NEED = CaptureNeed(fps=1.0, width=1280, height=720)
Opener = Callable[..., FileCamera]


@pytest.fixture
def play() -> Iterator[Opener]:
    """Open a file camera; all are closed in the end."""
    opened: list[FileCamera] = []

    def play(path: Path, loop: bool = True) -> FileCamera:
        opened.append(FileCamera(FileConfig(type="file", path=str(path), loop=loop)))
        opened[-1].open(NEED)
        return opened[-1]

    yield play
    for camera in opened:
        camera.close()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of every packet that was decoded."""
    sizes: list[int] = []
    decode = LazyDecoder._decode

    def spy(self: LazyDecoder, packet: VideoPacket | None) -> None:
        sizes.append(packet.size if packet else 0)
        decode(self, packet)

    monkeypatch.setattr(LazyDecoder, "_decode", spy)
    return sizes


def samples(camera: FileCamera, count: int) -> Iterator[Sample]:
    end = time.monotonic() + 20
    while count:
        assert time.monotonic() < end, "no frame in time"
        if (sample := camera.read(0.5)) is not None:
            count -= 1
            yield sample


def test_of_intra_only_video_just_the_asked_frames_are_decoded(
    tmp_path: Path, play: Opener, decoded: list[int]
) -> None:
    camera = play(write_video(tmp_path / "a.avi", MJPEG, frames=40, fps=100))
    shown = [number_at(sample) for n, sample in enumerate(samples(camera, 36)) if n % 10 == 5]
    assert shown == [5, 15, 25, 35]
    assert len(decoded) == 1 + 4, "the first when it is opened, then the asked ones"


@pytest.mark.parametrize("codec", [H264, VP8], ids=["h264", "vp8"])
def test_of_other_video_what_precedes_a_keyframe_is_not_decoded(
    tmp_path: Path, play: Opener, decoded: list[int], codec: tuple[str, str, dict[str, str]]
) -> None:
    """Keyframes are 10 frames apart: for frame 33, that is 30 to 33."""
    camera = play(write_video(tmp_path / "a.mkv", codec, frames=40, fps=100))
    shown = [number_at(sample) for n, sample in enumerate(samples(camera, 36)) if n in (2, 33)]
    assert shown == [2, 33]
    assert len(decoded) == 3 + 4


def test_a_picture_right_after_a_keyframe_is_never_the_one_before_it(tmp_path: Path, play: Opener) -> None:
    """A decoder that reorders holds the keyframe back; what it has released before the jump is long past."""
    camera = play(write_video(tmp_path / "a.mkv", H264_B_FRAMES, frames=80, fps=100))
    for n, sample in enumerate(samples(camera, 71)):
        if n % 20 == 10:
            assert n - 4 <= number_at(sample) <= n + 4


def test_what_waits_undecoded_is_bounded(
    tmp_path: Path, play: Opener, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overshootd.ffmpeg.lazy.PENDING_PACKETS", 4)
    camera = play(write_video(tmp_path / "a.mkv", (*H264[:2], {**H264[2], "g": "100"}), frames=40, fps=100))
    numbers = [number_at(sample) for n, sample in enumerate(samples(camera, 32)) if n == 31]
    assert numbers == [31]
    camera.close()
    before = len(decoded)
    camera = play(tmp_path / "a.mkv")
    list(samples(camera, 32))
    assert len(decoded) - before >= 30, "decoded though nobody asked, so that a late question is answered in time"


def test_a_loop_is_seamless(tmp_path: Path, play: Opener) -> None:
    camera = play(write_video(tmp_path / "a.avi", MJPEG, frames=5, fps=20))
    times, shown = [], []
    for sample in samples(camera, 13):
        times.append(sample.captured_ns)
        shown.append(number_at(sample))
    assert shown == [n % 5 for n in range(13)]
    assert all(later - earlier == 50_000_000 for earlier, later in pairwise(times))


def test_without_loop_it_ends(tmp_path: Path, play: Opener) -> None:
    camera = play(write_video(tmp_path / "a.avi", MJPEG, frames=5, fps=50), loop=False)
    assert [number_at(sample) for sample in samples(camera, 5)] == [0, 1, 2, 3, 4]
    with pytest.raises(CameraEnded, match=r"a\.avi: played to its end"):
        list(samples(camera, 1))


def test_its_own_times_count_and_a_still_is_given_again(tmp_path: Path, play: Opener) -> None:
    camera = play(write_video(tmp_path / "a.mkv", H264, at=[0.0, 0.02, 0.06, 1.56, 1.58]))
    times, shown = [], []
    for sample in samples(camera, 6):
        times.append(sample.captured_ns)
        shown.append(number_at(sample))
    assert shown == [0, 1, 2, 2, 3, 4]
    assert [round((time - times[0]) / 1e6) for time in times] == [0, 20, 60, 60 + HOLD_NS // 10**6, 1560, 1580]


def test_video_without_times_plays_at_its_nominal_rate(tmp_path: Path, play: Opener) -> None:
    camera = play(write_video(tmp_path / "a.h264", H264, frames=10, fps=50))
    times = [sample.captured_ns for sample in samples(camera, 10)]
    assert all(0 < later - earlier <= 50_000_000 for earlier, later in pairwise(times))


def test_sound_is_ignored(tmp_path: Path, play: Opener) -> None:
    camera = play(write_video(tmp_path / "a.avi", MJPEG, frames=5, fps=50, audio=True))
    assert [number_at(sample) for sample in samples(camera, 5)] == [0, 1, 2, 3, 4]


def test_a_film_from_a_phone_held_upright_is_shown_upright(tmp_path: Path) -> None:
    """Its MP4 holds lying pictures, and a matrix that says to turn them."""
    path = write_video(tmp_path / "a.mp4", H264, frames=3, size=(320, 240))
    upright = tmp_path / "upright.mp4"
    header = bytearray(path.read_bytes())
    matrix = header.index(b"tkhd") + 4 + 40
    # a clockwise quarter turn, in 16.16 fixed point: x' = -y, y' = x (ISO/IEC 14496-12, 8.3.2)
    header[matrix : matrix + 20] = np.array([0, 1 << 16, 0, -(1 << 16), 0], ">i4").tobytes()
    upright.write_bytes(header)
    plain, turned = (FileCamera(FileConfig(type="file", path=str(file))) for file in (path, upright))
    given = plain.open(NEED), turned.open(NEED)
    assert [(each.width, each.height) for each in given] == [(320, 240), (240, 320)]
    lying = np.frombuffer(next(samples(plain, 1)).picture(320, 240).data, np.uint8).reshape(360, 320)
    standing = np.frombuffer(next(samples(turned, 1)).picture(240, 320).data, np.uint8).reshape(480, 240)
    assert (standing[:320] == np.rot90(lying[:240], -1)).all()
    plain.close()
    turned.close()


def test_full_range_video_becomes_video_range(tmp_path: Path, play: Opener) -> None:
    """JPEG's white is 255, and WebRTC's 235; unconverted, highlights and shadows are lost."""
    path = tmp_path / "white.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", 10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        white = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 255, np.uint8), "rgb24")
        container.mux(stream.encode(white.reformat(format="yuvj420p")))
        container.mux(stream.encode(None))
    luma = np.frombuffer(next(samples(play(path), 1)).picture(64, 64).data, np.uint8)[: 64 * 64]
    assert 233 <= luma.mean() <= 237


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.mp4", None, r"missing\.mp4: no such file"),
        ("text.mp4", b"no video at all\n" * 99, r"text\.mp4: Invalid data"),
        ("empty.mp4", b"", r"empty\.mp4: "),
        (".", None, "not a video file, but a directory"),
    ],
)
def test_what_cannot_be_played_is_refused_with_the_reason(
    tmp_path: Path, play: Opener, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Permanent, match=message):
        play(tmp_path / name)


def test_sound_alone_is_refused(tmp_path: Path, play: Opener) -> None:
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", 8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        assert isinstance(stream, av.AudioStream)
        container.mux(stream.encode(frame))
    with pytest.raises(Permanent, match=r"a\.wav: it has no video stream"):
        play(tmp_path / "a.wav")


def test_a_file_that_vanishes_is_a_lost_camera(tmp_path: Path, play: Opener) -> None:
    path = write_video(tmp_path / "a.avi", MJPEG, frames=3, fps=50)
    camera = play(path)
    list(samples(camera, 2))
    path.unlink()
    with pytest.raises(CameraLost, match=r"a\.avi: no such file"):
        list(samples(camera, 10))


def test_a_damaged_stretch_is_passed_over_in_silence(
    tmp_path: Path, play: Opener, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_video(tmp_path / "a.avi", MJPEG, frames=9, fps=50)
    damage(path, range(3, 6))
    camera = play(path)
    shown = [number_at(sample) for sample in samples(camera, 9)]
    assert [shown[n] for n in (0, 1, 2, 6, 7, 8)] == [0, 1, 2, 6, 7, 8]
    assert capfd.readouterr().err == "", "FFmpeg writes to nobody's terminal"


def test_damage_without_end_is_a_lost_camera(tmp_path: Path, play: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overshootd.ffmpeg.lazy.CORRUPT_PACKETS", 5)
    path = write_video(tmp_path / "a.avi", MJPEG, frames=20, fps=100)
    damage(path, range(2, 20))
    camera = play(path)
    with pytest.raises(CameraLost, match=r"a\.avi: 5 packets in a row cannot be decoded"):
        list(map(number_at, samples(camera, 20)))


@pytest.mark.parametrize(
    ("media", "due_ms"),
    [
        ([5.0, 5.04, 5.5], [0, 40, 500]),
        ([None, None, None], [0, 100, 200]),
        ([1.0, None, 1.5], [0, 100, 200]),
        ([1.0, 1.0, 0.5], [0, 100, 200]),
        ([1.0, 95_444.0, 95_444.04], [0, 100, 140]),
    ],
    ids=["as they say", "none", "some", "repeated and backwards", "a leap"],
)
def test_a_videos_own_times_are_kept_where_they_make_sense(media: list[float | None], due_ms: list[int]) -> None:
    pace = Pace(100_000_000)
    assert [round((pace.due(time, 10**12) - 10**12) / 1e6) for time in media] == due_ms


def test_after_a_pause_of_the_machine_the_video_goes_on_from_there() -> None:
    pace = Pace(100_000_000)
    assert pace.due(0.0, 10**12) == 10**12
    assert pace.due(0.1, 5 * 10**12) == 5 * 10**12
    assert pace.due(0.2, 5 * 10**12) == 5 * 10**12 + 100_000_000


def number_at(sample: Sample) -> int:
    return number_of(sample.picture(320, 240))


def damage(path: Path, numbers: range) -> None:
    """Overwrite these frames of an MJPEG file, as a failing disk would."""
    data = bytearray(path.read_bytes())
    starts = [index for index in range(len(data)) if data[index : index + 4] == b"00dc" and data[index + 8] == 0xFF]
    for number in numbers:
        size = int.from_bytes(data[starts[number] + 4 : starts[number] + 8], "little")
        data[starts[number] + 8 : starts[number] + 8 + size] = bytes(size)
    path.write_bytes(data)
