"""Ways to spoil one message of the results WebSocket. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from overshootd.simulator.faults import Malformed


def spoil(fault: Malformed, message: Mapping[str, Any]) -> str | bytes:
    """What goes over the wire instead of `message`; bytes are a binary message."""
    match fault.kind:
        case "not_json":
            return json.dumps(message)[:-10]
        case "not_object":
            return json.dumps([message["id"], "result"])
        case "missing_fields":
            return json.dumps({"id": message["id"], "stream_id": message["stream_id"]})
        case "unknown_fields":
            return json.dumps({**message, "x_unknown": {"nested": [1, None]}, "confidence": 0.5})
        case "wrong_types":
            return json.dumps({**message, "ok": "yes", "result": 7, "total_latency_ms": "soon"})
        case "binary":
            return json.dumps(message).encode()
