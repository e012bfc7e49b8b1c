"""The words of the command `snapshot` (docs/control.md), and what comes back. Pure."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

from overshootd.control.wire import Json, NotUnderstood
from overshootd.errors import OvershootdError

COMMAND = "snapshot"

SECONDS = 30.0
"""To wait for a picture, where nobody says."""

LONGEST_SECONDS = 50.0
"""The daemon waits no longer, whoever asks: before its socket gives up, so that a reason comes back."""

JPEG_BYTES = 5_000_000
"""At most; in base64 they fit into an answer (wire.ANSWER_BYTES)."""

KIND = "image/jpeg"


class NotHad(OvershootdError):
    """The daemon does not have what was asked for, and the text says why: the camera may be opened."""


@dataclass(frozen=True, slots=True)
class Asked:
    """For the picture of which stream or camera, how long to wait, and what whoever asks takes the name for
    (Sight.fingerprint; empty: whatever the daemon does)."""

    name: str
    seconds: float = SECONDS
    fingerprint: str = ""


def words(asked: Asked) -> Json:
    """What stands beside the command."""
    return {"name": asked.name, "timeout": asked.seconds, "fingerprint": asked.fingerprint}


def read_words(request: Json) -> Asked:
    """What was asked for. Raises NotUnderstood."""
    name, seconds = request.get("name"), request.get("timeout", SECONDS)
    fingerprint = request.get("fingerprint", "")
    if not isinstance(name, str):
        raise NotUnderstood("name: expected that of a stream or a camera")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise NotUnderstood("timeout: expected seconds, more than 0")
    if not isinstance(fingerprint, str):
        raise NotUnderstood("fingerprint: expected a text")
    return Asked(name, min(float(seconds), LONGEST_SECONDS), fingerprint)


def had(jpeg: bytes, width: int, height: int) -> Json:
    """The answer with a picture."""
    return {"type": KIND, "width": width, "height": height, "base64": jpeg}


def not_had(why: str) -> Json:
    """The answer without one, for whoever may open the camera then."""
    return {"not_had": why}


def read_picture(answer: Json) -> bytes:
    """The JPEG file. Raises NotHad, or NotUnderstood for the answer of another version."""
    match answer:
        case {"not_had": str(why)}:
            raise NotHad(why)
        case {"type": "image/jpeg", "base64": str(text)}:
            try:
                return base64.b64decode(text, validate=True)
            except ValueError:
                pass
    raise NotUnderstood(f"the daemon's answer has no picture, but {', '.join(sorted(answer)) or 'nothing'}")
