"""The privileged helper does two things, to whom they may be done, and nothing else whatever it is asked."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

from tests.integration.helper_lab import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_camera_is_taken_off_its_port_and_put_back(machine: Machine) -> None:
    """In this order: a pipe in place of the file keeps all that is written."""
    device = machine.device("1-1.2", "0e")
    (device / "authorized").unlink()
    os.mkfifo(device / "authorized")
    pipe = os.open(device / "authorized", os.O_RDWR)  # both ends, so that nobody waits for the other
    try:
        assert machine.ask({"do": "usb-reset", "usb": "1-1.2"}) == {"ok": True}
        assert os.read(pipe, 16) == b"01"
    finally:
        os.close(pipe)


@pytest.mark.parametrize(("interface_class", "video"), [("0e", False), ("ff", True)])
def test_a_camera_is_known_by_its_class_or_its_video_node(machine: Machine, interface_class: str, video: bool) -> None:
    machine.device("2-1", interface_class, video)
    assert machine.ask({"do": "usb-reset", "usb": "2-1"}) == {"ok": True}


@pytest.mark.parametrize("interface_class", ["08", "09", "03", "e0", ""])
def test_no_disk_hub_or_keyboard_is_ever_reset(machine: Machine, interface_class: str) -> None:
    device = machine.device("1-1", interface_class)
    answer = machine.ask({"do": "usb-reset", "usb": "1-1"})
    assert answer == {"ok": False, "why": "USB device 1-1 is no camera"}
    assert (device / "authorized").read_text() == "9"


@pytest.mark.parametrize(
    "name",
    ["1-9", "usb1", "../../../etc", "1-1/../2-1", "1-1.2\n", "1-1:1.0", "*", "1-\u0661", "", "1-1.", "-1", "1-1.2 "],
)
def test_what_is_no_device_is_refused(machine: Machine, name: str) -> None:
    machine.device("1-1.2", "0e")
    answer = machine.ask({"do": "usb-reset", "usb": name})
    assert answer["ok"] is False and answer["why"]


def test_a_device_that_cannot_be_written_is_said(machine: Machine) -> None:
    device = machine.device("1-1", "0e")
    (device / "authorized").unlink()
    (device / "authorized").mkdir()
    answer = machine.ask({"do": "usb-reset", "usb": "1-1"})
    assert answer["ok"] is False and "1-1" in answer["why"]


def test_a_reboot_is_asked_of_the_service_manager(machine: Machine) -> None:
    assert machine.ask({"do": "reboot"}) == {"ok": True}
    assert machine.told.read_text() == "reboot\n"


@pytest.mark.parametrize("uptime", [0.0, 60.0, 3599.0])
def test_no_machine_is_rebooted_again_within_an_hour(tmp_path: Path, uptime: float) -> None:
    machine = Machine(tmp_path, uptime)
    answer = machine.ask({"do": "reboot"})
    assert answer["ok"] is False and "no reboot within an hour" in answer["why"]
    assert not machine.told.exists()


def test_a_machine_that_does_not_say_how_long_it_is_up_is_not_rebooted(machine: Machine) -> None:
    (machine.root / "proc/uptime").write_text("")
    assert machine.ask({"do": "reboot"})["ok"] is False
    assert not machine.told.exists()


def test_a_reboot_that_fails_is_said(machine: Machine) -> None:
    (machine.root / "usr/bin/systemctl").write_text("#!/bin/sh\nexit 1\n")
    answer = machine.ask({"do": "reboot"})
    assert answer["ok"] is False and "systemctl reboot failed" in answer["why"]


@pytest.mark.parametrize(
    "request_line",
    [
        b"",
        b"\n",
        b"reboot\n",
        b'{"do": "reboot"}',
        b'["reboot"]\n',
        b'{"do": "halt"}\n',
        b'{"do": "reboot", "force": true}\n',
        b'{"do": "usb-reset"}\n',
        b'{"do": "usb-reset", "usb": 1}\n',
        b'{"do": "usb-reset", "usb": "1-1.2", "path": "/etc"}\n',
        b"[" * 4000 + b"\n",
        b"\xff\xfe\n",
        b'{"do": "reboot"}' + b" " * 8000 + b"\n",
    ],
)
def test_whatever_else_is_asked_is_refused_and_nothing_done(machine: Machine, request_line: bytes) -> None:
    device = machine.device("1-1.2", "0e")
    answer = machine.ask(request_line)
    assert answer["ok"] is False and answer["why"]
    assert (device / "authorized").read_text() == "9"
    assert not machine.told.exists()


def test_it_imports_nothing_but_the_standard_library() -> None:
    source = Path(__file__).parents[2] / "overshootd" / "helper.py"
    names = [name for node in ast.walk(ast.parse(source.read_text())) for name in _imported(node)]
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or "."] if isinstance(node, ast.ImportFrom) else []
