"""The two room servers that every transport test runs against."""

from __future__ import annotations

import os

import pytest

from overshootd.simulator.livekit_child import find_binary


def _missing() -> str | None:
    try:
        find_binary(None)
    except RuntimeError as error:
        return str(error)
    return None


# In CI a missing server is a failure of the test, not a reason to skip it.
_skip = pytest.mark.skipif(_missing() is not None and not os.environ.get("CI"), reason=str(_missing()))

LIVEKIT = pytest.param(["--media", "livekit-server"], id="livekit-server", marks=_skip)
ROOM_SERVERS = [pytest.param(["--media", "embedded"], id="embedded"), LIVEKIT]
