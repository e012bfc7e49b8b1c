"""What the configuration says of controls becomes what the kernel takes, or a sentence that says what is possible."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.capture.v4l2.controls import Control, Kind, by_name, flips, settings, shown_name
from overshootd.errors import Permanent

EXPOSURE = {0: "Auto Mode", 1: "Manual Mode", 3: "Aperture Priority Mode"}
FREQUENCY = {0: "Disabled", 1: "50 Hz", 2: "60 Hz"}
CONTROLS = by_name(
    [
        Control(1, "brightness", Kind.INTEGER, -64, 64, 1, 0),
        Control(2, "auto_exposure", Kind.MENU, 0, 3, 1, 3, entries=EXPOSURE),
        Control(3, "white_balance_automatic", Kind.BOOLEAN, 0, 1, 1, 1),
        Control(4, "power_line_frequency", Kind.MENU, 0, 2, 1, 1, entries=FREQUENCY),
        Control(5, "restart", Kind.BUTTON, 0, 0, 0, 0),
        Control(6, "temperature", Kind.INTEGER, 0, 100, 1, 0, writable=False),
        Control(7, "text", Kind.OTHER, 0, 32, 1, 0),
    ]
)


def value_of(name: str, wanted: Any) -> int:
    ((_, value),) = settings(CONTROLS, {name: wanted}, "yard")
    return value


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Brightness", "brightness"),
        ("White Balance Temperature, Auto", "white_balance_temperature_auto"),
        ("H264 I-Frame Period", "h264_i_frame_period"),
        ("Exposure (Absolute)", "exposure_absolute"),
        ("  LED1 Mode", "led1_mode"),
    ],
)
def test_names_are_those_of_v4l2_ctl(title: str, name: str) -> None:
    assert shown_name(title) == name


@pytest.mark.parametrize(
    ("name", "wanted", "value"),
    [
        ("brightness", -64, -64),
        ("auto_exposure", 1, 1),
        ("auto_exposure", "manual mode", 1),
        ("power_line_frequency", "60 Hz", 2),
        ("white_balance_automatic", False, 0),
        ("white_balance_automatic", 1, 1),
        ("restart", True, 1),
    ],
)
def test_values_are_numbers_texts_of_menus_and_booleans(name: str, wanted: Any, value: int) -> None:
    assert value_of(name, wanted) == value


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("brightness", 65, "yard: the control brightness takes -64 to 64, not 65"),
        ("brightness", True, "yard: the control brightness takes -64 to 64, not true"),
        ("brightness", "high", "yard: the control brightness takes -64 to 64, not 'high'"),
        ("auto_exposure", 2, r"takes one of 0 \(Auto Mode\), 1 \(Manual Mode\), 3 \(Aperture Priority Mode\), not 2"),
        ("auto_exposure", "off", r"takes one of 0 \(Auto Mode\), .*, not 'off'"),
        ("white_balance_automatic", 2, "takes true or false, not 2"),
        ("restart", False, "takes true, which presses it, not false"),
        ("temperature", 20, "yard: the control temperature can only be read"),
        ("text", "hello", "takes nothing that can be written here"),
        (
            "brightnes",
            5,
            r"yard has no control 'brightnes'; did you mean brightness\? it has auto_exposure, brightness, ",
        ),
    ],
)
def test_what_a_control_does_not_take_is_refused_with_what_it_takes(name: str, wanted: Any, message: str) -> None:
    with pytest.raises(Permanent, match=message):
        value_of(name, wanted)


def test_a_camera_without_controls_says_so() -> None:
    with pytest.raises(Permanent, match="yard has no control 'gain'; it has none"):
        settings({}, {"gain": 1}, "yard")


def test_an_off_that_yaml_took_for_a_boolean_is_the_menus_text() -> None:
    led = {"led": Control(1, "led", Kind.MENU, 0, 1, 1, 0, entries={0: "Off", 1: "On"})}
    assert [value for _, value in settings(led, {"led": False}, "yard") + settings(led, {"led": True}, "yard")] == [
        0,
        1,
    ]


def test_controls_are_set_in_the_order_of_the_configuration() -> None:
    wanted = {"power_line_frequency": 1, "auto_exposure": 1, "brightness": 3}
    assert [control.name for control, _ in settings(CONTROLS, wanted, "yard")] == list(wanted)


@given(st.integers(-1000, 1000))
def test_a_number_is_taken_exactly_when_it_is_in_range(number: int) -> None:
    if -64 <= number <= 64:
        assert value_of("brightness", number) == number
    else:
        with pytest.raises(Permanent):
            value_of("brightness", number)


UPRIGHT = Control(8, "vertical_flip", Kind.BOOLEAN, 0, 1, 1, 0)
MIRROR = Control(9, "horizontal_flip", Kind.BOOLEAN, 0, 1, 1, 0)
HANGS = Control(8, "vertical_flip", Kind.BOOLEAN, 0, 1, 1, 1)


@pytest.mark.parametrize(
    ("controls", "rotate", "hflip", "expected", "in_software"),
    [
        ([UPRIGHT, MIRROR], 180, False, {"vertical_flip": 1, "horizontal_flip": 1}, False),
        ([UPRIGHT, MIRROR], 180, True, {"vertical_flip": 1, "horizontal_flip": 0}, False),
        ([UPRIGHT, MIRROR], 0, False, {"vertical_flip": 0, "horizontal_flip": 0}, False),
        ([MIRROR], 0, True, {"horizontal_flip": 1}, False),
        ([MIRROR], 180, False, {"horizontal_flip": 0}, True),
        ([UPRIGHT], 180, True, {"vertical_flip": 1}, False),
        ([HANGS, MIRROR], 180, False, {"vertical_flip": 0, "horizontal_flip": 1}, False),
        ([], 180, False, {}, True),
        ([], 0, False, {}, False),
    ],
)
def test_a_camera_turns_its_picture_itself_where_it_can_do_all_of_it(
    controls: list[Control], rotate: int, hflip: bool, expected: dict[str, int], in_software: bool
) -> None:
    found, unable = flips(by_name(controls), rotate, hflip, ())
    assert ({control.name: value for control, value in found}, unable) == (expected, in_software)


def test_a_flip_that_the_configuration_sets_by_name_is_left_alone() -> None:
    found, unable = flips(by_name([UPRIGHT, MIRROR]), 180, False, ["horizontal_flip"])
    assert ([(control.name, value) for control, value in found], unable) == ([("vertical_flip", 0)], True)
