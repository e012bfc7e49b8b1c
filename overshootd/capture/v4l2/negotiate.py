"""Which of a camera's formats costs least for what will be published. Pure.

For each second, in milliseconds: what the camera sends is copied, published or not; what is published is decoded. So
of two formats that show enough, H.264 is taken where it can be passed on untouched. Where it cannot, each of its
frames must be decoded, and JPEGs, of which only the published ones are, cost less at few frames a second; raw pictures
cost less than those where most of what the camera sends is published.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from overshootd.capture.v4l2.offers import Offer
from overshootd.config.cameras import V4l2Camera
from overshootd.contracts import CaptureNeed
from overshootd.errors import Permanent
from overshootd.ffmpeg.live import BITS, RAW_FORMATS
from overshootd.route import passable

KINDS = {"H264": "h264", "MJPG": "mjpeg", "JPEG": "mjpeg", **dict.fromkeys(RAW_FORMATS, "raw")}
"""What of V4L2's formats is read, by the word for it in the configuration."""

JPEG_MS, RAW_MS, H264_MS = 3.3, 0.6, 0.8
"""Milliseconds a megapixel for making I420 of a JPEG or of YUYV (NV12: 0.4), and for decoding a frame of H.264: a
street at 720p, one thread of a Xeon. A Pi takes several times as long, but only the ratios matter here."""

COPY_MS = 0.35
"""Milliseconds a megabyte, estimated: 0.18 were measured for one copy, and the driver of a USB camera makes one out of
many small packets."""

JPEG_BYTES, H264_BYTES = 0.15, 0.02
"""Bytes a pixel, of a webcam's JPEG and of H.264 at 4 Mbit/s."""

RAW_LIMIT = 12e6
"""Bytes a second of raw pictures that are too many where JPEGs would do: half of what a USB 2 bus gives to one device,
which its other cameras want a part of."""

OTHER_SHAPE, SAME_SHAPE = 2.0, 0.02
"""A size of another shape than what is published, by more than 2 %, counts as if it cost twice as much."""

SAME_RATE = 1.01
"""29.97 is 30."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to set. `why` is half a sentence for the log."""

    fourcc: str
    width: int
    height: int
    fps: float
    why: str


def negotiate(
    offers: Sequence[Offer], need: CaptureNeed, config: V4l2Camera, *, pixels: bool = False, keyframes: bool = False
) -> Choice:
    """The format that costs least of those at or above `need`; where none is, first the nearest size, then rate.

    `pixels`: all that is published must be decoded, whatever the format. `keyframes`: how far the encoder's keyframes
    are apart can be set, so that they alone can be passed on. What `config` says must be so: raises Permanent, which
    says what the camera offers instead.
    """
    allowed = _of_size(_of_format(offers, config), config)
    job = _Job(need, not pixels, keyframes)
    candidates = [(offer, rate) for offer in allowed for rate in _rates(offer, need, config)]
    if not candidates:
        raise Permanent(_no_rate(allowed, config.fps))
    offer, fps = min(candidates, key=lambda candidate: job.rank(*candidate))
    return Choice(offer.fourcc, offer.width, offer.height, fps, job.why(offer, fps))


def _of_format(offers: Sequence[Offer], config: V4l2Camera) -> list[Offer]:
    known = [offer for offer in offers if offer.fourcc in KINDS]
    if not known:
        instead = f"only {_listed(sorted({offer.fourcc for offer in offers}))}" if offers else "nothing"
        raise Permanent(f"it offers {instead}, which is not read here; {_listed(KINDS)} are")
    allowed = [offer for offer in known if config.format in (None, KINDS[offer.fourcc])]
    if not allowed:
        raise Permanent(f"it offers no {config.format}, but {_listed(sorted({offer.fourcc for offer in known}))}")
    return allowed


def _of_size(offers: Sequence[Offer], config: V4l2Camera) -> list[Offer]:
    allowed = [o for o in offers if config.width in (None, o.width) and config.height in (None, o.height)]
    if not allowed:
        one = f"width of {config.width}" if config.width else f"height of {config.height}"
        wanted = f"{config.width}x{config.height}" if config.width and config.height else one
        kind = f" as {config.format}" if config.format else ""
        raise Permanent(f"it offers no {wanted}{kind}, but {_sizes(offers)}")
    return allowed


def _rates(offer: Offer, need: CaptureNeed, config: V4l2Camera) -> list[float]:
    """Those worth considering: the nearest above what is needed, else the highest; what the configuration says."""
    if not offer.rates:
        return [config.fps or need.fps]
    if config.fps:
        return [rate for rate in offer.rates if config.fps / SAME_RATE <= rate <= config.fps * SAME_RATE][:1]
    return [min((rate for rate in offer.rates if rate * SAME_RATE >= need.fps), default=max(offer.rates))]


def _no_rate(offers: Sequence[Offer], fps: float | None) -> str:
    rates = sorted({rate for offer in offers for rate in offer.rates})
    return f"it offers no {fps:g} fps at {_sizes(offers)}, but {_listed(f'{rate:.4g}' for rate in rates)}"


def _sizes(offers: Sequence[Offer]) -> str:
    return _listed(f"{wide}x{high}" for wide, high in sorted({(offer.width, offer.height) for offer in offers}))


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


@dataclass(frozen=True, slots=True)
class _Job:
    """What the camera is for."""

    need: CaptureNeed
    may_pass: bool
    keyframes: bool

    def rank(self, offer: Offer, fps: float) -> tuple[float | str, ...]:
        """Less is better."""
        colourless = offer.fourcc == "GREY"
        shown = min(offer.width, self.need.width) * min(offer.height, self.need.height)
        missing = self.need.width * self.need.height - shown
        late = max(0.0, self.need.fps - fps * SAME_RATE)
        crowding = KINDS[offer.fourcc] == "raw" and _sent(offer) * fps > RAW_LIMIT
        shape = offer.width * self.need.height / (offer.height * self.need.width)
        cost = self.cost(offer, fps) * (1.0 if abs(shape - 1) <= SAME_SHAPE else OTHER_SHAPE)
        return colourless, missing, late, crowding, cost, offer.width * offer.height, offer.width, fps, offer.fourcc

    def cost(self, offer: Offer, fps: float) -> float:
        """Milliseconds of CPU a second, roughly, until there are I420 pictures or access units."""
        published = min(self.need.fps, fps)
        megapixels = offer.width * offer.height / 1e6
        copied = fps * _sent(offer) / 1e6 * COPY_MS
        match KINDS[offer.fourcc]:
            case "h264":
                return copied if self.passes(fps) else copied + megapixels * (fps * H264_MS + published * RAW_MS)
            case "mjpeg":
                return copied + megapixels * published * JPEG_MS
            case _:
                return copied + megapixels * published * RAW_MS

    def passes(self, fps: float) -> bool:
        """Whether H.264 can be passed on, or its keyframes alone."""
        return self.may_pass and (self.keyframes or passable(fps, self.need.fps))

    def why(self, offer: Offer, fps: float) -> str:
        match KINDS[offer.fourcc]:
            case "h264" if self.passes(fps):
                return "passed on as it is"
            case "h264":
                return "decoded, for nothing else it offers costs less"
            case "mjpeg":
                return "only what is published is decoded"
            case _:
                return "nothing to decode"


def _sent(offer: Offer) -> float:
    """Bytes of one frame."""
    match KINDS[offer.fourcc]:
        case "h264":
            share = H264_BYTES
        case "mjpeg":
            share = JPEG_BYTES
        case _:
            share = BITS[RAW_FORMATS[offer.fourcc]] / 8
    return offer.width * offer.height * share
