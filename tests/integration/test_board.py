"""What is read of the board, from trees like those that boards have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.board import HOTTEST, THROTTLED, Board, board, degrees, throttled


def look(root: Path) -> Board:
    return board(root / "nowhere", root)


def tree(root: Path, **files: str) -> Path:
    """A /sys with these zones' and monitors' files; a double underscore is a slash."""
    for name, content in files.items():
        path = root / "sys/class" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def firmware(root: Path, content: str) -> Path:
    path = root / THROTTLED
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return root


def test_a_machine_that_tells_nothing_is_none_of_it(tmp_path: Path) -> None:
    assert look(tmp_path) == Board(None, None, None)


def test_the_processor_counts_and_not_what_is_hotter(tmp_path: Path) -> None:
    tree(
        tmp_path,
        thermal__thermal_zone0__type="cpu-thermal",
        thermal__thermal_zone0__temp="48312",
        thermal__thermal_zone1__type="iwlwifi_1",
        thermal__thermal_zone1__temp="71000",
    )
    assert look(tmp_path).temperature == 48.312


def test_without_a_processors_zone_the_hottest_counts(tmp_path: Path) -> None:
    tree(
        tmp_path,
        thermal__thermal_zone0__type="acpitz",
        thermal__thermal_zone0__temp="30000",
        thermal__thermal_zone1__type="acpitz",
        thermal__thermal_zone1__temp="41500",
        thermal__thermal_zone2__type="sleeps",
    )
    assert look(tmp_path).temperature == 41.5


@pytest.mark.parametrize(
    ("said", "now", "since"), [("0\n", False, False), ("0x50005\n", True, True), ("50000\n", False, True)]
)
def test_the_firmware_tells_of_undervoltage_now_and_since_boot(
    tmp_path: Path, said: str, now: bool, since: bool
) -> None:
    found = look(firmware(tmp_path, said))
    assert (found.undervoltage, found.undervoltage_since_boot) == (now, since)


@pytest.mark.parametrize(("alarm", "now"), [("1", True), ("0", False)])
def test_where_the_firmware_is_not_read_the_kernels_monitor_tells(tmp_path: Path, alarm: str, now: bool) -> None:
    tree(
        tmp_path,
        hwmon__hwmon0__name="cpu_thermal",
        hwmon__hwmon0__in0_lcrit_alarm="2",
        hwmon__hwmon1__name="rpi_volt",
        hwmon__hwmon1__in0_lcrit_alarm=alarm,
    )
    assert look(tmp_path) == Board(None, now, None)


@given(st.text() | st.integers().map(str))
def test_whatever_a_sensor_says_is_sense_or_none(text: str) -> None:
    assert (temperature := degrees(text)) is None or temperature <= HOTTEST
    assert throttled(text) is None or isinstance(throttled(text), int)


def test_the_room_that_is_left_is_that_of_the_state_directory(tmp_path: Path) -> None:
    room = os.statvfs("/dev/shm")
    free = board(Path("/dev/shm"), tmp_path).disk_free_bytes
    assert free is not None and abs(free - room.f_bavail * room.f_frsize) < 64_000_000
