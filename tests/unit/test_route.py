"""Which way a camera's H.264 takes: what must be seen to comes first, then the cheapest way that is enough."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import CapturingLogger

from overshootd.config.model import PublishConfig
from overshootd.contracts import CaptureFormat
from overshootd.route import NARROW_SECONDS, Kind, Route, Routes, route

HD = CaptureFormat(30.0, 1280, 720, encoded=True)
SLOW = replace(HD, fps=6.0)
AUTO = PublishConfig()
ALWAYS, NEVER = PublishConfig(passthrough="always"), PublishConfig(passthrough="never")


@pytest.mark.parametrize(
    ("camera", "fps", "publish", "kind", "why"),
    [
        (CaptureFormat(30.0, 1280, 720), 1.0, AUTO, Kind.PICTURES, ""),
        (SLOW, 4.0, AUTO, Kind.UNITS, "untouched: 6 fps are at most twice the 4 fps"),
        (SLOW, 3.0, AUTO, Kind.UNITS, "at most twice"),
        (replace(HD, fps=29.97), 14.985, AUTO, Kind.UNITS, "at most twice"),
        (SLOW, 2.9, AUTO, Kind.PICTURES, "6 fps are more than twice the 2.9 fps"),
        (HD, 0.5, AUTO, Kind.PICTURES, "more than twice"),
        (replace(HD, keyframe_seconds=2.0), 0.5, AUTO, Kind.KEYFRAMES, "one every 2 s is enough for the 0.5 fps"),
        (replace(HD, keyframe_seconds=2.002), 0.5, AUTO, Kind.KEYFRAMES, "keyframes"),
        (replace(HD, keyframe_seconds=2.2), 0.5, AUTO, Kind.PICTURES, "more than twice"),
        (replace(HD, keyframe_seconds=10.0), 0.5, AUTO, Kind.PICTURES, "more than twice"),
        (replace(HD, fps=1.0, keyframe_seconds=1.0), 1.0, AUTO, Kind.KEYFRAMES, "keyframes"),
        (replace(SLOW, keyframe_seconds=2.0), 4.0, AUTO, Kind.UNITS, "at most twice"),
        (replace(HD, keyframe_seconds=1.0), 1.0, ALWAYS, Kind.UNITS, "publish.passthrough is always"),
        (HD, 0.5, ALWAYS, Kind.UNITS, "publish.passthrough is always"),
        (SLOW, 4.0, NEVER, Kind.PICTURES, "publish.passthrough is never"),
        (SLOW, 4.0, PublishConfig(codec="vp9"), Kind.PICTURES, "publish.codec is vp9"),
        (SLOW, 4.0, PublishConfig(codec="h264"), Kind.UNITS, "at most twice"),
        (SLOW, 4.0, PublishConfig(size=(640, 360)), Kind.PICTURES, "publish.size is 640x360, the camera's 1280x720"),
        (SLOW, 4.0, PublishConfig(size=(1280, 720)), Kind.UNITS, "at most twice"),
    ],
)  # fmt: skip
def test_the_way_and_why(camera: CaptureFormat, fps: float, publish: PublishConfig, kind: Kind, why: str) -> None:
    found = route(camera, fps, publish, hides=False)
    assert found.kind is kind
    assert why in found.why


def test_a_camera_that_gives_no_h264_cannot_be_passed_on_and_the_log_says_what_it_gives() -> None:
    raw = CaptureFormat(30.0, 1280, 720, what="MJPEG, decoded where it is published")
    found = route(raw, 4.0, ALWAYS, hides=False)
    assert found == Route(
        Kind.PICTURES, "nothing can be passed on: the camera gives MJPEG, decoded where it is published"
    )


def test_a_path_that_took_less_is_not_given_it_again_unless_the_user_says_so() -> None:
    for camera in (SLOW, replace(HD, keyframe_seconds=0.1)):
        found = route(camera, 4.0, AUTO, hides=False, narrow=True)
        assert found.kind is Kind.PICTURES
        assert "the path to the room took less" in found.why
    assert route(SLOW, 4.0, ALWAYS, hides=False, narrow=True).kind is Kind.UNITS


RATES = st.floats(0.1, 60.0)
CAMERAS = st.builds(
    CaptureFormat,
    fps=RATES,
    width=st.sampled_from([640, 1280, 1920]),
    height=st.sampled_from([360, 720, 1080]),
    encoded=st.booleans(),
    keyframe_seconds=st.none() | st.floats(0.02, 60.0),
)
PUBLISH = st.builds(
    PublishConfig,
    codec=st.sampled_from([None, "vp8", "h264"]),
    size=st.sampled_from([None, (640, 360), (1280, 720)]),
    passthrough=st.sampled_from([None, "always", "never"]),
)


@given(CAMERAS, RATES, PUBLISH, st.booleans())
def test_what_is_hidden_is_never_passed_on(camera: CaptureFormat, fps: float, publish: PublishConfig, n: bool) -> None:
    assert route(camera, fps, publish, hides=True, narrow=n).kind is Kind.PICTURES


@given(CAMERAS, RATES, PUBLISH, st.booleans(), st.booleans())
def test_every_choice_has_a_reason(
    camera: CaptureFormat, fps: float, publish: PublishConfig, hides: bool, narrow: bool
) -> None:
    found = route(camera, fps, publish, hides=hides, narrow=narrow)
    assert bool(found.why) == (camera.encoded or publish.passthrough == "always")
    assert camera.encoded or found.kind is Kind.PICTURES


@given(CAMERAS, RATES)
def test_left_alone_keyframes_are_taken_wherever_they_are_enough_and_else_all_only_if_few(
    camera: CaptureFormat, fps: float
) -> None:
    """So nothing dearer is taken than must be: keyframes cost least, and all of a fast camera most."""
    kind = route(camera, fps, AUTO, hides=False).kind
    if kind is Kind.KEYFRAMES:
        assert camera.keyframe_seconds is not None
        assert camera.keyframe_seconds <= 1.06 / fps
    elif camera.encoded and camera.keyframe_seconds is not None:
        assert camera.keyframe_seconds > 1 / fps
    if kind is Kind.UNITS:
        assert camera.fps <= 2.03 * fps


def test_the_reason_is_logged_when_it_is_another_than_before() -> None:
    log = CapturingLogger()
    routes = Routes(log)
    assert [routes.choose(SLOW, 4.0, AUTO, hides=False) for _ in range(3)] == [Kind.UNITS] * 3
    assert len(log.calls) == 1
    routes.choose(HD, 4.0, AUTO, hides=False)
    routes.choose(SLOW, 4.0, AUTO, hides=False)
    assert len(log.calls) == 3


def test_congestion_is_remembered_for_an_hour() -> None:
    now = 0.0
    routes = Routes(CapturingLogger(), clock=lambda: now)
    routes.remember_congestion()
    now = NARROW_SECONDS - 1
    assert routes.choose(SLOW, 4.0, AUTO, hides=False) is Kind.PICTURES
    now = NARROW_SECONDS + 1
    assert routes.choose(SLOW, 4.0, AUTO, hides=False) is Kind.UNITS
