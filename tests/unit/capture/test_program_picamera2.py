"""What the child of the picamera2 camera is told, what it makes of that, and that it can run where it must."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.capture.program import picamera2_child
from overshootd.capture.program.picamera2 import CHILD, has_encoder, parameters
from overshootd.capture.program.picamera2_child import Due, Failure, chosen, packed
from overshootd.config.cameras import Picamera2Camera
from overshootd.contracts import CaptureNeed

NEED = CaptureNeed(1.0, 1280, 720)
TREE = ast.parse(CHILD.read_text(), feature_version=(3, 9))
"""Raises SyntaxError for what Python 3.9 does not have."""


def told(encoder: bool = False, **config: Any) -> dict[str, Any]:
    return parameters(Picamera2Camera.model_validate({"type": "picamera2", **config}), NEED, encoder)


def test_the_child_needs_nothing_but_the_systems_python_and_picamera2() -> None:
    modules = {
        name.split(".")[0]
        for node in ast.walk(TREE)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [_module(node)])
    }
    assert modules - sys.stdlib_module_names - {""} == {"picamera2", "libcamera"}


def _module(node: ast.AST) -> str:
    return (node.module or "") if isinstance(node, ast.ImportFrom) else ""


def test_the_child_imports_picamera2_only_when_it_can_say_that_it_is_missing() -> None:
    at_once = [node for node in TREE.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in at_once if isinstance(node, ast.Import) for alias in node.names}
    names |= {_module(node) for node in at_once}
    assert not names & {"picamera2", "libcamera"}


def test_size_and_rate_are_those_that_are_published_unless_configured() -> None:
    asked = told()
    assert (asked["width"], asked["height"], asked["fps"], asked["sensor_fps"]) == (1280, 720, 1.0, 10.0)
    asked = told(width=640, height=480, fps=5.0)
    assert (asked["width"], asked["height"], asked["fps"], asked["sensor_fps"]) == (640, 480, 5.0, 5.0)


@pytest.mark.parametrize(
    ("rotate", "hflip", "flips"),
    [(0, False, (False, False)), (0, True, (True, False)), (180, False, (True, True)), (180, True, (False, True))],
)
def test_half_a_turn_is_a_flip_both_ways(rotate: int, hflip: bool, flips: tuple[bool, bool]) -> None:
    asked = told(rotate=rotate, hflip=hflip)
    assert (asked["hflip"], asked["vflip"]) == flips


@pytest.mark.parametrize(
    ("encoder", "config", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"hardware_h264": False}, False),
        (True, {"width": 1920, "height": 1080}, True),
        (True, {"width": 1920, "height": 1440}, False),
    ],
)
def test_the_boards_encoder_is_used_where_it_is_there_and_large_enough(
    encoder: bool, config: dict[str, Any], expected: bool
) -> None:
    assert told(encoder, **config)["h264"] is expected


@pytest.mark.parametrize(("name", "expected"), [("bcm2835-codec-encode", True), ("pispbe-input", False), (None, False)])
def test_the_encoder_is_known_by_its_name_at_its_place(tmp_path: Path, name: str | None, expected: bool) -> None:
    place = tmp_path / "sys/class/video4linux/video11"
    place.mkdir(parents=True)
    if name:
        (place / "name").write_text(f"{name}\n")
    assert has_encoder(tmp_path) is expected


SIZES = st.integers(1, 20).map(lambda half: 2 * half)


@given(
    SIZES, SIZES, st.integers(0, 9), st.sampled_from(["YUV420", "NV12", "RGB888"]), st.randoms(use_true_random=False)
)
def test_padding_is_cut_off(width: int, height: int, padding: int, form: str, random: Any) -> None:
    row = width * (3 if form == "RGB888" else 1)
    stride = row + 2 * padding
    shapes = {
        "YUV420": [(row, height, stride), *[(row // 2, height // 2, stride // 2)] * 2],
        "NV12": [(row, height, stride), (row, height // 2, stride)],
        "RGB888": [(row, height, stride)],
    }[form]
    lines = [(random.randbytes(length), step - length) for length, rows, step in shapes for _ in range(rows)]
    buffer = b"".join(line + b"\xee" * rest for line, rest in lines) + b"\xee" * 64
    stream = {"format": form, "size": (width, height), "stride": stride}
    assert bytes(packed(memoryview(buffer), stream)) == b"".join(line for line, _ in lines)


@given(st.floats(0.5, 30), st.floats(1, 60), st.lists(st.floats(-0.3, 0.3), min_size=50, max_size=50))
def test_as_many_frames_are_written_as_are_wanted_or_there(fps: float, camera: float, jitter: list[float]) -> None:
    due = Due(fps, camera)
    times = [1000 + (number + late) / camera for number, late in enumerate(jitter)]
    taken = [time for time in times if due.take(time)]
    expected = (len(times) - 1) / camera * min(fps, camera)
    assert expected * 0.7 - 1 <= len(taken) <= expected + 2


def test_frames_at_the_wanted_rate_are_all_written() -> None:
    due = Due(10.0, 10.0)
    assert all(due.take(1000 + number / 10) for number in range(100))


def test_after_a_pause_nothing_is_caught_up() -> None:
    due = Due(1.0, 10.0)
    assert [due.take(time) for time in (100.0, 100.1, 107.0, 107.1, 107.9, 108.0)] == [
        True,
        False,
        True,
        False,
        False,
        True,
    ]


def test_a_camera_without_a_model_has_its_id_for_a_name() -> None:
    assert chosen(0, [{"Id": "platform/vimc.0"}]) == (0, "camera 0 (platform/vimc.0)")


def test_the_exit_code_tells_whose_turn_it_is() -> None:
    with pytest.raises(Failure) as raised:
        chosen(1, [{"Id": "a", "Model": "imx219"}])
    assert raised.value.code == picamera2_child.UNAVAILABLE == 69
    with pytest.raises(Failure) as raised:
        chosen(0, [])
    assert raised.value.code == picamera2_child.NONE_SEEN == 66
