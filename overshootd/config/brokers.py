"""MQTT brokers: what stands under `brokers`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from overshootd.config.pieces import FilePath, Line, Model, SecretRef, TopicPrefix

PORTS: Mapping[str, int] = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
"""By scheme, what a URL without a port means."""

Command = Literal["prompt", "pause"]
Version = Literal["auto", "3.1.1", "5"]


def _version(value: Any) -> Any:
    """5 without quotes is a number in YAML."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class BrokerTls(Model):
    """How the broker proves who it is, and we to it; for mqtts and wss."""

    ca_file: FilePath | None = None
    """Certificates of the authorities that are trusted, in PEM. Default: the system's."""
    cert_file: FilePath | None = None
    """Our own certificate in PEM, for a broker that asks for one. Goes with key_file."""
    key_file: FilePath | None = None
    """The key of cert_file, in PEM, not encrypted."""


class HomeAssistant(Model):
    """Device discovery: Home Assistant shows this device and its streams by itself."""

    prefix: TopicPrefix = "homeassistant"
    """Home Assistant's discovery prefix."""


def _home_assistant(value: Any) -> Any:
    if isinstance(value, bool):
        return {} if value else None
    if value is not None and not isinstance(value, dict | HomeAssistant):
        raise PydanticCustomError("home_assistant", "expected true, false, or {prefix: …}, the discovery prefix")
    return value


class BrokerConfig(Model):
    """An MQTT broker. The device's state and status are published there, and the records of sinks that name it."""

    url: str = Field(
        pattern=r"^\S+$", json_schema_extra={"pattern": r"^(mqtts?|wss?)://\S+$"}, examples=["mqtts://broker.lan:8883"]
    )
    """mqtt://, mqtts://, ws:// or wss://, host, and a port unless it is 1883, 8883, 80 or 443; no password in it."""
    username: Line | None = None
    """Whom we are there."""
    password: SecretRef | None = None
    """Its password, by reference. It is read again at each connection."""
    base_topic: TopicPrefix = "overshootd"
    """What all topics begin with."""
    client_id: Annotated[Line, Field(max_length=128)] | None = None
    """Default: overshootd-DEVICE. Two clients of one id throw each other out."""
    version: Annotated[Version, BeforeValidator(_version, json_schema_input_type=Version | Literal[5])] = "auto"
    """Of the protocol. auto: 5, and 3.1.1 where the broker does not speak that."""
    tls: BrokerTls = BrokerTls()
    """Certificates, for mqtts and wss."""
    keepalive_seconds: int = Field(default=30, ge=5, le=3600)
    """A broker that is silent for so long is asked, and one that does not answer is connected to anew."""
    in_flight: int = Field(default=100, ge=1, le=1000)
    """Most publications that wait for their acknowledgement at a time."""
    commands: tuple[Command, ...] = Field(default=(), strict=False)
    """What may be commanded by topics …/{stream}/prompt/set and …/{stream}/pause/set. Default: nothing."""
    home_assistant: Annotated[
        HomeAssistant | None, BeforeValidator(_home_assistant, json_schema_input_type=bool | HomeAssistant)
    ] = None
    """Whether Home Assistant discovers this device there: true, false, or {prefix: …}. Default: false."""
