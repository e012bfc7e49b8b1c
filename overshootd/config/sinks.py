"""Where records go: one model a sink."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from overshootd.config.pieces import FilePath, Model, SecretRef, Topic
from overshootd.errors import ConfigError

SYNC_SECONDS = 5.0


class SinkBase(Model):
    """What every sink has."""

    sync_seconds: float = Field(default=SYNC_SECONDS, ge=0.5, le=60)
    """Seconds within which a record reaches the disk itself; fewer wear an SD card more."""


class FileSink(SinkBase):
    """Records appended to a file, one JSON object a line."""

    type: Literal["file"]
    """Kind of sink."""
    path: FilePath
    """The file; {stream} and {device} are filled in. A relative path starts at the configuration file's directory."""
    rotate_bytes: int = Field(default=10_000_000, ge=1000)
    """Begin a new file once this one has so many bytes."""
    rotate_seconds: float | None = Field(default=None, ge=1)
    """Begin a new file once this one is so many seconds old. Default: never."""
    keep: int = Field(default=10, ge=0, le=100_000)
    """How many older files are kept."""
    gzip: bool = True
    """Compress the older files."""
    min_free_mb: int = Field(default=100, ge=0, le=10_000_000)
    """With less than so many megabytes free on its filesystem the oldest of the older files are deleted. 0: never."""


def _not_empty(topic: str) -> str:
    if not topic:
        raise PydanticCustomError("topic", "is empty")
    return topic


class MqttSink(SinkBase):
    """Records published to a broker, one JSON object a message, QoS 1."""

    type: Literal["mqtt"]
    """Kind of sink."""
    broker: str = Field(min_length=1)
    """A name from `brokers`."""
    topic: Annotated[Topic, AfterValidator(_not_empty)] = "{base_topic}/{device}/{stream}/result"
    """Where records are published, not retained; {base_topic}, {device} and {stream} are filled in."""
    last_topic: Topic = "{base_topic}/{device}/{stream}/last"
    """Where the newest result is retained, filled in likewise. Empty: nowhere."""


class WebhookSink(SinkBase):
    """Records sent by HTTP POST, one JSON object a request."""

    type: Literal["webhook"]
    """Kind of sink."""
    url: str = Field(
        pattern=r"^\S+$",
        json_schema_extra={"pattern": r"^https?://\S+$"},
        examples=["https://example.com/hooks/camera"],
    )
    """Where to: https:// or http://, with no login in it."""
    secret: SecretRef | None = None
    """The key of the signature in the header webhook-signature (standardwebhooks.com), by reference. Default: none."""
    headers: Mapping[str, SecretRef] = {}
    """Further headers, such as Authorization, by reference."""
    timeout_seconds: float = Field(default=10.0, ge=1, le=120)
    """How long an answer may take."""


class StdoutSink(SinkBase):
    """Records as lines on the standard output; under systemd that is the journal."""

    type: Literal["stdout"]
    """Kind of sink."""


def _sink_tag(value: Any) -> str | None:
    """Tags stand in brackets, so that in an error's path they never look like a key."""
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return None if kind is None else f"<{kind}>"


SinkConfig = Annotated[
    Annotated[FileSink, Tag("<file>")]
    | Annotated[MqttSink, Tag("<mqtt>")]
    | Annotated[WebhookSink, Tag("<webhook>")]
    | Annotated[StdoutSink, Tag("<stdout>")],
    Discriminator(_sink_tag),
]

_ADAPTER: TypeAdapter[SinkConfig] = TypeAdapter(SinkConfig)


SHORTEST_TOKEN = 16
"""Characters of a part of a path that is taken for a token; Slack's and Discord's have 24 and more."""


def secret_parts(url: str) -> list[str]:
    """What may be secret in a webhook's URL: long parts of the path, and what the query says. Pure."""
    parts = urlsplit(url)
    long = [part for part in parts.path.split("/") if len(part) >= SHORTEST_TOKEN]
    return [*long, *(value for _, value in parse_qsl(parts.query))]


def sink_config(text: str) -> SinkConfig:
    """What `model_dump_json` wrote, by this release or another; keys that only a newer one knows are left out.

    Raises ConfigError for what nobody can be rebuilt from any more. It shows no value: a URL may hold a password.
    """
    try:
        return _ADAPTER.validate_json(text, extra="ignore")
    except ValidationError as error:
        wrong = sorted({".".join(str(key) for key in detail["loc"]) for detail in error.errors(include_input=False)})
        told = ", ".join(re.sub(r"<\w*>\.?", "", key) or "type" for key in wrong)
        raise ConfigError(f"a sink that another release described, which this one cannot read ({told})") from None
