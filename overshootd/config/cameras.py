"""The cameras of the configuration: one model a backend, and what all of them share.

Coordinates are normalised: 0 to 1 of the upright picture (after `rotate` and `hflip`), from its upper left corner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from overshootd.config.pieces import (
    EvenPixels,
    Extent,
    FilePath,
    Fraction,
    LibcameraValue,
    Model,
    NumberOrId,
    Point,
    SecretRef,
    V4l2Value,
)

Fps = Annotated[float, Field(gt=0, le=240)]


class Rectangle(Model):
    """A part of the picture, in fractions of its width and height."""

    x: Fraction
    """Left edge, 0 to 1."""
    y: Fraction
    """Upper edge, 0 to 1."""
    width: Extent
    """Width, up to 1; what reaches past the picture's edge is cut off."""
    height: Extent
    """Height, up to 1; what reaches past the picture's edge is cut off."""


class Polygon(Model):
    """A part of the picture with at least three corners."""

    points: Annotated[tuple[Point, ...], Field(min_length=3, max_length=64, strict=False)]
    """The corners in order, each [x, y] in fractions of the picture's width and height."""


def _mask_tag(value: Any) -> str:
    polygon = "points" in value if isinstance(value, dict) else isinstance(value, Polygon)
    return "<polygon>" if polygon else "<rectangle>"


Mask = Annotated[
    Annotated[Rectangle, Tag("<rectangle>")] | Annotated[Polygon, Tag("<polygon>")], Discriminator(_mask_tag)
]
Masks = Annotated[tuple[Mask, ...], Field(strict=False)]


class View(Model):
    """What of a camera may be seen. Acts on every picture before anything is encoded or stored."""

    masks: Masks = ()
    """Parts that are blacked out: rectangles {x, y, width, height} and polygons {points}."""
    crop: Rectangle | None = None
    """The part that is shown; the rest is cut away. Default: all of it."""

    @property
    def hides(self) -> bool:
        """Whether a picture must be changed before anybody may see it."""
        return bool(self.masks) or self.crop is not None


def narrowed(camera: View, masks: tuple[Mask, ...], crop: Rectangle | None) -> View | None:
    """What a stream may see: hidden is what either hides, shown what both crops leave. None: they leave nothing."""
    both = camera.crop or crop
    if camera.crop and crop:
        both = _common(camera.crop, crop)
        if both is None:
            return None
    return View(masks=(*camera.masks, *masks), crop=both)


def _common(one: Rectangle, other: Rectangle) -> Rectangle | None:
    left, top = max(one.x, other.x), max(one.y, other.y)
    width = min(one.x + one.width, other.x + other.width, 1.0) - left
    height = min(one.y + one.height, other.y + other.height, 1.0) - top
    return Rectangle(x=left, y=top, width=width, height=height) if width > 0 and height > 0 else None


class AnyCamera(View):
    """What every camera has."""


class Recovery(Model):
    """What may be done about a camera that fails to open again and again; nothing unless it stands here.

    It is done by the privileged helper (overshootd-helper.socket), which must be enabled too.
    """

    usb_reset_after: int | None = Field(default=None, ge=2)
    """Take the camera off its USB port and back after so many openings failed in a row, and again after as many."""
    reboot_after: int | None = Field(default=None, ge=10)
    """Reboot this machine after so many openings failed in a row: the only remedy for some wedged drivers."""


class RealCamera(AnyCamera):
    """What every camera that looks at the world has."""

    rotate: Literal[0, 180] = 0
    """Degrees; 180 for a camera that hangs upside down."""
    hflip: bool = False
    """Mirror left and right."""
    black_seconds: float = Field(default=60.0, ge=0)
    """A picture black all over for so many seconds is a broken camera, which is opened anew. 0: never."""
    frozen_seconds: float = Field(default=180.0, ge=0)
    """The same picture bit by bit for so many seconds is a broken camera, which is opened anew. 0: never."""
    recovery: Recovery = Recovery()
    """What may be done when it cannot be opened for long."""


class TestCamera(AnyCamera):
    """A moving picture with a machine-readable frame number and capture time in it."""

    __test__: ClassVar[bool] = False  # not a test class of pytest's

    type: Literal["test"]
    """Kind of camera."""
    width: EvenPixels = 1280
    """Width in pixels."""
    height: EvenPixels = 720
    """Height in pixels."""
    fps: Fps = 30.0
    """Frames per second."""


