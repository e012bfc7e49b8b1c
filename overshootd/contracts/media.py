"""What cameras give: frames, and the parts that hand them on.

Cameras are blocking and belong to one thread each; everything else runs in the event loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol


class PixelFormat(StrEnum):
    """Layouts that the publishers take. Planes are tightly packed, one after the other, no padding."""

    I420 = "i420"
    NV12 = "nv12"
    RGB24 = "rgb24"


@dataclass(frozen=True, slots=True)
class Picture:
    """One raw frame. `captured_ns` is `time.monotonic_ns()` at capture."""

    data: bytes | bytearray | memoryview
    width: int
    height: int
    format: PixelFormat
    captured_ns: int


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One complete H.264 access unit in Annex B form; SPS and PPS precede every IDR (`keyframe`). Between an encoder of
    our own and a publisher it may be a frame of the plan's codec instead.

    Access units depend on each other: dropping one spoils all up to the next keyframe.
    """

    data: bytes
    width: int
    height: int
    keyframe: bool
    captured_ns: int


Media = Picture | AccessUnit


@dataclass(frozen=True, slots=True)
class CaptureNeed:
    """The most that any of a camera's streams needs: frames per second and pixels."""

    fps: float
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class CaptureFormat:
    """What the camera gives: frames per second (the nominal rate), pixels, and whether as access units.

    `keyframe_seconds` is the time from one keyframe of an encoded camera to the next, as measured or set; None when it
    is not known. `what` says in words what is behind it, for the log: "MJPEG, decoded where it is published".
    `inter_coded`: frames refer to each other, so that pictures too have to wait for a keyframe.
    """

    fps: float
    width: int
    height: int
    encoded: bool = False
    keyframe_seconds: float | None = None
    what: str = ""
    inter_coded: bool = False


class Sample(Protocol):
    """A frame that nobody has paid for yet. Valid until the camera's next `read`."""

    @property
    def captured_ns(self) -> int:
        """`time.monotonic_ns()` at capture; never less than that of the sample before."""

    @property
    def access_unit(self) -> AccessUnit | None:
        """The frame as the camera encoded it, or None from a camera that does not (`CaptureFormat.encoded`)."""

    def picture(self, width: int, height: int) -> Picture:
        """Decode, convert and scale to this even size. Called only for frames that will be published.

        An encoded camera can do this too, for streams that must see pixels (masks) or when encoding anew is cheaper.
        Upright: `rotate` and `hflip` of the configuration have been applied. Masks and crop have not: those are the
        streams' own (capture/privacy.py).
        Raises FrameSpoiled when this frame cannot be shown and the next may be, CameraLost when none will.
        """


class Camera(Protocol):
    """A source of frames. One thread opens, reads and closes it; other threads call only `feedback`, `abort`."""

    def open(self, need: CaptureNeed) -> CaptureFormat:
        """Start capture as near above `need` as the camera offers. Called once.

        Raises CameraLost (retried with backoff) or Permanent (no such format, bad path: needs another configuration).
        """

    def read(self, timeout: float) -> Sample | None:
        """The next frame, or None when there was none within `timeout` seconds. Never blocks longer.

        Raises CameraLost, or CameraEnded when it came to its end as it should.
        """

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        """The receiver's wishes for an encoder: IDR now, rate, frame rate. Thread-safe. Raw cameras ignore them."""

    def abort(self) -> None:
        """The owner gives up: `open` and `read` shall raise CameraLost soon, wherever that can be had, for `close` to
        come. Thread-safe, at any time, idempotent; never blocks. A camera that leaves nothing behind may ignore it."""

    def close(self) -> None:
        """Free the device. Idempotent, and right after a failed `open` too."""


class CameraState(StrEnum):
    """What a camera is doing. `ended` and `failed` are final; `lost` is retried for ever."""

    IDLE = "idle"  # nobody needs it, so it is closed
    OPENING = "opening"
    LIVE = "live"
    LOST = "lost"
    ENDED = "ended"
    FAILED = "failed"


Due = Callable[[int], bool]
"""Asked once for every frame, with its `captured_ns`: will this consumer publish it? Called in the camera's thread."""


class Wish(NamedTuple):
    """What a receiver wishes of an encoder: an IDR now, kilobits per second, frames per second (None: no word)."""

    keyframe: bool = False
    kbps: int | None = None
    fps: float | None = None


class Subscription(Protocol):
    """One stream's view of a camera: its latest due picture, or every access unit.

    First `ready`, which tells what the camera gives; then `start` or `start_encoded`, which may be called again at any
    time and stand through a loss; then `next` for ever. After CameraLost, `ready` waits until the camera is back.
    """

    async def ready(self) -> CaptureFormat:
        """Wait until the camera gives frames. Raises CameraEnded or Permanent; a lost camera is waited for."""

    def start(self, due: Due, width: int, height: int) -> None:
        """From now on `next` gives the newest frame that is `due`, as a picture of this even size."""

    def start_encoded(self, due: Due | None = None) -> None:
        """From now on `next` gives all access units, beginning with a keyframe; with `due`, only due keyframes.

        For encoded cameras only, and never where masks or a crop must act: raises ValueError then.
        """

    def stop(self) -> None:
        """From now on nothing is drawn, decoded or kept for this stream; the camera stays open."""

    async def next(self) -> Media:
        """The newest due picture not yet taken, or the next access unit.

        Raises CameraLost as long as the camera is lost, CameraEnded or Permanent.
        """

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        """Passed on to the camera's encoder, if it has one."""

    def close(self) -> None:
        """Unsubscribe. Idempotent. A camera without subscriptions is closed."""
