"""What a camera's program is started with."""

from __future__ import annotations

from typing import Any

import pytest

from overshootd.capture.program.command import command
from overshootd.capture.program.launch import environment, filled
from overshootd.config.cameras import CommandCamera
from overshootd.contracts import CaptureNeed

NEED = CaptureNeed(0.5, 1280, 720)


def config(*argv: str, form: str = "mjpeg", **options: Any) -> CommandCamera:
    return CommandCamera.model_validate({"type": "command", "argv": argv, "format": form, **options})


def test_what_is_wanted_is_filled_in_wherever_it_is_asked_for() -> None:
    argv = ("rec", "--size={width}x{height}", "-r", "{fps}", "{}", '{"a": {width}}', "{other}", "{{fps}}")
    expected = ["rec", "--size=1280x720", "-r", "29.97", "{}", '{"a": 1280}', "{other}", "{29.97}"]
    assert filled(argv, 1280, 720, 29.97) == expected


def test_nothing_is_filled_into_what_was_filled_in() -> None:
    assert filled(("{width}{fps}",), 1, 2, 3.0) == ["13"]


@pytest.mark.parametrize(
    ("argv", "options", "expected"),
    [
        (["a", "{width}x{height}"], {}, (["a", "1280x720"], 30.0)),
        (["a", "{width}x{height}"], {"width": 640, "height": 480}, (["a", "640x480"], 30.0)),
        (["a", "{fps}"], {}, (["a", "0.5"], 0.5)),
        (["a", "{fps}"], {"fps": 5.0}, (["a", "5"], 5.0)),
        (["a"], {"fps": 5.0}, (["a"], 5.0)),
    ],
    ids=["size as needed", "size as configured", "rate as needed", "rate as configured", "a rate of its own"],
)
def test_the_configuration_wins_over_the_need(
    argv: list[str], options: dict[str, Any], expected: tuple[list[str], float]
) -> None:
    assert command(config(*argv, **options), NEED) == expected


def test_a_program_sees_what_is_not_between_systemd_and_the_daemon() -> None:
    kept = {"PATH": "/bin", "HOME": "/", "GST_DEBUG": "2", "CAMERA_PASSWORD": "x", "LISTEN_ADDRESS": "x"}
    hidden = ["OVERSHOOT_API_KEY", "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "WATCHDOG_PID", "LISTEN_FDS", "FDSTORE"]
    assert environment(kept | dict.fromkeys(hidden, "x")) == kept
