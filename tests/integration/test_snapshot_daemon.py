"""`overshootd snapshot` while a daemon runs: the picture is the daemon's own, masked as its streams are, and no stream
notices."""

from __future__ import annotations

import asyncio
import io
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from overshootd.marker import Marker, read_marker
from tests.integration.daemon_bed import Daemon, config, daemon, eventually, simulator

Json = dict[str, Any]
Luma = NDArray[np.uint8]

BOUND = 60.0
NOWHERE = "http://127.0.0.1:9/v0.2"
"""An API that nobody needs here: the camera is opened before it is asked."""

LOWER_LEFT: Json = {"x": 0, "y": 0.5, "width": 0.5, "height": 0.5}
FPS = 30
LEFT, RIGHT = slice(0, 308), slice(492, 640)
YARD: Json = {"type": "test", "width": 640, "height": 360, "fps": FPS}


@dataclass
class Taken:
    """How the command ended, what it said, and the file when it wrote one."""

    code: int
    err: str
    picture: bytes

    @property
    def luma(self) -> Luma:
        with av.open(io.BytesIO(self.picture), "r", format="mjpeg") as file:
            return next(file.decode(video=0)).to_ndarray(format="gray").astype(np.uint8)

    @property
    def marker(self) -> Marker:
        found = read_marker(self.luma)
        assert found is not None, "the test picture's number can be read"
        return found


async def begun(folder: Path, name: str, *more: str) -> asyncio.subprocess.Process:
    """`overshootd snapshot NAME`, with the configuration of the daemon that runs there."""
    path = folder / "overshootd.yaml"
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "overshootd", "snapshot", name, "-o", "-", "-c", str(path), *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def snapshot(folder: Path, name: str, *more: str) -> Taken:
    process = await begun(folder, name, *more)
    async with asyncio.timeout(BOUND):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Taken(process.returncode, err.decode(), out)


def black(taken: Taken, columns: slice) -> bool:
    """Whether the lower half is, there; without the edge, where JPEG mixes."""
    return bool(taken.luma[188:, columns].max() <= 8)


def opened_ms(marker: Marker) -> float:
    """When the camera was opened that drew it, in milliseconds since the epoch: that tells the daemon's own one."""
    return marker.captured_ms - marker.number * 1000 / FPS


async def camera_is(running: Daemon, state: str) -> None:
    await eventually(lambda: f"camera {state}" in running.said(), f"the camera is {state}")


def live(running: Daemon) -> list[Json]:
    return [record for record in running.records("state") if record["state"] == "live" and "camera" not in record]


async def test_the_picture_is_the_daemons_fresh_and_masked_and_its_stream_goes_on(
    media_net: str, tmp_path: Path
) -> None:
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        settings = config(tmp_path, gateway.base_url, one={"camera": "yard", "masks": [LOWER_LEFT]})
        settings["cameras"] = {"yard": YARD | {"masks": [{"x": 0.75, "y": 0.5, "width": 0.25, "height": 0.5}]}}
        async with daemon(tmp_path, settings) as running:
            await running.more_results(1)
            asked = time.time() * 1000
            stream, camera = await asyncio.gather(snapshot(tmp_path, "one"), snapshot(tmp_path, "yard"))
            await running.more_results(2)
            assert len(await gateway.streams()) == len(live(running)) == 1, "the same stream"
            assert not running.records("gap")
            assert running.said().count("camera live") == 1
    assert (stream.code, stream.err, camera.code, camera.err) == (0, "", 0, "")
    for taken in (stream, camera):
        assert taken.luma.shape == (360, 640)
        assert opened_ms(taken.marker) < asked < taken.marker.captured_ms, "of the daemon's opening, and fresh"
    assert black(stream, LEFT) and not black(camera, LEFT), "the stream's mask, which the camera does not have"
    assert black(stream, RIGHT) and black(camera, RIGHT), "the camera's mask"


async def test_whatever_is_asked_for_the_camera_is_not_opened_anew(tmp_path: Path) -> None:
    """Nor for a stream that is disabled, as long as another one needs its camera."""
    small: Json = {"camera": "yard", "publish": {"size": "320x180"}}
    settings = config(tmp_path, NOWHERE, one=small, two={"camera": "yard", "enabled": False})
    settings["cameras"] = {"yard": YARD}
    async with daemon(tmp_path, settings) as running:
        await camera_is(running, "live")
        asked = time.time() * 1000
        taken = await asyncio.gather(*(snapshot(tmp_path, name) for name in ("one", "two", "yard")))
        assert running.said().count("camera opening") == 1
    assert [one.luma.shape for one in taken] == [(180, 320), (360, 640), (360, 640)]
    assert all(opened_ms(one.marker) < asked for one in taken)


async def test_a_camera_that_is_lost_is_said_to_be_with_its_reason(tmp_path: Path) -> None:
    broken: Json = {"type": "command", "argv": ["sh", "-c", "echo smoke >&2; exit 3"], "format": "mjpeg"}
    settings = config(tmp_path, NOWHERE, one={"camera": broken})
    async with daemon(tmp_path, settings) as running:
        await camera_is(running, "lost")
        taken = await snapshot(tmp_path, "one")
    assert (taken.code, taken.picture) == (69, b"")
    assert taken.err.startswith("one has no picture: camera of one is lost: ")
    assert "smoke" in taken.err


async def test_a_camera_that_the_daemon_does_not_have_is_opened_by_the_command(tmp_path: Path) -> None:
    settings = config(tmp_path, NOWHERE, off={"enabled": False})
    settings["cameras"] = {"spare": YARD}
    async with daemon(tmp_path, settings) as running:
        await eventually(lambda: "READY=1" in running.heard(), "it runs")
        asked = time.time() * 1000
        taken = await asyncio.gather(*(snapshot(tmp_path, name) for name in ("off", "spare")))
    for one in taken:
        assert (one.code, one.err) == (0, "")
        assert opened_ms(one.marker) > asked


async def test_masks_that_the_daemon_does_not_know_yet_are_not_left_out(tmp_path: Path) -> None:
    settings = config(tmp_path, NOWHERE, one={"camera": YARD})
    async with daemon(tmp_path, settings) as running:
        await camera_is(running, "live")
        settings["streams"]["one"]["masks"] = [LOWER_LEFT]
        (tmp_path / "overshootd.yaml").write_text(yaml.safe_dump(settings))
        taken = await snapshot(tmp_path, "one")
    assert (taken.code, taken.err) == (0, "")
    assert black(taken, LEFT)


async def test_a_daemon_of_another_configuration_is_not_taken_for_this_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(tmp_path, NOWHERE, one={"camera": YARD})
    run = tmp_path / "run"
    run.mkdir()
    async with daemon(tmp_path, settings, RUNTIME_DIRECTORY=str(run)) as running:
        await camera_is(running, "live")
        await eventually((run / "control.sock").is_socket, "it can be asked")
        settings["state_dir"] = str(tmp_path / "other")
        (tmp_path / "overshootd.yaml").write_text(yaml.safe_dump(settings))
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(run))
        asked = time.time() * 1000
        taken = await snapshot(tmp_path, "one")
    assert (taken.code, taken.err) == (0, "")
    assert opened_ms(taken.marker) > asked
