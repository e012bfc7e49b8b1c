"""The configuration as frozen, typed values, in the API's own words (design.md, "The configuration file").

What one value may be is said here and nowhere else: ranges, defaults, and a description that the JSON Schema shows in
editors. What values must be to each other is in `rules`.

Two layers: the file as written (`ConfigFile`, `WrittenStream`: cameras by name, secrets by reference) and the values
that the rest of the program takes (`StreamConfig`, `ApiConfig`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from overshootd.config.brokers import BrokerConfig
from overshootd.config.cameras import CameraConfig, CameraOrName, Masks, Rectangle, View, narrowed
from overshootd.config.pieces import FilePath, Model, SecretRef
from overshootd.config.secret import Secret
from overshootd.config.sinks import SinkConfig
from overshootd.config.transports import AutoTransport, IceUrl, RoomLogin, TransportConfig

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
"""Names become parts of file names, topics and log fields."""

BASE_URL = "https://api.overshoot.ai/"

LEAST_MEMORY_MB = 200
"""One stream takes 140 MB (docs/bench.md), and a limit just above what is needed would make restarts the rule."""


class ApiConfig(Model):
    """Which API is spoken, and where."""

    version: Literal["v0.2"] = "v0.2"
    """The dialect of the Overshoot API."""
    base_url: str = BASE_URL + "v0.2"
    """Where the API is; follows from `version` unless given, and must then end in it. No trailing slash."""


class WrittenApi(Model):
    """How to reach the Overshoot API."""

    version: Literal["v0.2"] = "v0.2"
    """The dialect of the Overshoot API."""
    base_url: str | None = Field(default=None, examples=[BASE_URL + "v0.2"])
    """Where the API is. Default: follows from `version`; when given it must end in it."""
    key: SecretRef | None = Field(default=None, examples=[{"credential": "api_key"}])
    """The API key, by reference. The environment variable OVERSHOOT_API_KEY overrides it."""


class DeviceConfig(Model):
    """This machine, as the records name it."""

    name: str | None = Field(default=None, pattern=NAME)
    """Name of this device. Default: the host name, with a suffix from machine-id when it is a stock name."""
    timezone: str | None = Field(default=None, examples=["Europe/Berlin"])
    """IANA time zone for schedules. Default: the system's."""


def _enough_memory(value: int) -> int:
    if 0 < value < LEAST_MEMORY_MB:
        raise PydanticCustomError(
            "memory", f"too small: one stream takes about 140 MB; give at least {LEAST_MEMORY_MB}, or 0 for no limit"
        )
    return value


class LimitsConfig(Model):
    """What the daemon may take of this machine."""

    memory_mb: Annotated[int, AfterValidator(_enough_memory)] = Field(default=500, ge=0, le=1_000_000)
    """Resident megabytes past which the daemon restarts itself and resumes its streams, once an hour at most. 0: no
    limit."""


class SpoolConfig(Model):
    """What waits for its sinks, in state_dir. The oldest is dropped when it is too much."""

    max_mb: int = Field(default=1000, ge=1, le=1_000_000)
    """Most megabytes; one result takes about a kilobyte."""
    max_days: float = Field(default=30.0, gt=0, le=3650)
    """How many days a record waits at most."""


class FrameProcessing(Model):
    """Frame mode: one inference on one frame, at an interval."""

    interval_seconds: float = Field(gt=0, le=60)
    """Seconds between two inferences."""


class ClipProcessing(Model):
    """Clip mode: one inference on a short clip, again and again."""

    target_fps: int = Field(default=6, ge=1, le=30)
    """Frames per second within a clip; times clip_length_seconds at least 3 frames."""
    clip_length_seconds: float = Field(ge=0.1, le=60)
    """Length of a clip in seconds."""
    delay_seconds: float = Field(gt=0)
    """Seconds between two inferences."""


def _processing_tag(value: Any) -> str:
    if not isinstance(value, dict):
        return "<clip>" if isinstance(value, ClipProcessing) else "<frame>"
    frame, clip = "interval_seconds" in value, not ClipProcessing.model_fields.keys().isdisjoint(value)
    if frame and clip:
        return "<both>"
    mistyped = any(re.match("target|clip|delay|fps|sampling", key) for key in value)
    return "<clip>" if clip or (mistyped and not frame) else "<frame>"


Processing = Annotated[
    Annotated[FrameProcessing, Tag("<frame>")] | Annotated[ClipProcessing, Tag("<clip>")],
    Discriminator(_processing_tag),
]


class InferenceConfig(Model):
    """What the model is asked."""

    prompt: str = Field(pattern=r"\S")
    """The question about every frame or clip."""
    model: str = Field(pattern=r"\S", examples=["Qwen/Qwen3.5-9B"])
    """Name of the model, as `overshootd models` lists it."""
    backend: Literal["overshoot", "gemini"] | None = None
    """Who runs the model. Default: the API's."""
    output_schema_json: dict[str, Any] | None = None
    """JSON Schema of the answer; without it the answer is plain text."""
    max_output_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of one answer; at most 128 for each second of the interval. Default: the API's, 128 a second."""


MAX_SIDE = 7680
Auto = Literal["auto"]
Rate = Annotated[float, Field(gt=0, le=120)]
Kbps = Annotated[int, Field(ge=16, le=100_000)]
Codec = Literal["vp8", "vp9", "h264", "av1"]
Passthrough = Literal["always", "never"]
Size = Annotated[str, Field(pattern=r"^[0-9]{2,4}x[0-9]{2,4}$", examples=["1280x720"])]


