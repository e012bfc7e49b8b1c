"""`overshootd cameras`: what it prints of the kernel's devices, and lines that name the same camera when pasted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from overshootd.capture.v4l2.find import find
from overshootd.config.load import load
from overshootd.inventory.found import Inventory, named, yaml_lines
from overshootd.inventory.look import look, sources
from overshootd.inventory.show import text
from tests.integration.fake_v4l2_camera import FakeCamera, Mode
from tests.integration.v4l2_bed import Bed, bed_at

BOUND = 60.0


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    with bed_at(tmp_path / "root", monkeypatch) as bed:
        yield bed


def seen(bed: Bed) -> Inventory:
    return look(replace(sources(bed.kernel.root), libcamera=list))


def test_a_camera_of_the_kernel_is_shown_with_what_it_offers(bed: Bed) -> None:
    bed.kernel.plug(
        FakeCamera((Mode("MJPG", ((640, 360), (320, 240))), Mode("YUYV", ((320, 240),)))), by_id="usb-Fake-0"
    )
    shown = text(seen(bed))
    assert "name: usb-Fake-0" in shown
    assert "also: /dev/video0, serial 0001" in shown
    assert "MJPG: 640x360, 320x240 at" in shown
    assert "YUYV: 320x240 at" in shown


def test_the_lines_of_two_alike_cameras_name_each_of_them_when_pasted(bed: Bed, tmp_path: Path) -> None:
    for number, usb in enumerate(("1-1.2", "1-1.3")):
        camera = FakeCamera((Mode("MJPG", ((320, 240),)),))
        bed.kernel.plug(camera, number, usb=usb, by_id="usb-Fake-video-index0", by_path=f"pci-0:{number}-video-index0")
    names = named(seen(bed).cameras)
    path = tmp_path / "x.yaml"
    path.write_text(yaml_lines(names))
    configs = [camera.config for camera in load(path, {}).cameras.values()]
    devices = [config.device for config in configs if config.type == "v4l2"]
    assert [find(device, bed.kernel.root)[0].path for device in devices] == ["/dev/video0", "/dev/video1"]


def test_a_camera_that_fails_to_answer_is_shown_all_the_same(bed: Bed) -> None:
    camera = FakeCamera((Mode("MJPG", ((320, 240),)),))
    bed.kernel.plug(camera, by_id="usb-Fake-0")
    camera.errors["ENUM_FMT"] = 5
    (found,) = seen(bed).cameras
    assert (found.device, found.offers) == ("usb-Fake-0", ())
    assert found.trouble == "/dev/video0 does not say what it offers: Input/output error"


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_the_command_ends_well_whatever_this_machine_has(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "overshootd", "cameras", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=BOUND)
    assert done.stderr == ""
    if arguments:
        assert set(json.loads(done.stdout)) == {"cameras", "hints"}
    else:
        assert done.stdout.startswith("No camera was found") or "To paste into overshootd.yaml" in done.stdout
