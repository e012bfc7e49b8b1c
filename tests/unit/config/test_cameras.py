"""Every kind of camera with all its keys, and what is wrong with one told once, with what would be right."""

from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from overshootd.config.camera_rules import has_area
from overshootd.config.cameras import Polygon, Rectangle, TestCamera, V4l2Camera, View, narrowed
from overshootd.config.model import NamedCamera
from overshootd.config.schema import json_schema
from overshootd.config.secret import Secret
from tests.unit.config.texts import GOOD, STREAM, Load

REAL = (
    "masks: [{x: 0, y: 0, width: 0.5, height: 0.5}], crop: {x: 0, y: 0.5, width: 1, height: 0.5}, rotate: 180, "
    "hflip: true, black_seconds: 0, frozen_seconds: 30, recovery: {reboot_after: 60}"
)

COMPLETE = {
    "v4l2": "{type: v4l2, device: x, width: 640, height: 360, fps: 7.5, format: mjpeg, controls: {brightness: 3, "
    f"a: true, power_line_frequency: 50 Hz}}, {REAL.replace('{reboot', '{usb_reset_after: 10, reboot')}}}",
    "picamera2": "{type: picamera2, camera: /base/i2c@1/imx219@10, width: 640, height: 360, fps: 5, tuning: a.json, "
    f"hardware_h264: false, controls: {{AeEnable: false, ColourGains: [1.5, 2]}}, {REAL}}}",
    "rtsp": f"{{type: rtsp, url: 'rtsp://cam/1', username: u, password: {{env: P}}, transport: udp, {REAL}}}",
    "command": "{type: command, argv: [ffmpeg, '-s', '{width}x{height}', '-r', '{fps}'], format: i420, width: 640,"
    f" height: 360, fps: 5, {REAL}}}",
    "argus": f"{{type: argus, sensor_id: 1, width: 1920, height: 1080, fps: 5, {REAL}}}",
    "test": "{type: test, masks: [{points: [[0, 0], [1, 0], [0.5, 1]]}]}",
}


@pytest.mark.parametrize("camera", COMPLETE.values(), ids=COMPLETE)
def test_a_camera_takes_all_its_keys(load_text: Load, camera: str) -> None:
    text = f"cameras: {{yard: {camera}}}\n{GOOD.replace('{type: test}', 'yard')}"
    loaded = load_text(text, {"P": "hunter2", "OVERSHOOT_API_KEY": "k"})
    assert loaded.problems == ()
    assert loaded.cameras["yard"].config == loaded.streams["s"].camera


@pytest.mark.parametrize("camera", COMPLETE.values(), ids=COMPLETE)
def test_editors_take_them_too(camera: str) -> None:
    jsonschema.Draft7Validator(json_schema()).validate(yaml.safe_load(f"cameras: {{yard: {camera}}}"))


V4L2, PI = "{type: v4l2, device: x, ", "{type: picamera2, "
RTSP, COMMAND = "{type: rtsp, url: 'rtsp://cam/1', ", "{type: command, format: h264, argv: [x], "
LINE = "points: [[0, 0], [0.5, 0.5], [1, 1]]"
CORNER = "expected a corner [x, y]: two numbers from 0 to 1, fractions of the picture's width and height"

