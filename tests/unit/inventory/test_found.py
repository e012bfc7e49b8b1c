"""What is found is folded for people, whole for programs, and ready to paste."""

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from overshootd.capture.v4l2.offers import Offer
from overshootd.config.load import load
from overshootd.inventory.found import FoundCamera, Inventory, folded, named, yaml_lines
from overshootd.inventory.show import json, text

SIZES = st.sampled_from([(640, 480), (1280, 720), (1920, 1080)])
OFFERS = st.lists(
    st.builds(
        lambda fourcc, size, rates: Offer(fourcc, size[0], size[1], tuple(sorted(rates))),
        st.sampled_from(["MJPG", "YUYV", "H264"]),
        SIZES,
        st.sets(st.sampled_from([5.0, 7.5, 15.0, 30.0])),
    ),
    max_size=8,
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.sampled_from(
    ["null", "True", "~", "1", "1:30", "- a", "a: b", "#", "&a", "*a", "{", "pci-0000:01:00.0-usb-0:1:1.0-video-index0"]
)
CAMERAS = st.lists(
    st.builds(FoundCamera, st.sampled_from(["v4l2", "picamera2"]), TEXTS.filter(str.strip), TEXTS)
    | st.builds(FoundCamera, st.just("argus"), st.integers(0, 15), TEXTS),
    max_size=4,
)


@settings(deadline=None)  # it meets the disk
@given(CAMERAS)
def test_the_lines_to_paste_are_a_configuration_that_means_these_cameras(cameras: list[FoundCamera]) -> None:
    names = named(cameras)
    assert list(names.values()) == cameras
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_text(yaml_lines(names), encoding="utf-8")
        loaded = load(path, {})
    assert loaded.problems == ()
    meant = {name: {"type": camera.type, **camera.config} for name, camera in names.items()}
    got = {
        name: {key: getattr(loaded.cameras[name].config, key) for key in wanted}
        for name, wanted in meant.items()
        if name in loaded.cameras
    }
    assert got == meant


def test_cameras_of_one_title_get_names_of_their_own() -> None:
    cameras = [FoundCamera("v4l2", name, title) for name, title in [("a", "C920"), ("b", "C920"), ("c", "C920 2")]]
    assert list(named(cameras)) == ["c920", "c920-2", "c920-2-2"]


def test_sizes_of_the_same_rates_and_formats_of_the_same_sizes_are_folded() -> None:
    sizes = [(640, 480, (15.0, 30.0)), (1920, 1080, (5.0,)), (1280, 720, (15.0, 30.0))]
    offers = [Offer(fourcc, *size) for fourcc in ("MJPG", "YUYV") for size in sizes]
    assert folded([*offers, Offer("H264", 640, 360, (7.5, 30000 / 1001))]) == [
        ("MJPG, YUYV", "1920x1080 at 5 fps; 1280x720, 640x480 at 30, 15 fps"),
        ("H264", "640x360 at 29.97, 7.5 fps"),
    ]


@given(OFFERS)
def test_nothing_that_is_offered_is_lost_in_folding(offers: list[Offer]) -> None:
    unfolded = {
        (fourcc, size, rates)
        for fourccs, sizes in folded(offers)
        for fourcc in fourccs.split(", ")
        for part in sizes.split("; ")
        for size in part.partition(" at ")[0].split(", ")
        for rates in [part.partition(" at ")[2]]
    }
    assert {(fourcc, size) for fourcc, size, _ in unfolded} == {(o.fourcc, f"{o.width}x{o.height}") for o in offers}
    assert len(unfolded) == len(set(offers))


C920 = FoundCamera(
    "v4l2", "usb-046d_C920-video-index0", "HD Pro Webcam C920", "usb-0000:01:00.0-1.2", "uvcvideo",
    ("/dev/video0", "pci-0000:01:00.0-usb-0:1.2:1.0-video-index0"), "8B2F3A6F",
    (Offer("MJPG", 1280, 720, (5.0, 15.0, 30.0)),), ("ffmpeg (pid 812)",),
)  # fmt: skip
SENSOR = FoundCamera("argus", 1, "vi-output, imx219 10-0010", "platform:vi:1", "tegra-video", trouble="it sleeps")


def test_a_person_reads_what_a_camera_is_offers_and_who_uses_it_and_then_what_to_paste() -> None:
    assert (
        text(Inventory((C920, SENSOR), ("join the club",)))
        == """\
HD Pro Webcam C920 (v4l2, uvcvideo, usb-0000:01:00.0-1.2)
  name: usb-046d_C920-video-index0
  also: /dev/video0, pci-0000:01:00.0-usb-0:1.2:1.0-video-index0, serial 8B2F3A6F
  MJPG: 1280x720 at 30, 15, 5 fps
  used by: ffmpeg (pid 812)

vi-output, imx219 10-0010 (argus, tegra-video, platform:vi:1)
  name: 1
  trouble: it sleeps

To paste into overshootd.yaml:

cameras:
  hd-pro-webcam-c920:
    type: v4l2
    device: usb-046d_C920-video-index0
  vi-output-imx219-10-0010:
    type: argus
    sensor_id: 1

- join the club
"""
    )


def test_formats_that_are_not_read_are_named_without_their_sizes() -> None:
    bayer = [Offer(f"BY{n}", 640, 480, (5.0,)) for n in range(30)]
    shown = text(Inventory((replace(C920, offers=(*bayer, *C920.offers)),)))
    assert "\n  MJPG: 1280x720 at 30, 15, 5 fps\n  not read here: BY0, BY1, BY2," in shown
    assert all(len(line) <= 110 for line in shown.split("\n"))


def test_a_program_reads_every_camera_as_one_object() -> None:
    import json as plain_json

    (camera,) = plain_json.loads(json(Inventory((C920,))))["cameras"]
    assert camera == {
        "name": "hd-pro-webcam-c920",
        "type": "v4l2",
        "device": "usb-046d_C920-video-index0",
        "title": "HD Pro Webcam C920",
        "bus": "usb-0000:01:00.0-1.2",
        "driver": "uvcvideo",
        "serial": "8B2F3A6F",
        "also": ["/dev/video0", "pci-0000:01:00.0-usb-0:1.2:1.0-video-index0"],
        "formats": [{"format": "MJPG", "width": 1280, "height": 720, "fps": [5.0, 15.0, 30.0]}],
        "users": ["ffmpeg (pid 812)"],
        "trouble": None,
        "config": {"type": "v4l2", "device": "usb-046d_C920-video-index0"},
        "yaml": "cameras:\n  hd-pro-webcam-c920:\n    type: v4l2\n    device: usb-046d_C920-video-index0\n",
    }


@given(CAMERAS)
def test_no_firmware_moves_the_cursor(cameras: list[FoundCamera]) -> None:
    shown = text(Inventory(tuple(cameras)))
    assert all(line.isprintable() for line in shown.split("\n"))
