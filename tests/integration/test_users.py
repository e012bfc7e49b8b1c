"""Who has a device open is read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from overshootd.capture.users import users_of


def process(proc: Path, pid: int, command: str, *files: str) -> None:
    (proc / str(pid) / "fd").mkdir(parents=True)
    (proc / str(pid) / "comm").write_text(f"{command}\n")
    for number, file in enumerate(files):
        (proc / str(pid) / "fd" / str(number)).symlink_to(file)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc with things in it that are no processes."""
    (tmp_path / "sys").mkdir()
    (tmp_path / "uptime").write_text("1 1")
    return tmp_path


def test_those_who_have_it_open_are_named_in_order(proc: Path) -> None:
    process(proc, 300, "motion", "/dev/null", "/dev/video0")
    process(proc, 41, "ffmpeg", "/dev/video0", "/dev/video0")
    process(proc, 50, "cat", "/dev/video1", "pipe:[123]")
    assert users_of("/dev/video0", proc) == ["ffmpeg (pid 41)", "motion (pid 300)"]


def test_we_are_not_among_them(proc: Path) -> None:
    process(proc, os.getpid(), "overshootd", "/dev/video0")
    assert users_of("/dev/video0", proc) == []


def test_a_process_that_ends_meanwhile_or_is_not_ours_to_see_is_passed_over(proc: Path) -> None:
    (proc / "77").mkdir()
    process(proc, 78, "ffmpeg", "/dev/video0")
    (proc / "78/comm").unlink()
    assert users_of("/dev/video0", proc) == ["? (pid 78)"]


def test_a_link_is_followed_to_the_device(proc: Path) -> None:
    device, link = proc / "device", proc / "link"
    device.touch()
    link.symlink_to(device)
    process(proc, 9, "vlc", str(device))
    assert users_of(str(link), proc) == ["vlc (pid 9)"]