MISTAKES = [
    ("{type: v4l3}", "v4l3 is no camera type; did you mean v4l2?"),
    ("{type: v4l2}", "missing: a name in /dev/v4l/by-id or by-path, the card's name, its USB serial number"),
    ("{type: v4l2, device: 0}", 'expected text; put it in quotes: "0"'),
    (V4L2 + "width: 640}", "a width without a height; give both, or neither"),
    (PI + "height: 480}", "a height without a width; give both, or neither"),
    (V4L2 + "format: h265}", "h265 is no format; did you mean h264?"),
    (V4L2 + "rotate: 90}", "90 is no rotate; use 0 or 180"),
    (V4L2 + "rotate: '180'}", "expected a number; leave the quotes away"),
    (V4L2 + "controls: {brightness: 1.5}}", "expected a whole number, true or false, or an entry of the menu as text"),
    (V4L2 + "controls: {brightness: }}", "expected a whole number, true or false, or an entry of the menu as text"),
    (V4L2 + "black_seconds: -1}", "-1 is too short; allowed is at least 0 seconds"),
    (V4L2 + "recovery: {usb_reset_after: 1}}", "1 is too small; allowed is at least 2"),
    (V4L2 + "recovery: {usb_reset_after: 20, reboot_after: 20}}", "reboots before the USB reset (after 20) is tried"),
    (V4L2 + "reboot_after: 20}", "unknown key here; did you mean recovery: {reboot_after: …}?"),
    (V4L2 + "loop: true}", "known here: type, device, width, height, fps, format, controls, masks, crop, rotate"),
    (PI + "recovery: {usb_reset_after: 5}}", "only a USB camera (v4l2) can be taken off its port, and this is pi"),
    (PI + "camera: 1.5}", "expected a number (0 is the first camera), or an id as text"),
    (PI + "camera: -1}", "expected a number (0 is the first camera), or an id as text"),
    (PI + "controls: {AfMode: {a: 1}}}", "expected a number, true or false, text, or a list of them"),
    (PI + "controls: {AfMode: .nan}}", "expected a number, true or false, text, or a list of them"),
    (PI + "tuning: /none/x.json}", "/none/x.json: no such file; a tuning file is a path, or a name that libcam"),
    ("{type: argus, sensor_id: 16}", "16 is too large; allowed is at least 0 and at most 15"),
    ("{type: command, format: h264}", "missing: the program and its arguments; no shell"),
    ("{type: command, format: h264, argv: ffmpeg -i x}", "expected a list (lines that begin with '- ')"),
    ("{type: command, format: h264, argv: []}", "is empty"),
    ("{type: command, format: h264, argv: ['']}", "is empty; the program comes first"),
    ("{type: command, format: h264, argv: [x, 5]}", 'expected text; put it in quotes: "5"'),
    ('{type: command, format: h264, argv: [x, "a\\0"]}', "no program takes an argument with a NUL character in it"),
    ("{type: command, format: h264, argv: [x, '{widht}']}", "{widht} is not filled in; did you mean {width}?"),
    ("{type: command, format: h264, argv: [/none/x]}", "/none/x: no such program"),
    ("{type: command, format: h264, argv: [/dev/null]}", "/dev/null: not a program, but a directory or a device"),
    ("{type: command, format: h264, argv: [/etc/passwd]}", "/etc/passwd may not be executed by this user"),
    ("{type: command, format: i420, argv: [x], width: 64}", "i420 is bare pixels, which do not say their size; give"),
    (COMMAND + "width: 640}", "a width without a height"),
    ("{type: file, path: 'rtsp://u:hunter2@cam/1'}", "a URL, where a file is expected; a camera on the network is"),
    ("{type: rtsp}", "missing: where it streams"),
    ("{type: rtsp, url: cam/1}", "expected a URL without blanks, such as rtsp://192.168.1.20:554/stream1"),
    ("{type: rtsp, url: 'rtsp://u:hunter2@cam/a b'}", "expected a URL without blanks"),
    ("{type: rtsp, url: 'rstp://cam/1'}", "rstp is no kind of URL that is read; did you mean rtsp?"),
    ("{type: rtsp, url: 'file:///film.mp4'}", "a file, where a network camera is expected; that is {type: file, path"),
    ("{type: rtsp, url: 'rtsp:///1'}", "names no host; expected one such as rtsp://192.168.1.20/stream1"),
    ("{type: rtsp, url: 'rtsp://u:hunter2@/1'}", "names no host"),
    ("{type: rtsp, url: 'rtsp://cam:0/1'}", "no usable URL; expected one such as rtsp://192.168.1.20:554/stream1"),
    ("{type: rtsp, url: 'rtsp://u:hunter2/@cam/1'}", "A password with / ? or # in it is written %2F, %3F or %23"),
    ("{type: rtsp, url: 'rtsp://[::1/1'}", "no usable URL"),
    ("{type: rtsp, url: 'rtsp://:hunter2@cam/1'}", "a password without a username; cameras ask for both"),
    ("{type: rtsp, url: 'rtsp://u:hunter2@cam/1', password: {env: P}}", "the url holds a password too; keep one of"),
    ("{type: rtsp, url: 'rtsp://u@cam/1', username: v}", "the url names a user too; keep one of the two"),
    (RTSP + "password: {env: P}}", "a password without a username; cameras ask for both"),
    (RTSP + "username: u, password: hunter2}", "no secret stands in this file; say where it is kept"),
    (RTSP + "username: u, password: {env: NONE}}", "the environment variable NONE is not set"),
    (RTSP + "username: u, password: {file: /none}}", "/none: no such file"),
    (RTSP + "transport: http}", "http is no transport; use tcp or udp"),
    (PI + "masks: {x: 0}}", "expected a list (lines that begin with '- ')"),
    (PI + "masks: [5]}", "expected a mapping (key: value)"),
    (PI + "masks: [{x: 0, y: 0, width: 2, height: 1}]}", "2 is too large; allowed is more than 0 and at most 1"),
    (PI + "masks: [{x: 0, y: 0, width: 1}]}", "missing: height, up to 1; what reaches past the picture's edge is cut"),
    (PI + "masks: [{points: [[0, 0], [1, 1]]}]}", "2 are too few; at least 3 corners are needed"),
    (PI + "masks: [{points: [[0, 0], [1], [1, 1]]}]}", CORNER),
    (PI + "masks: [{points: [[0, 0], [1, 2], [1, 1]]}]}", CORNER),
    (PI + "masks: [{points: [[0, 0], [1, true], [1, 1]]}]}", CORNER),
    (PI + f"masks: [{{points: [{'[0, 0], ' * 65}]}}]}}", "65 are too many; allowed are at most 64"),
    (PI + f"masks: [{{{LINE}}}]}}", "these corners enclose nothing, so nothing is hidden"),
    (PI + "crop: {x: 1, y: 0, width: 1, height: 1}}", "leaves 0 x 720 pixels of 1280 x 720"),
    (PI + "crop: {x: 0, y: 0, width: 0.01, height: 1}}", "leaves 12 x 720 pixels of 1280 x 720; at least 16 each way"),
    (PI + "width: 320, height: 200, crop: {x: 0, y: 0.95, width: 1, height: 1}}", "leaves 320 x 10 pixels of 320 x 20"),
]  # fmt: skip


