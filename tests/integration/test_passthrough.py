"""A camera's own H.264 through the whole daemon: the way it takes, why, and that what arrives is what was filmed."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.integration.daemon_bed import Daemon, Json, config, daemon, eventually, simulator
from tests.integration.room_servers import ROOM_SERVERS
from tests.videos import Codec, write_video

SECONDS = 90
EMBEDDED = ["--media", "embedded"]


def camera(folder: Path, fps: int, keyframe_distance: int) -> Json:
    """A program that plays a recording at its own pace, whose frame n bears the number n."""
    codec: Codec = (
        "libx264",
        "yuv420p",
        {"g": str(keyframe_distance), "sc_threshold": "0", "bf": "0", "preset": "ultrafast"},
    )
    video = write_video(folder / "recording.mkv", codec, frames=SECONDS * fps, fps=fps, size=(640, 360))
    playing = ["ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-i", str(video)]
    argv = [*playing, "-c", "copy", "-f", "h264", "-flush_packets", "1", "-"]
    return {"type": "command", "argv": argv, "format": "h264", "fps": fps}


async def frame_numbers(running: Daemon, results: int) -> list[int]:
    records = await running.more_results(results)
    return [int(re.findall(r"frame (\d+)", record["text"])[0]) for record in records]


@pytest.mark.parametrize("media", ROOM_SERVERS)
async def test_a_camera_that_gives_few_frames_is_passed_on_untouched(
    media: list[str], media_net: str, tmp_path: Path
) -> None:
    one = {"camera": camera(tmp_path, fps=6, keyframe_distance=12), "processing": {"interval_seconds": 0.5}}
    async with (
        simulator(tmp_path, *media, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one=one)) as running,
    ):
        numbers = await frame_numbers(running, 8)
        assert numbers == sorted(set(numbers)), "each result saw a newer frame"
        assert "passed on untouched: 6 fps are at most twice the 4 fps to publish" in running.said()
        assert running.said().count("passed on untouched") == 1
        assert await running.end() == 0


async def test_of_a_camera_with_frequent_keyframes_those_alone_are_passed_on(media_net: str, tmp_path: Path) -> None:
    one = {"camera": camera(tmp_path, fps=20, keyframe_distance=10), "processing": {"interval_seconds": 1.0}}
    async with (
        simulator(tmp_path, *EMBEDDED, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one=one)) as running,
    ):
        numbers = await frame_numbers(running, 5)
        assert {number % 10 for number in numbers} == {0}
        assert numbers == sorted(set(numbers))
        assert "only keyframes of the camera's H.264 are passed on" in running.said()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "20 fps are more than twice the 2 fps to publish"),
        ({"masks": [{"x": 0.0, "y": 0.9, "width": 1.0, "height": 0.1}]}, "masks or a crop act on its pictures"),
        ({"publish": {"codec": "vp8"}}, "publish.codec is vp8"),
    ],
    ids=["many frames", "masks", "codec"],
)
async def test_what_cannot_be_passed_on_is_decoded_and_encoded_anew(
    changes: Json, why: str, media_net: str, tmp_path: Path
) -> None:
    one = {"camera": camera(tmp_path, fps=20, keyframe_distance=100), "processing": {"interval_seconds": 1.0}}
    async with (
        simulator(tmp_path, *EMBEDDED, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one=one | changes)) as running,
    ):
        numbers = await frame_numbers(running, 4)
        assert all(later > earlier for earlier, later in pairwise(numbers))
        assert f"decoded and encoded anew: {why}" in running.said()


async def test_a_camera_that_comes_back_is_passed_on_again(media_net: str, tmp_path: Path) -> None:
    """The program ends with its recording, and is started anew."""
    filmed = camera(tmp_path, fps=6, keyframe_distance=12)
    filmed["argv"][-1:-1] = ["-frames:v", "40"]
    one = {"camera": filmed, "processing": {"interval_seconds": 0.5}}
    async with (
        simulator(tmp_path, *EMBEDDED, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one=one)) as running,
    ):
        await eventually(lambda: running.said().count("camera live") >= 2, "the camera's return")
        assert await frame_numbers(running, 2)
