"""How video gets to the API: one model a transport.

`token` is the API's own word for what its gateway joins a room of the user's with (v0.2.yaml, Source); what this device
publishes with is ours, and so is its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from overshootd.config.pieces import Model, SecretRef
from overshootd.config.secret import Secret

LIVEKIT_KEYS = ("url", "token", "publish_token", "api_key", "api_secret", "room", "identity")
LONGEST_NAME = 256
"""Characters of a room's or a participant's name that livekit-server takes, unless it was told otherwise."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Url = Annotated[str, Field(pattern=r"^\S+$")]


class IceServerConfig(Model):
    """A STUN or TURN server, in the words that browsers and the API have for it."""

    urls: Annotated[
        tuple[Url, ...],
        BeforeValidator(_as_list, json_schema_input_type=Url | tuple[Url, ...]),
        Field(min_length=1, strict=False, examples=["turn:turn.example.com:3478?transport=udp"]),
    ]
    """Where it is, such as turns:turn.example.com:443; one URL or a list of them."""
    username: str | None = Field(default=None, min_length=1)
    """Who asks for a relay."""
    credential: SecretRef | None = None
    """The password of a TURN server, by reference."""


IceServers = Annotated[tuple[IceServerConfig, ...], Field(strict=False)]


class AutoTransport(Model):
    """Native; where that cannot be joined for long, legacy WebRTC until it can."""

    type: Literal["auto"] = "auto"
    """How video gets there."""
    ice_servers: IceServers | None = None
    """STUN and TURN servers for legacy WebRTC. Default: the public ones of the API; [] is none."""


class NativeTransport(Model):
    """The LiveKit room that the API provides."""

    type: Literal["native"] = "native"
    """How video gets there."""


class WebrtcTransport(Model):
    """A peer connection with the API, as it was before there were rooms. Losing it is the stream's end."""

    type: Literal["webrtc"] = "webrtc"
    """How video gets there."""
    ice_servers: IceServers | None = None
    """STUN and TURN servers. Default: the public ones of the API; [] is none."""


def _key_tag(value: Any) -> str:
    return "<reference>" if isinstance(value, dict | SecretRef) else "<plain>"


def _one_word(key: str) -> str:
    if not re.fullmatch(r"[!-~]+", key):
        raise PydanticCustomError("api_key", "expected one word of visible ASCII characters")
    return key


Name = Annotated[str, Field(pattern=r"\S", max_length=LONGEST_NAME)]
ApiKey = Annotated[
    Annotated[Annotated[str, AfterValidator(_one_word)], Tag("<plain>")] | Annotated[SecretRef, Tag("<reference>")],
    Discriminator(_key_tag),
]


class LiveKitTransport(Model):
    """A LiveKit room of your own: this device publishes there, the API's gateway watches."""

    type: Literal["livekit"] = "livekit"
    """How video gets there."""
    url: str = Field(pattern=r"^\S+$", examples=["wss://my-project.livekit.cloud"])
    """Where your LiveKit server is: ws:// or wss://. The API must reach it too."""
    token: SecretRef | None = None
    """The token that the API's gateway joins with, by reference: it may subscribe. Or give api_key and api_secret."""
    publish_token: SecretRef | None = None
    """The token that this device joins with, by reference: it may publish. Goes with token."""
    api_key: ApiKey | None = None
    """A LiveKit API key, as it is or by reference. With api_secret both tokens are made here, as often as needed."""
    api_secret: SecretRef | None = None
    """The secret of api_key, by reference."""
    room: Name | None = Field(default=None, examples=["{device}-{stream}"])
    """The room, with api_key; {device} and {stream} are filled in. Default: {device}-{stream}."""
    identity: Name | None = Field(default=None, examples=["{device}"])
    """What this device is called there, with api_key; {device} and {stream} are filled in. Default: {device}."""


def _transport_tag(value: Any) -> str | None:
    """Tags stand in brackets, so that in an error's path they never look like a key."""
    if not isinstance(value, dict):
        kind = getattr(value, "type", None)
        return None if kind is None else f"<{kind}>"
    kind = value.get("type", None if any(key in LIVEKIT_KEYS for key in value) else "auto")
    return None if kind is None else f"<{kind}>"


def bare_word(value: Any) -> Any:
    """`transport: native` is short for `transport: {type: native}`."""
    return {"type": value} if isinstance(value, str) else value


_Transports = Annotated[
    Annotated[AutoTransport, Tag("<auto>")]
    | Annotated[NativeTransport, Tag("<native>")]
    | Annotated[WebrtcTransport, Tag("<webrtc>")]
    | Annotated[LiveKitTransport, Tag("<livekit>")],
    Discriminator(_transport_tag),
]
TransportConfig = Annotated[
    _Transports,
    BeforeValidator(bare_word, json_schema_input_type=Literal["auto", "native", "webrtc", "livekit"] | _Transports),
]


# -- with their secrets read -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoomLogin:
    """What a room of the user's is joined with: two tokens, or a key and a secret that make them."""

    token: Secret | None = None
    publish_token: Secret | None = None
    api_key: Secret | None = None
    api_secret: Secret | None = None

    @property
    def given(self) -> frozenset[str]:
        """Which of them there are, by their keys."""
        return frozenset(name for name in self.__dataclass_fields__ if getattr(self, name) is not None)

    @property
    def tokens(self) -> dict[str, str]:
        """The tokens that are given, by their keys."""
        given = {"token": self.token, "publish_token": self.publish_token}
        return {key: secret.reveal() for key, secret in given.items() if secret is not None}


@dataclass(frozen=True, slots=True)
class IceUrl:
    """One URL of an ICE server, and what that asks for."""

    url: str
    username: str | None = None
    credential: Secret | None = None


def ice_urls(servers: Sequence[IceServerConfig], credentials: Sequence[Secret | None]) -> tuple[IceUrl, ...]:
    """Each URL by itself; `credentials` has one for each server, in their order."""
    return tuple(
        IceUrl(url, server.username, credential)
        for server, credential in zip(servers, credentials, strict=True)
        for url in server.urls
    )
