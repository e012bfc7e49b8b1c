"""The format that costs least is chosen, and what the configuration says wins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from overshootd.capture.v4l2.negotiate import KINDS, negotiate
from overshootd.capture.v4l2.offers import Offer
from overshootd.config.cameras import V4l2Camera
from overshootd.contracts import CaptureNeed
from overshootd.errors import Permanent

WEBCAM = [
    Offer(fourcc, *size, rates)
    for fourcc in ("MJPG", "YUYV")
    for size, rates in {
        (320, 240): (5.0, 15.0, 30.0),
        (640, 480): (5.0, 15.0, 30.0),
        (1280, 720): (5.0, 10.0, 30.0),
    }.items()
]
ENCODING = [Offer("H264", 1280, 720, (5.0, 15.0, 30.0)), *WEBCAM]

offers = st.builds(
    Offer,
    st.sampled_from([*KINDS, "S264", "BA81"]),
    st.integers(1, 400).map(lambda n: 16 * n),
    st.integers(1, 300).map(lambda n: 16 * n),
    st.lists(st.sampled_from([1.0, 5.0, 7.5, 15.0, 30.0, 60.0]), unique=True, max_size=4).map(
        lambda r: tuple(sorted(r))
    ),
)
needs = st.builds(
    CaptureNeed, st.sampled_from([0.5, 1.0, 6.0, 30.0]), st.integers(8, 960).map(lambda n: 2 * n),
    st.integers(8, 540).map(lambda n: 2 * n),
)  # fmt: skip


def config(**wanted: Any) -> V4l2Camera:
    return V4l2Camera(type="v4l2", device="any", **wanted)


def chosen(offered: list[Offer], need: CaptureNeed, **wanted: Any) -> tuple[str, int, int, float]:
    choice = negotiate(offered, need, config(**wanted))
    return choice.fourcc, choice.width, choice.height, choice.fps


@pytest.mark.parametrize(
    ("fps", "size", "expected"),
    [
        (1.0, (1280, 720), ("MJPG", 1280, 720, 5.0)),
        (30.0, (1280, 720), ("MJPG", 1280, 720, 30.0)),
        (5.0, (1280, 720), ("YUYV", 1280, 720, 5.0)),
        (15.0, (320, 240), ("YUYV", 320, 240, 15.0)),
        (0.5, (320, 240), ("MJPG", 320, 240, 5.0)),
        (6.0, (600, 400), ("YUYV", 640, 480, 15.0)),
    ],
    ids=["seldom", "often", "all that it sends", "small", "small and seldom", "between sizes"],
)
def test_a_webcam_gives_raw_pictures_where_most_are_published_and_there_is_room_on_the_bus(
    fps: float, size: tuple[int, int], expected: tuple[str, int, int, float]
) -> None:
    assert chosen(WEBCAM, CaptureNeed(fps, *size)) == expected


def test_h264_is_taken_where_it_can_be_passed_on() -> None:
    assert chosen(ENCODING, CaptureNeed(15.0, 1280, 720)) == ("H264", 1280, 720, 15.0)
    assert chosen(ENCODING, CaptureNeed(2.5, 1280, 720)) == ("H264", 1280, 720, 5.0)


def test_h264_is_taken_for_its_keyframes_alone_where_their_distance_can_be_set() -> None:
    choice = negotiate(ENCODING, CaptureNeed(0.5, 1280, 720), config(), keyframes=True)
    assert choice.fourcc == "H264"


def test_h264_that_would_be_decoded_gives_way_to_what_costs_less() -> None:
    assert chosen(ENCODING, CaptureNeed(0.5, 1280, 720))[0] == "MJPG"
    assert negotiate(ENCODING, CaptureNeed(5.0, 1280, 720), config(), pixels=True).fourcc == "YUYV"


def test_29_97_frames_are_30() -> None:
    ntsc = [Offer("MJPG", 640, 480, (15.0, 30000 / 1001, 60.0))]
    assert chosen(ntsc, CaptureNeed(30.0, 640, 480))[3] == 30000 / 1001


def test_the_same_shape_is_worth_some_pixels_but_not_any_number() -> None:
    full_hd, ultra_hd = Offer("MJPG", 1920, 1080, (5.0,)), Offer("MJPG", 3840, 2160, (5.0,))
    other = Offer("MJPG", 1280, 960, (5.0,))
    assert chosen([other, full_hd], CaptureNeed(1.0, 1280, 720))[1:3] == (1920, 1080)
    assert chosen([other, ultra_hd], CaptureNeed(1.0, 1280, 720))[1:3] == (1280, 960)


def test_where_nothing_is_large_enough_the_largest_is_taken_though_it_is_slower() -> None:
    small = [Offer("YUYV", 640, 480, (30.0,)), Offer("YUYV", 1024, 768, (5.0,))]
    assert chosen(small, CaptureNeed(30.0, 1280, 720)) == ("YUYV", 1024, 768, 5.0)


def test_colours_are_not_given_up_for_speed() -> None:
    assert (
        chosen([Offer("GREY", 1280, 720, (30.0,)), Offer("YUYV", 640, 480, (5.0,))], CaptureNeed(9.0, 1280, 720))[0]
        == "YUYV"
    )


def test_a_driver_that_lists_no_rates_is_asked_for_the_one_that_is_needed() -> None:
    assert chosen([Offer("NV12", 640, 480, ())], CaptureNeed(2.0, 640, 480)) == ("NV12", 640, 480, 2.0)
    assert chosen([Offer("NV12", 640, 480, ())], CaptureNeed(2.0, 640, 480), fps=10.0)[3] == 10.0


@given(st.lists(offers, min_size=1, max_size=12), needs)
def test_what_is_chosen_is_offered_and_enough_whenever_something_is(offered: list[Offer], need: CaptureNeed) -> None:
    known = [offer for offer in offered if offer.fourcc in KINDS and offer.fourcc != "GREY"]
    assume(known)
    choice = negotiate(offered, need, config())
    given_by = [o for o in known if (o.fourcc, o.width, o.height) == (choice.fourcc, choice.width, choice.height)]
    assert any(choice.fps in offer.rates or not offer.rates for offer in given_by)
    offer = given_by[0]
    enough = [o for o in known if o.width >= need.width and o.height >= need.height]
    if enough:
        assert offer in enough
    else:
        assert not any(o.width > offer.width and o.height > offer.height for o in known)
    if any(not o.rates or max(o.rates) * 1.01 >= need.fps for o in enough):
        assert choice.fps * 1.01 >= need.fps


@given(st.lists(offers, min_size=1, max_size=12), needs)
def test_no_smaller_size_and_no_lower_rate_of_the_same_format_would_have_been_enough(
    offered: list[Offer], need: CaptureNeed
) -> None:
    assume(any(offer.fourcc in KINDS for offer in offered))
    choice = negotiate(offered, need, config(), pixels=True)
    assume(choice.width >= need.width and choice.height >= need.height and choice.fps >= need.fps)
    for offer in offered:
        smaller = need.width <= offer.width < choice.width and need.height <= offer.height < choice.height
        same_shape = offer.width * choice.height == offer.height * choice.width
        if offer.fourcc == choice.fourcc and smaller and same_shape:
            assert choice.fps not in offer.rates, "that size was enough"
        if (offer.fourcc, offer.width, offer.height) == (choice.fourcc, choice.width, choice.height):
            assert not any(need.fps <= rate < choice.fps for rate in offer.rates), "that rate was enough"


@given(st.lists(offers, max_size=12), needs)
@example([Offer("H264", 16, 32, ()), Offer("H264", 32, 16, ())], CaptureNeed(0.5, 16, 16))
def test_the_order_of_the_offers_does_not_matter(offered: list[Offer], need: CaptureNeed) -> None:
    def decided(these: list[Offer]) -> object:
        try:
            return negotiate(these, need, config())
        except Permanent:
            return "nothing"

    assert decided(offered) == decided(offered[::-1])


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"format": "raw"}, ("YUYV", 1280, 720, 5.0)),
        ({"width": 640}, ("MJPG", 640, 480, 5.0)),
        ({"width": 320, "height": 240, "fps": 30.0}, ("YUYV", 320, 240, 30.0)),
        ({"fps": 10.0, "format": "mjpeg"}, ("MJPG", 1280, 720, 10.0)),
    ],
)
def test_what_the_configuration_says_wins(wanted: dict[str, Any], expected: tuple[str, int, int, float]) -> None:
    fps = 30.0 if wanted.get("fps") == 30.0 else 1.0
    assert chosen(WEBCAM, CaptureNeed(fps, 1280, 720), **wanted) == expected


@pytest.mark.parametrize(
    ("offered", "wanted", "message"),
    [
        (WEBCAM, {"format": "h264"}, "it offers no h264, but MJPG and YUYV"),
        (WEBCAM, {"width": 1000}, "it offers no width of 1000, but 320x240, 640x480 and 1280x720"),
        (
            WEBCAM,
            {"width": 640, "height": 360, "format": "raw"},
            "it offers no 640x360 as raw, but 320x240, 640x480 and ",
        ),
        (WEBCAM, {"width": 1280, "fps": 25.0}, "it offers no 25 fps at 1280x720, but 5, 10 and 30"),
        ([Offer("BA81", 640, 480, ())], {}, "it offers only BA81, which is not read here; H264, MJPG, .* are"),
    ],
    ids=["format", "width", "size", "rate", "nothing readable"],
)
def test_what_cannot_be_had_is_refused_with_what_the_camera_offers_instead(
    offered: list[Offer], wanted: dict[str, Any], message: str
) -> None:
    with pytest.raises(Permanent, match=message):
        negotiate(offered, CaptureNeed(1.0, 1280, 720), config(**wanted))
