"""Signatures of webhooks as standardwebhooks.com specifies them (version 1, symmetric). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from overshootd.errors import ConfigError

PREFIX = "whsec_"
"""What follows it is the key in base64, as the specification has it; a secret without it is the key itself."""


def signing_key(secret: str) -> bytes:
    """The key that a secret means. Raises ConfigError, which does not show it."""
    if not secret.startswith(PREFIX):
        return secret.encode()
    encoded = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ConfigError(f"a secret that begins with {PREFIX} goes on in base64; this one does not")
    return key


def signed_headers(uid: str, seconds: int, body: bytes, key: bytes | None) -> Mapping[str, str]:
    """What says which message it is, when it was sent (seconds since the epoch), and, with a key, that it is ours."""
    named = {"webhook-id": uid, "webhook-timestamp": str(seconds)}
    if key is None:
        return named
    digest = hmac.digest(key, b"%s.%d.%s" % (uid.encode(), seconds, body), hashlib.sha256)
    return {**named, "webhook-signature": f"v1,{base64.b64encode(digest).decode()}"}
