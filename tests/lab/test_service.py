"""The units as they stand: the daemon as a user who may do nothing but open cameras, and the helper that runs as root
for the rest."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.daemon_bed import Json, Simulator, config, eventually, whole
from tests.lab.cameras import unbind, usb
from tests.lab.test_daemon import BOUND, SLOW

STATE, SETTINGS, RUNTIME = (Path(path, "overshootd") for path in ("/var/lib", "/etc", "/run"))
UNITS = ("overshootd-helper.socket", "overshootd.service")


def systemctl(*arguments: str) -> None:
    subprocess.run(["systemctl", *arguments], check=True, timeout=60)


@pytest.fixture
def service(gateway: Simulator) -> Iterator[None]:
    """Installed, running, and sent away at the end; it watches the USB camera, and may reset it."""
    camera = {"type": "v4l2", "device": usb(), "width": 320, "height": 240, "recovery": {"usb_reset_after": 2}}
    for folder in (STATE, SETTINGS):
        folder.mkdir(exist_ok=True)
    settings = config(STATE, gateway.base_url, yard=SLOW | {"camera": camera})
    (SETTINGS / "overshootd.yaml").write_text(yaml.safe_dump(settings))
    shutil.chown(STATE, "overshootd")
    try:
        systemctl("start", *UNITS)
        yield
    finally:
        systemctl("stop", *UNITS)
        subprocess.run(["journalctl", "-b", "-o", "cat", "-u", "overshootd*"], check=True, timeout=60)
        for folder in (STATE, SETTINGS):
            shutil.rmtree(folder)


def everything() -> list[Json]:
    return whole(STATE / "results" / "yard.jsonl")


def records(kind: str) -> list[Json]:
    return [record for record in everything() if record["type"] == kind]


@pytest.mark.usefixtures("usb_camera", "service")
async def test_a_camera_that_its_driver_let_go_of_comes_back_by_a_usb_reset() -> None:
    await eventually(lambda: len(records("result")) >= 2, "results", BOUND)
    await asyncio.to_thread(unbind)
    await eventually(lambda: any("was reset" in record.get("why", "") for record in records("state")), "a reset", BOUND)
    before = len(records("result"))
    await eventually(lambda: len(records("result")) >= before + 2, "results again", BOUND)
    assert len(records("gap")) == 1


@pytest.mark.usefixtures("usb_camera", "service")
async def test_what_was_new_when_the_service_was_killed_is_found_again() -> None:
    await eventually(lambda: len(records("result")) >= 2, "results", BOUND)
    assert [*RUNTIME.glob("spool.sqlite3-*")]
    systemctl("kill", "--kill-whom=main", "--signal=KILL", UNITS[1])
    before = len(records("result"))
    await eventually(lambda: len(records("result")) >= before + 2, "results again", BOUND)
    seqs = {record["seq"] for record in everything()}
    assert seqs == {*range(1, max(seqs) + 1)}


@pytest.mark.usefixtures("usb_camera")
def test_nobody_but_the_daemon_may_ask_the_helper() -> None:
    systemctl("start", UNITS[0])
    try:
        asking = "import socket; socket.socket(socket.AF_UNIX).connect('/run/overshootd-helper.sock')"
        done = {
            user: subprocess.run(
                ["runuser", "-u", user, "--", "/usr/bin/python3", "-c", asking],
                check=False, capture_output=True, text=True, timeout=60,
            )
            for user in ("nobody", "overshootd")
        }  # fmt: skip
    finally:
        systemctl("stop", UNITS[0])
    assert "PermissionError" in done["nobody"].stderr
    assert done["overshootd"].returncode == 0, done["overshootd"].stderr
