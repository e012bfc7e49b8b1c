"""Which publisher a plan gets, and how the machine's own encoder is found: a search that may hang or crash."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from overshootd.config.model import StreamConfig
from overshootd.contracts import PublishPlan
from overshootd.publish import choose
from overshootd.publish.choose import Encoders, StreamPublishers, Transports
from overshootd.publish.hardware import HardwarePublisher
from overshootd.publish.livekit import LiveKitPublisher

PLAN = PublishPlan(fps=1.0, width=1280, height=720, max_bitrate=200_000, codec="h264")
LOG = structlog.get_logger()


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "video11").touch()
    return tmp_path / "dev"


def program(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def finding(devices: Path, name: str = "h264_v4l2m2m") -> Encoders:
    return Encoders(LOG, probe=program(f"print({name!r})"), devices=devices)


async def test_the_encoder_is_looked_for_once_and_said_once(devices: Path, tmp_path: Path) -> None:
    looked = tmp_path / "looked"
    code = f"open({str(looked)!r}, 'a').write('x'); print('h264_v4l2m2m')"
    encoders = Encoders(LOG, probe=program(code), devices=devices)
    with capture_logs() as logged:
        assert [await encoders.name() for _ in range(3)] == ["h264_v4l2m2m"] * 3
    assert looked.read_text() == "x"
    assert [entry["event"] for entry in logged] == ["pictures are encoded by this machine's own encoder, h264_v4l2m2m"]


async def test_without_a_video_device_nothing_is_started(tmp_path: Path) -> None:
    encoders = Encoders(LOG, probe=("/no/such/program",), devices=tmp_path)
    with capture_logs() as logged:
        assert await encoders.name() is None
    assert [entry["log_level"] for entry in logged] == ["info"]


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        (program("print()"), "no encoder of this machine's own was found"),
        (program("import os; os.abort()"), "no encoder of this machine's own was found"),
        (program("import time; time.sleep(60)"), "hung for 1 s"),
        (("/no/such/program",), "no search for an encoder"),
    ],
    ids=["finds none", "crashes", "hangs", "is not there"],
)
async def test_a_search_that_finds_none_however_it_ends_leaves_the_library(
    probe: tuple[str, ...], said: str, devices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "PROBE_SECONDS", 1.0)
    encoders = Encoders(LOG, probe=probe, devices=devices)
    with capture_logs() as logged:
        assert await encoders.name() is None
    assert any(said in entry["event"] for entry in logged)


def publishers_of(encoders: Encoders) -> StreamPublishers:
    config = StreamConfig.model_validate(
        {
            "camera": {"type": "test"},
            "mode": "frame",
            "processing": {"interval_seconds": 1.0},
            "inference": {"prompt": "what?", "model": "some"},
        }
    )
    return StreamPublishers(config, Transports(), encoders, LOG)


async def test_pictures_go_through_the_machines_own_encoder_where_it_has_one(devices: Path, media_net: str) -> None:
    publishers = publishers_of(finding(devices))
    assert await publishers.hardware()
    made = publishers(PLAN)
    assert isinstance(made, HardwarePublisher)
    await made.close()


@pytest.mark.parametrize(
    "plan",
    [replace(PLAN, codec="vp8"), replace(PLAN, encoded=True), replace(PLAN, width=958)],
    ids=["another codec", "encoded already", "rows that drivers pad"],
)
async def test_the_library_does_what_that_encoder_cannot(plan: PublishPlan, devices: Path, media_net: str) -> None:
    publishers = publishers_of(finding(devices))
    await publishers.hardware()
    made = publishers(plan)
    assert isinstance(made, LiveKitPublisher)
    await made.close()


async def test_after_a_failure_this_stream_is_encoded_in_software_and_the_others_are_not(
    devices: Path, media_net: str
) -> None:
    encoders = finding(devices)
    ours, theirs = (publishers_of(encoders) for _ in range(2))
    assert await ours.hardware()
    ours._give_up("the encoder has been at one picture for 5 s")
    assert not await ours.hardware()
    assert await theirs.hardware()


async def test_a_search_under_way_ends_with_the_daemon(devices: Path) -> None:
    encoders = Encoders(LOG, probe=program("import time; time.sleep(60)"), devices=devices)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await encoders.name()
    async with asyncio.timeout(2):
        await encoders.close()
