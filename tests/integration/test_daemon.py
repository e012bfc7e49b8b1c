"""The main job, end to end: a configuration file, a real room, results in a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.daemon_bed import KEY, MODEL, config, daemon, eventually, simulator, stream
from tests.integration.room_servers import ROOM_SERVERS

VTEST = Path(__file__).parents[3] / "shared" / "media" / "vtest.avi"


@pytest.mark.parametrize("media", ROOM_SERVERS)
async def test_what_the_camera_shows_becomes_results_in_a_file(
    media: list[str], media_net: str, tmp_path: Path
) -> None:
    async with (
        simulator(tmp_path, *media, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        records = await running.more_results(8)
        numbers = [int(re.findall(r"frame (\d+)", record["text"])[0]) for record in records]
        assert numbers == sorted(set(numbers)), "each result saw a newer frame"
        assert all("640x360" in record["text"] for record in records), "published at its own size"
        assert await running.end() == 0
        (billed,) = await gateway.streams()
        assert billed["end_reason"] == "client_requested"


@pytest.mark.parametrize("codec", ["h264", "vp8"])
async def test_each_codec_that_the_gateway_takes_arrives(codec: str, media_net: str, tmp_path: Path) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={"publish": {"codec": codec}})) as running,
    ):
        assert len(await running.more_results(2)) >= 2


async def test_the_record_keeps_the_contract(media_net: str, tmp_path: Path) -> None:
    one = {"labels": {"site": "f12"}}
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one=one)) as running,
    ):
        record = (await running.more_results(1))[0]
        (live,) = [record for record in running.records("state") if "camera" not in record]
    assert list(record)[:7] == ["schema", "type", "uid", "seq", "device", "stream", "labels"]
    assert (record["schema"], record["device"], record["stream"], record["labels"]) == (
        1,
        "bed",
        "one",
        {"site": "f12"},
    )
    assert record["ok"] is True
    assert record["api"]["model_name"] == MODEL
    assert record["observed_at"] <= record["received_at"]
    assert "prompt" not in record["api"]
    assert live["prompt"] == "What is there?"
    assert live["prompt_sha"] == record["api"]["prompt_sha"]


async def test_clips_with_a_schema_give_parsed_output(media_net: str, tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "required": ["frames", "seen"],
        "properties": {"frames": {}, "seen": {"type": "boolean"}},
    }
    one = {
        "processing": {"target_fps": 6, "clip_length_seconds": 1.0, "delay_seconds": 0.5},
        "inference": {"prompt": "What moves?", "model": MODEL, "output_schema_json": schema},
    }
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one=one)) as running,
    ):
        record = (await running.more_results(3))[-1]
    assert record["api"]["mode"] == "clip"
    assert record["output"]["frames"] >= 3
    assert isinstance(record["output"]["seen"], bool)


async def test_two_streams_share_one_camera_each_at_its_own_pace(media_net: str, tmp_path: Path) -> None:
    fast = {"camera": "yard", "processing": {"interval_seconds": 0.2}}
    slow = {"camera": "yard", "processing": {"interval_seconds": 1.0}}
    settings = config(tmp_path, "", fast=fast, slow=slow) | {
        "cameras": {"yard": {"type": "test", "width": 640, "height": 360}}
    }
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        settings["api"]["base_url"] = gateway.base_url
        async with daemon(tmp_path, settings) as running:
            await running.more_results(3, stream="slow")
            assert len(running.records(stream="fast")) > len(running.records(stream="slow"))
            assert running.said().count("camera opening") == 1


async def test_a_file_that_does_not_loop_ends_its_stream_and_no_other(media_net: str, tmp_path: Path) -> None:
    video = tmp_path / "short.mkv"
    write_video(video, seconds=3)
    ends = {"camera": {"type": "file", "path": str(video), "loop": False}}
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, ends=ends, one={})) as running,
    ):
        await eventually(lambda: "1 live, 1 ended" in running.heard(), "the stream's end in the status")
        ended = [billed["end_reason"] for billed in await gateway.streams()]
        assert sorted(map(str, ended)) == ["None", "client_requested"]
        assert await running.more_results(2)


@pytest.mark.skipif(not VTEST.exists(), reason="needs vtest.avi, real footage beside the project")
async def test_results_change_with_the_street(media_net: str, tmp_path: Path) -> None:
    street = {"camera": {"type": "file", "path": str(VTEST)}, "processing": {"interval_seconds": 0.5}}
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one=street)) as running,
    ):
        texts = [record["text"] for record in await running.more_results(6)]
    motions = {re.findall(r"motion ([\d.]+)", text)[0] for text in texts[1:]}
    assert all("768x576" in text for text in texts)
    assert len(motions) > 1


async def test_one_bad_stream_does_not_stop_the_others(media_net: str, tmp_path: Path) -> None:
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        settings = config(tmp_path, gateway.base_url, one={}, bad=stream(processing={"interval_seconds": 75}))
        async with daemon(tmp_path, settings) as running:
            await running.more_results(1)
            assert "interval_seconds" in running.said()
            assert "1 live, 1 broken" in running.heard()


async def test_the_key_is_in_no_log(media_net: str, tmp_path: Path) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        await running.more_results(1)
        await gateway.faults({"fault": "status", "status": 401})
        await gateway.act("drop_sockets")
        await eventually(lambda: "refused" in running.said(), "the refusal in the log")
        assert await running.end() == 0
        assert KEY not in running.said() + running.heard()


def write_video(path: Path, seconds: int, fps: int = 10) -> None:
    """A small real video file."""
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        out = container.add_stream("mpeg4", rate=fps)
        out.width, out.height, out.pix_fmt = 320, 240, "yuv420p"
        for number in range(seconds * fps):
            picture = np.full((240, 320, 3), number * 5 % 256, np.uint8)
            container.mux(out.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(out.encode())
