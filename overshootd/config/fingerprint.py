"""What a stream is at the API, in a word that a later process, of a later release too, comes to by itself."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from overshootd.config.model import ApiConfig, StreamConfig
from overshootd.config.secret import Secret
from overshootd.config.transports import LiveKitTransport, RoomLogin

HERE = {"publish_token", "identity", "ice_servers"}
"""Of a transport, what is between this device and the room: the API has no part in it."""

SECRETS = set(RoomLogin.__dataclass_fields__)
"""Which are compared by what they are, not by where they are kept."""


def stream_fingerprint(config: StreamConfig, api: ApiConfig, key: Secret) -> str:
    """Another word (hexadecimal SHA-256) where another stream at the API is necessary. Pure.

    It is the same as long as the same is asked of the API: what is left to its defaults or to ours does not count, so
    that keys of later releases leave it alone. Nobody comes from it to a secret without knowing `key`, which is that of
    the HMAC; the others are inside.
    """
    asked = {
        "api": [api.base_url, api.version],
        "mode": config.mode,
        "processing": config.processing.model_dump(mode="json", exclude_none=True),
        "inference": _inference(config.inference.model_dump(mode="json", exclude_none=True)),
        "transport": _transport(config),
    }
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hmac.digest(key.reveal().encode(), text.encode(), hashlib.sha256).hex()


def _inference(written: Mapping[str, Any]) -> dict[str, Any]:
    """A schema as text: the order of its properties is that in which a model answers."""
    schema = written.get("output_schema_json")
    return {**written, "output_schema_json": json.dumps(schema)} if schema is not None else dict(written)


def _transport(config: StreamConfig) -> dict[str, Any]:
    transport = config.transport
    same = transport.model_dump(mode="json", exclude_defaults=True, exclude=HERE | SECRETS)
    if isinstance(transport, LiveKitTransport):
        login = {name: getattr(config.room_login, name) for name in SECRETS - HERE}
        same |= {name: secret.reveal() for name, secret in login.items() if secret is not None}
    return {**same, "type": transport.type}