@pytest.mark.parametrize(("camera", "said"), MISTAKES, ids=[camera for camera, _ in MISTAKES])
@pytest.mark.parametrize("named", [True, False], ids=["named", "inline"])
def test_one_mistake_is_told_once(load_text: Load, camera: str, said: str, named: bool) -> None:
    text = GOOD.replace("{type: test}", camera)
    if named:
        text = f"cameras:\n  yard: {camera}\n{GOOD.replace('{type: test}', 'yard')}"
    loaded = load_text(text, {"P": "hunter2", "OVERSHOOT_API_KEY": "k"})
    told = "\n".join(map(str, loaded.problems))
    assert said in told
    assert len(loaded.problems) == 1
    assert "hunter2" not in told
    assert (set(loaded.broken), set(loaded.cameras)) == ({"s"}, set())


PASSTHROUGH = [
    ("{type: rtsp, url: 'rtsp://cam/1'}", "codec: vp8", "codec names another"),
    ("{type: rtsp, url: 'rtsp://cam/1', rotate: 180}", "", "rotate must turn the picture first"),
    ("{type: rtsp, url: 'rtsp://cam/1', hflip: true}", "", "hflip must turn the picture first"),
    (
        "{type: rtsp, url: 'rtsp://cam/1', masks: [{x: 0, y: 0, width: 1, height: 1}]}",
        "",
        "masks must act before anybody",
    ),
    ("{type: rtsp, url: 'rtsp://cam/1', crop: {x: 0, y: 0, width: 1, height: 1}}", "", "crop must act before anybody"),
    ("{type: test}", "", "a camera of type test gives no H.264"),
    ("{type: v4l2, device: x, format: mjpeg}", "", "with format mjpeg the camera gives no H.264"),
    ("{type: picamera2, hardware_h264: false}", "", "with hardware_h264: false the camera gives no H.264"),
]


