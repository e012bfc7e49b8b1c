"""Publish what inference looks at (design decision 1): how often, how large, with how many bits. Pure."""

from __future__ import annotations

import math

from overshootd.config.model import ClipProcessing, FrameProcessing, PublishConfig
from overshootd.contracts import CaptureFormat, CaptureNeed, PublishPlan
from overshootd.route import Kind

PER_SAMPLE = 2.0
"""Frames published for each that the server samples, in frame and in clip mode.

The server samples by its own clock. At one frame a sample the two clocks slide past each other, and whenever a sample
falls near an arrival, jitter makes it see one frame twice and miss the next. At two, a frame may be late by half a
sampling interval before that happens, and successive samples are whole intervals apart: at 1.5 they would alternate.
"""

MIN_FPS = 0.5
"""Below, a lost frame leaves the server with nothing for seconds, and the bandwidth estimate starves."""

MAX_FPS = 30.0
"""Most that is published unless told: the API samples no faster (v0.2.yaml, ClipProcessing.target_fps)."""

BOX = (1280, 720)
"""Pixels, long side and short side. The server works on 720p at most (api/README.md)."""

MIN_BITRATE = 30_000
"""Bits per second: libwebrtc's kDefaultMinVideoBitrateBps, below which its encoders are not driven."""

AV1_SHARE = 0.5
"""Of VP8's bits, for at least its SSIM: 0.954 at 42 kbit/s against 0.953 at 105 (a street, 720p, 1 fps), 0.941 at 25
against 0.928 at 50 (768x576). It costs about 1.6 times the CPU at 720p."""

OUTSIDE_SHARE = 2.0
"""Of VP8's bits, for encoders in cameras and boards, which have less time for each picture. x264's superfast preset
stands for them, baseline profile and a keyframe every 2 s: SSIM 0.958 at 600 kbit/s, VP8's at 300 (a street, 768x576,
10 fps)."""

CODEC = "vp8"
"""What every WebRTC receiver must take (RFC 7742), and the cheapest of libwebrtc's software encoders."""


def period(processing: FrameProcessing | ClipProcessing) -> float:
    """Seconds from one result to the next, at most."""
    if isinstance(processing, ClipProcessing):
        return processing.clip_length_seconds + processing.delay_seconds
    return processing.interval_seconds


def results_due(processing: FrameProcessing | ClipProcessing, seconds: float) -> int:
    """How many results a stream of that age was asked for. The first frame is looked at when it comes, a clip when it
    is whole."""
    first = processing.clip_length_seconds if isinstance(processing, ClipProcessing) else 0.0
    return max(math.floor((seconds - first) / period(processing)) + 1, 0)


def need(processing: FrameProcessing | ClipProcessing, publish: PublishConfig) -> CaptureNeed:
    """What to ask of a camera before its format is known."""
    return CaptureNeed(rate(processing, publish), *(publish.size or BOX))


def plan(
    processing: FrameProcessing | ClipProcessing,
    publish: PublishConfig,
    camera: CaptureFormat,
    kind: Kind = Kind.PICTURES,
    *,
    hardware: bool = False,
) -> PublishPlan:
    """What to publish of this camera. What `publish` says wins, save that no camera gives more frames than it has.

    `kind`: what is handed over. `hardware`: there is an encoder besides the library's, for H.264.
    """
    fps = min(rate(processing, publish), camera.fps)
    if kind is not Kind.PICTURES:
        return _passed_on(camera, publish, camera.fps if kind is Kind.UNITS else fps)
    width, height = publish.size or fit(camera.width, camera.height)
    codec = publish.codec or ("h264" if hardware else CODEC)
    share = OUTSIDE_SHARE if hardware and codec == "h264" else 1.0
    bitrate = round(share * auto_bitrate(fps, width, height, codec))
    return PublishPlan(fps, width, height, _max_bitrate(publish, bitrate), codec)


def _passed_on(camera: CaptureFormat, publish: PublishConfig, fps: float) -> PublishPlan:
    # All that the camera encodes counts, also where only keyframes of it are sent: its encoder is told this.
    bitrate = round(OUTSIDE_SHARE * auto_bitrate(camera.fps, camera.width, camera.height, "h264"))
    return PublishPlan(
        fps,
        camera.width,
        camera.height,
        _max_bitrate(publish, bitrate),
        "h264",
        encoded=True,
        replaceable=publish.passthrough is None,
    )


def _max_bitrate(publish: PublishConfig, auto: int) -> int:
    return publish.max_kbps * 1000 if publish.max_kbps else auto


def rate(processing: FrameProcessing | ClipProcessing, publish: PublishConfig) -> float:
    """Frames per second to publish, of a camera that has as many."""
    if publish.fps:
        return publish.fps
    sampled = processing.target_fps if isinstance(processing, ClipProcessing) else 1 / processing.interval_seconds
    return min(max(PER_SAMPLE * sampled, MIN_FPS), MAX_FPS)


def fit(width: int, height: int) -> tuple[int, int]:
    """The largest even size of the same shape that lies within BOX, or BOX upright; never larger than it is."""
    box = BOX if width >= height else BOX[::-1]
    scale = min(1.0, box[0] / width, box[1] / height)
    return _even((min(round(width * scale / 2) * 2, width), min(round(height * scale / 2) * 2, height)))


def _even(size: tuple[int, int]) -> tuple[int, int]:
    return max(size[0] // 2 * 2, 2), max(size[1] // 2 * 2, 2)


def auto_bitrate(fps: float, width: int, height: int, codec: str) -> int:
    """Most bits per second; of a quiet scene the encoder takes less.

    Sized so that a busy street at 720p looks as 2 Mbit/s at 30 fps do, SSIM within 0.02. With libvpx VP8 as libwebrtc
    sets it, 0.015 below needed 72, 96, 153, 237 and 500 kbit/s at 0.5, 1, 2, 4 and 12 fps: the further apart frames
    are, the less of one is known from the last, so bits grow more slowly than the rate. Bits per pixel are the same
    at every size.
    """
    vp8 = max(MIN_BITRATE, round(105_000 * width * height / (BOX[0] * BOX[1]) * math.pow(fps, 0.63)))
    return round(vp8 * AV1_SHARE) if codec == "av1" else vp8


class Pacer:
    """Which of a camera's frames are published: the nearest to each due time, and due times are exactly 1/fps apart.

    So the mean rate is exact for ever, whatever the camera's. A frame is taken up to half a camera interval early and
    up to a whole period late. Together that is wider than a period: frames that come as often as they are due settle
    within it, and jitter loses none. A fixed grid would lose every fourth when they happen to fall on its edges.
    Later than that is a stall: due times then begin anew, and nothing is caught up in a burst.
    """

    def __init__(self, fps: float, camera_fps: float) -> None:
        self._period_ns = 1e9 / fps
        self._early_ns = 0.5e9 / max(fps, camera_fps)
        self._origin_ns: int | None = None
        self._count = 0

    def due(self, captured_ns: int) -> bool:
        """Will the frame captured then be published? Ask once for each frame, in order."""
        late_ns = 0.0 if self._origin_ns is None else captured_ns - self._origin_ns - self._count * self._period_ns
        # No frame can be two periods early: time ran backwards, and waiting for it may take for ever.
        if self._origin_ns is None or late_ns >= self._period_ns or late_ns <= -2 * self._period_ns:
            self._origin_ns, self._count = captured_ns, 1
            return True
        if late_ns < -self._early_ns:
            return False
        self._count += 1
        return True