class FileCamera(AnyCamera):
    """A video file, played at its own pace."""

    type: Literal["file"]
    """Kind of camera."""
    path: FilePath
    """The video file; a relative path starts at the directory of the configuration file."""
    loop: bool = True
    """Begin again at the end. Otherwise the stream ends with the file."""


class V4l2Camera(RealCamera):
    """A USB camera, or whatever else the kernel shows as a video device."""

    type: Literal["v4l2"]
    """Kind of camera."""
    device: str = Field(min_length=1, examples=["usb-046d_HD_Pro_Webcam_C920-video-index0"])
    """A name in /dev/v4l/by-id or by-path, the card's name, its USB serial number, or a /dev path."""
    width: EvenPixels | None = None
    """Width in pixels. Default: the nearest the camera has above what is published."""
    height: EvenPixels | None = None
    """Height in pixels. Default: as width."""
    fps: Fps | None = None
    """Frames per second. Default: the nearest the camera has above what is published."""
    format: Literal["h264", "mjpeg", "raw"] | None = None
    """What the camera shall send. Default: what costs least."""
    controls: Mapping[str, V4l2Value] = {}
    """V4L2 controls by their names, such as brightness: 128; menus by number or by an entry's text."""


class Picamera2Camera(RealCamera):
    """A CSI camera of a Raspberry Pi, through libcamera."""

    type: Literal["picamera2"]
    """Kind of camera."""
    camera: NumberOrId = 0
    """Its number, or its id as `overshootd cameras` shows it."""
    width: EvenPixels | None = None
    """Width in pixels. Default: what is published."""
    height: EvenPixels | None = None
    """Height in pixels. Default: what is published."""
    fps: Fps | None = None
    """Frames per second. Default: what is published."""
    hardware_h264: bool = True
    """Encode with the board's own encoder where it has one (Pi 4 and older)."""
    controls: Mapping[str, LibcameraValue] = {}
    """libcamera controls by their names, such as ExposureTime: 10000."""
    tuning: str | None = Field(default=None, min_length=1, examples=["imx219_noir.json"])
    """A tuning file: a name that libcamera knows, or a path."""


class RtspCamera(RealCamera):
    """A network camera, or any URL that FFmpeg can read."""

    type: Literal["rtsp"]
    """Kind of camera."""
    url: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*://\S+$", examples=["rtsp://192.168.1.20:554/stream1"])
    """Where it streams. Credentials may stand in username and password instead."""
    username: str | None = Field(default=None, min_length=1)
    """Who logs in."""
    password: SecretRef | None = None
    """The password, by reference."""
    transport: Literal["tcp", "udp"] = "tcp"
    """How RTSP brings the video; udp only where tcp does not work."""


class CommandCamera(RealCamera):
    """A program that writes video to its standard output."""

    type: Literal["command"]
    """Kind of camera."""
    argv: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    """The program and its arguments; no shell. {width}, {height} and {fps} are filled in with what is wanted."""
    format: Literal["h264", "mjpeg", "i420"]
    """What it writes: H.264 (Annex B), JPEG pictures one after the other, or I420 pictures of width x height."""
    width: EvenPixels | None = None
    """Width in pixels; needed for i420."""
    height: EvenPixels | None = None
    """Height in pixels; needed for i420."""
    fps: Fps = 30.0
    """Frames per second that it writes."""


class ArgusCamera(RealCamera):
    """A CSI camera of a Jetson, through NVIDIA's Argus."""

    type: Literal["argus"]
    """Kind of camera."""
    sensor_id: int = Field(default=0, ge=0, le=15)
    """Number of the sensor."""
    width: EvenPixels = 1280
    """Width in pixels."""
    height: EvenPixels = 720
    """Height in pixels."""
    fps: Fps | None = None
    """Frames per second. Default: what is published."""


def _camera_tag(value: Any) -> str | None:
    """Tags stand in brackets, so that in an error's path they never look like a key."""
    if isinstance(value, str):
        return "<name>"
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return None if kind is None else f"<{kind}>"


_Cameras = (
    Annotated[TestCamera, Tag("<test>")]
    | Annotated[FileCamera, Tag("<file>")]
    | Annotated[V4l2Camera, Tag("<v4l2>")]
    | Annotated[Picamera2Camera, Tag("<picamera2>")]
    | Annotated[RtspCamera, Tag("<rtsp>")]
    | Annotated[CommandCamera, Tag("<command>")]
    | Annotated[ArgusCamera, Tag("<argus>")]
)
CameraConfig = Annotated[_Cameras, Discriminator(_camera_tag)]
CameraOrName = Annotated[Annotated[str, Tag("<name>")] | _Cameras, Discriminator(_camera_tag)]