@pytest.mark.parametrize(("camera", "more", "said"), PASSTHROUGH)
def test_passing_on_always_contradicts_whatever_changes_the_picture(
    load_text: Load, camera: str, more: str, said: str
) -> None:
    text = GOOD.replace("{type: test}", camera) + f"    publish: {{passthrough: always, {more}}}\n"
    problems = load_text(text).problems
    assert [problem.key for problem in problems] == ["streams.s.publish.passthrough"]
    assert said in problems[0].message


@pytest.mark.parametrize(
    ("camera", "more"),
    [
        ("{type: rtsp, url: 'rtsp://cam/1', rotate: 0, hflip: false, masks: []}", "codec: h264"),
        ("{type: v4l2, device: x}", "codec: auto"),
        ("{type: picamera2, rotate: 180}", ""),
        ("{type: command, argv: [x], format: h264}", ""),
    ],
)
def test_passing_on_always_goes_with_what_leaves_the_picture_alone(load_text: Load, camera: str, more: str) -> None:
    text = GOOD.replace("{type: test}", camera) + f"    publish: {{passthrough: always, {more}}}\n"
    assert load_text(text).problems == ()


# -- masks and crop ----------------------------------------------------------------------------------------------------

SEEN = (
    "cameras: {yard: {type: test, masks: [{x: 0, y: 0, width: 0.1, height: 0.1}], crop: {x: 0, y: 0, width: 0.5, \
height: 1}}}\n"
    + GOOD.replace("{type: test}", "yard")
)


def test_a_stream_hides_what_either_hides_and_shows_what_both_show(load_text: Load) -> None:
    more = "    masks: [{points: [[0, 0], [1, 0], [0.5, 1]]}]\n    crop: {x: 0.25, y: 0.25, width: 0.5, height: 0.5}\n"
    loaded = load_text(SEEN + more)
    assert loaded.streams["s"].view == View(
        masks=(Rectangle(x=0, y=0, width=0.1, height=0.1), Polygon(points=((0, 0), (1, 0), (0.5, 1)))),
        crop=Rectangle(x=0.25, y=0.25, width=0.25, height=0.5),
    )


def test_masks_of_defaults_stay_when_a_stream_adds_its_own(load_text: Load) -> None:
    mask = "{x: 0, y: 0, width: 0.1, height: 0.1}"
    loaded = load_text(f"defaults: {{masks: [{mask}]}}\n{GOOD}    masks: [{mask}]\n")
    assert len(loaded.streams["s"].masks) == 2


def test_a_crop_of_a_stream_is_never_half_that_of_defaults(load_text: Load) -> None:
    text = f"defaults: {{crop: {{x: 0, y: 0, width: 1, height: 1}}}}\n{GOOD}    crop: {{x: 0.5}}\n"
    assert [problem.key for problem in load_text(text).problems] == [
        f"streams.s.crop.{k}" for k in ("y", "width", "height")
    ]


@pytest.mark.parametrize(
    ("crop", "said"),
    [
        ("{x: 0.5, y: 0, width: 0.5, height: 1}", "leaves nothing within the crop of the camera"),
        ("{x: 0.495, y: 0, width: 0.5, height: 1}", "leaves 6 x 720 pixels of 1280 x 720"),
    ],
)
def test_two_crops_must_leave_something(load_text: Load, crop: str, said: str) -> None:
    problems = load_text(f"{SEEN}    crop: {crop}\n").problems
    assert [problem.key for problem in problems] == ["streams.s.crop"]
    assert said in problems[0].message


UNIT = st.floats(0, 1)
RECTANGLES = st.builds(Rectangle, x=UNIT, y=UNIT, width=st.floats(0.01, 1), height=st.floats(0.01, 1))


@given(RECTANGLES, RECTANGLES, UNIT, UNIT)
def test_what_two_crops_show_lies_in_both(one: Rectangle, other: Rectangle, x: float, y: float) -> None:
    def shows(crop: Rectangle) -> bool:
        return crop.x < x < crop.x + crop.width and crop.y < y < crop.y + crop.height

    view = narrowed(View(crop=one), (), other)
    shown = view is not None and view.crop is not None and shows(view.crop)
    edges = [edge for r in (one, other) for edge in (r.x - x, r.x + r.width - x, r.y - y, r.y + r.height - y)]
    if min(map(abs, edges)) > 1e-9:
        assert shown == (shows(one) and shows(other) and x < 1 and y < 1)