def _unless_auto(value: Any) -> Any:
    return None if value == "auto" else value


def _parse_size(value: Any) -> Any:
    if value == "auto" or value is None or isinstance(value, tuple):
        return _unless_auto(value)
    parts = re.fullmatch(r"(\d{2,4})x(\d{2,4})", value) if isinstance(value, str) else None
    size = tuple(map(int, parts.groups())) if parts else (0, 0)
    if not all(16 <= side <= MAX_SIDE and side % 2 == 0 for side in size):
        raise PydanticCustomError(
            "size", f"give WIDTHxHEIGHT (even numbers, 16 to {MAX_SIDE}), such as 1280x720, or auto"
        )
    return size


# In PublishConfig None stands for auto.
class PublishConfig(Model):
    """What is sent; auto is derived from what inference looks at."""

    fps: Annotated[Rate | None, BeforeValidator(_unless_auto, json_schema_input_type=Auto | Rate)] = None
    """Frames per second, or auto."""
    size: Annotated[tuple[int, int] | None, BeforeValidator(_parse_size, json_schema_input_type=Auto | Size)] = None
    """WIDTHxHEIGHT in pixels, or auto. The server looks at 720p at most."""
    max_kbps: Annotated[Kbps | None, BeforeValidator(_unless_auto, json_schema_input_type=Auto | Kbps)] = None
    """Most kilobits per second, or auto."""
    codec: Annotated[Codec | None, BeforeValidator(_unless_auto, json_schema_input_type=Auto | Codec)] = None
    """Video codec, or auto."""
    passthrough: Annotated[
        Passthrough | None, BeforeValidator(_unless_auto, json_schema_input_type=Auto | Passthrough)
    ] = None
    """Whether the H.264 of a camera that gives it is sent as it is: always, never, or auto (when that costs least)."""


# -- a stream ----------------------------------------------------------------------------------------------------------


class StreamBase(Model):
    """What a stream is in both layers."""

    enabled: bool = True
    """Whether the stream runs."""
    labels: Mapping[str, str] = {}
    """Free words that every record of the stream carries."""
    transport: TransportConfig = AutoTransport()
    """How video gets to the API; a bare word is shorthand for {type: word}."""
    processing: Processing
    """When inference runs: interval_seconds (frame mode), or clip_length_seconds and delay_seconds (clip mode)."""
    inference: InferenceConfig
    """The question to the model: prompt and model."""
    masks: Masks = ()
    """Parts of the camera's picture that are blacked out, besides those of the camera."""
    crop: Rectangle | None = None
    """The part of the camera's picture that is shown, within what the camera's own crop leaves."""
    publish: PublishConfig = PublishConfig()
    """What is sent; auto unless told."""
    sinks: tuple[SinkConfig, ...] = Field(default=(), strict=False)
    """Where the records go. Those of `defaults` come first. Default: a file, results/{stream}.jsonl in state_dir."""


class StreamApi(Model):
    """What a stream may override of `api`."""

    key: SecretRef | None = None
    """Another API key for this stream: the API allows five streams a key."""


class WrittenStream(StreamBase):
    """One stream: a camera, a question, and where the answers go."""

    camera: CameraOrName
    """A name from `cameras`, or the camera itself."""
    mode: Literal["frame", "clip"] | None = None
    """Default: read off `processing`."""
    api: StreamApi | None = None
    """Another API key for this stream."""


class StreamConfig(StreamBase):
    """A stream that can run: everything looked up, filled in and checked."""

    camera: CameraConfig
    """The camera itself."""
    camera_name: str | None = None
    """Its name in `cameras`; None when it was given inline."""
    camera_password: Secret | None = None
    """What an RTSP camera asks for, from its `password` or its URL."""
    key: Secret | None = None
    """The stream's own API key; None: the common one."""
    room_login: RoomLogin = RoomLogin()
    """What a room of the user's own is joined with, for a transport of type livekit."""
    ice: tuple[IceUrl, ...] | None = None
    """The transport's ICE servers, URL by URL; None: the API's public ones."""
    mode: Literal["frame", "clip"]
    """Always what `processing` is."""

    @property
    def view(self) -> View:
        """What of the camera's picture this stream may see."""
        view = narrowed(self.camera, self.masks, self.crop)
        assert view is not None, "the loader breaks a stream whose crops leave nothing"
        return view


@dataclass(frozen=True, slots=True)
class NamedCamera:
    """A camera from `cameras`, used by a stream or not; `password` is what an RTSP camera asks for."""

    config: CameraConfig
    password: Secret | None = None


class ConfigFile(Model):
    """overshootd's configuration file."""

    version: Literal[1] = 1
    """Version of this file's format."""
    api: WrittenApi = WrittenApi()
    """The Overshoot API: version and key."""
    device: DeviceConfig = DeviceConfig()
    """This machine: name and time zone."""
    limits: LimitsConfig = LimitsConfig()
    """What the daemon may take of this machine: memory."""
    state_dir: FilePath | None = None
    """Where state and undelivered results are kept. Default: $STATE_DIRECTORY, or /var/lib/overshootd."""
    spool: SpoolConfig = SpoolConfig()
    """How much may wait for sinks that do not take it."""
    brokers: Mapping[str, BrokerConfig] = {}
    """MQTT brokers by name."""
    cameras: Mapping[str, CameraConfig] = {}
    """Cameras by name; one camera may feed several streams."""
    defaults: WrittenStream | None = None
    """Merged under every stream: maps merge, lists append."""
    streams: Mapping[str, WrittenStream] = {}
    """The streams by name."""
