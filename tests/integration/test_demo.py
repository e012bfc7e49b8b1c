"""`overshootd demo`: what a stranger sees first."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest


def demo(*arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-m", "overshootd", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def test_results_are_printed_and_summed_up(media_net: str) -> None:
    ended = demo("--seconds", "9")
    assert ended.returncode == 0, ended.stderr
    shown = re.findall(r"^  \d\d:\d\d:\d\d  frame \d+, age \d+ ms, 1280x720", ended.stdout, re.MULTILINE)
    summed = re.search(r"results    (\d+) received, (\d+) due", ended.stdout)
    assert summed is not None
    assert int(summed[1]) == len(shown) >= 2
    assert re.search(r"published  [1-9]\d* frames, [1-9]\d* kB", ended.stdout)
    assert "of one core" in ended.stdout


def test_a_video_that_is_not_there_is_a_usage_error() -> None:
    ended = demo("--video", "/nonexistent.mp4")
    assert ended.returncode == 64
    assert "/nonexistent.mp4" in ended.stderr


def test_no_result_at_all_ends_with_69_and_shows_why(media_net: str) -> None:
    ended = demo("--seconds", "0.1")
    assert ended.returncode == 69
    assert "no result came" in ended.stderr


def test_without_a_network_it_says_what_to_do_and_ends_with_69(media_net: str) -> None:
    ended = demo("--seconds", "5", prefix=("unshare", "--net"))
    assert ended.returncode == 69
    assert "ip link add" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("arguments", [["fly"], ["run", "--fast"], []])
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "overshootd", *arguments]
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 64