def test_what_encloses_nothing_is_told_from_what_does() -> None:
    bow_tie = [(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]
    there_and_back = [(0.0, 0.0), (1.0, 0.5), (0.5, 1.0), (1.0, 0.5)]
    assert has_area(bow_tie)
    assert not has_area(there_and_back)
    assert not has_area([(0.2, 0.2)] * 3)
    assert not has_area([(0.0, 0.3), (0.5, 0.3), (1.0, 0.3)])


@given(st.lists(st.tuples(UNIT, UNIT), min_size=3, max_size=3))
def test_a_triangle_encloses_something_when_its_area_says_so(corners: list[tuple[float, float]]) -> None:
    (x1, y1), (x2, y2), (x3, y3) = corners
    area = abs((x2 - x1) * (y3 - y1) - (x3 - x1) * (y2 - y1)) / 2
    if area > 1e-6:
        assert has_area(corners)
    elif area == 0:
        assert not has_area(corners)


# -- paths -------------------------------------------------------------------------------------------------------------


def test_a_program_with_a_slash_and_a_tuning_file_start_where_their_file_is(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "camera").touch(0o755)
    (tmp_path / "my.json").touch()
    command = "{type: command, format: h264, argv: [bin/camera, data/x]}"
    loaded = load_text(f"cameras: {{a: {command}, b: {{type: picamera2, tuning: ./my.json}}}}\n")
    assert loaded.problems == ()
    a, b = loaded.cameras["a"].config, loaded.cameras["b"].config
    assert a.type == "command" and a.argv == (f"{tmp_path}/bin/camera", "data/x")
    assert b.type == "picamera2" and b.tuning == f"{tmp_path}/my.json"


def test_a_program_of_defaults_is_replaced_as_a_whole(load_text: Load) -> None:
    camera = "{type: command, format: h264, argv: [%s]}"
    loaded = load_text(f"defaults: {{camera: {camera % 'a, b'}}}\n{GOOD.replace('{type: test}', camera % 'c')}")
    config = loaded.streams["s"].camera
    assert config.type == "command" and config.argv == ("c",)


# -- which cameras there are -------------------------------------------------------------------------------------------


def test_cameras_are_given_by_name_used_or_not_but_only_sound_ones(load_text: Load) -> None:
    loaded = load_text("cameras: {a: {type: test, fps: 5}, b: {type: test, fps: 0}, 'c d': {type: test}}\n")
    assert loaded.cameras == {"a": NamedCamera(TestCamera(type="test", fps=5.0))}


def test_a_camera_with_a_double_key_is_none_lest_its_masks_are_lost(load_text: Load) -> None:
    loaded = load_text("cameras: {a: {type: v4l2, device: x, masks: [], masks: [{x: 0, y: 0, width: 1, height: 1}]}}\n")
    assert (len(loaded.problems), loaded.cameras) == (1, {})


def test_a_camera_is_whole_without_a_key_for_the_api(load_text: Load, tmp_path: Path) -> None:
    from overshootd.config.load import load

    text = f"cameras: {{a: {{type: v4l2, device: x}}}}\n{GOOD}  t:\n{STREAM}    api: {{key: {{env: NONE}}}}\n"
    assert set(load_text(text, {}).broken) == {"s", "t"}
    loaded = load(tmp_path / "overshootd.yaml", {}, api_keys=False)
    assert (set(loaded.streams), set(loaded.broken)) == ({"s", "t"}, set())
    assert loaded.cameras["a"].config == V4l2Camera(type="v4l2", device="x")


# -- passwords ---------------------------------------------------------------------------------------------------------


def rtsp(load_text: Load, **keys: object) -> NamedCamera:
    text = yaml.safe_dump({"cameras": {"a": {"type": "rtsp", **keys}}})
    loaded = load_text(text, {"P": "p\u00e4ss wort"})
    assert loaded.problems == ()
    return loaded.cameras["a"]


@pytest.mark.parametrize(
    ("keys", "url", "username", "password"),
    [
        ({"url": "rtsp://u:p%40ss:w@cam:554/1?a=b"}, "rtsp://cam:554/1?a=b", "u", "p@ss:w"),
        ({"url": "rtsp://u:p@ss@cam/1"}, "rtsp://cam/1", "u", "p@ss"),
        ({"url": "rtsp://u%40x@cam/1"}, "rtsp://cam/1", "u@x", None),
        ({"url": "rtsp://u@cam/1", "password": {"env": "P"}}, "rtsp://cam/1", "u", "p\u00e4ss wort"),
        ({"url": "rtsp://u@cam/1", "username": "u"}, "rtsp://cam/1", "u", None),
        ({"url": "rtsp://cam/@1", "username": "u"}, "rtsp://cam/@1", "u", None),
        ({"url": "rtsp://u:hunter2@[fe80::1]:8554/1"}, "rtsp://[fe80::1]:8554/1", "u", "hunter2"),
        ({"url": "udp://@239.0.0.1:5000"}, "udp://@239.0.0.1:5000", None, None),
    ],
)
def test_a_login_is_taken_out_of_the_url(
    load_text: Load, keys: dict[str, object], url: str, username: str | None, password: str | None
) -> None:
    camera = rtsp(load_text, **keys)
    assert camera.config.type == "rtsp"
    assert (camera.config.url, camera.config.username) == (url, username)
    assert camera.password == (Secret(password) if password else None)


def test_a_stream_has_the_password_of_its_camera(load_text: Load) -> None:
    camera = "{type: rtsp, url: 'rtsp://u:hunter2@cam/1'}"
    named = f"cameras: {{a: {camera}}}\n{GOOD.replace('{type: test}', 'a')}"
    for text in (named, GOOD.replace("{type: test}", camera)):
        assert load_text(text).streams["s"].camera_password == Secret("hunter2")


MASKED = [
    ("{type: rtsp, url: 'rtsp://u:h%75nter2@cam/1'}", {"hunter2", "h%75nter2"}),
    ("{type: rtsp, url: 'rtsp://cam/1', username: u, password: {env: P}}", {"hunter two"}),
    ("{type: rtsp, url: 'rtsp://cam/user=admin_password=hunter2_channel=1'}", {"hunter2"}),
    ("{type: rtsp, url: 'http://cam/video?user=admin&pwd=hunter2&x=1'}", {"hunter2"}),
    ("{type: command, format: h264, argv: [ffmpeg, -i, 'rtsp://u:hunter2@cam/1']}", {"hunter2"}),
]


@pytest.mark.parametrize(("camera", "secrets"), MASKED)
@pytest.mark.parametrize("named", [True, False], ids=["named", "inline"])
def test_whatever_is_a_password_is_masked(load_text: Load, camera: str, secrets: set[str], named: bool) -> None:
    text = f"cameras: {{a: {camera}}}\n" if named else GOOD.replace("{type: test}", camera)
    loaded = load_text(text, {"P": "hunter two", "OVERSHOOT_API_KEY": "k"})
    assert loaded.problems == ()
    assert {Secret(value) for value in secrets} <= set(loaded.secrets)


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("{type: test}", "'rtsp://u:hunter2@cam/1'"),
        GOOD.replace("{type: test}", "{type: 'rtsp://u:hunter2@cam/1'}"),
        GOOD.replace("{type: test}", "{'rtsp://u:hunter2@cam/1': 1}"),
        GOOD.replace("{type: test}", "{type: rtsp, url: 'rstp://u:hunter2@cam/1'}"),
        GOOD.replace("{type: test}", "{type: rtsp, url: 'rtsp://u:hunter2@cam/1', fps: 'rtsp://u:hunter2@cam/1'}"),
        GOOD + "    transport: 'rtsp://u:hunter2@cam/1'\n",
        GOOD + "    sinks: [{type: file, path: 'rtsp://u:hunter2@cam/1/{steam}'}]\n",
        GOOD + "    sinks: [&x {type: file, path: 'rtsp://u:hunter2@cam/1'}, *x]\n",
        "cameras: {'rtsp://u:hunter2@cam/1': {type: test}}\n",
        "'rtsp://u:hunter2@cam/1': 1\n",
    ],
)
def test_a_url_in_the_wrong_place_is_told_without_its_password(load_text: Load, text: str) -> None:
    loaded = load_text(text)
    assert loaded.problems
    assert "hunter2" not in repr(loaded)
    assert "hunter2" not in "\n".join(map(str, loaded.problems))
