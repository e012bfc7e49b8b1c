"""What a stream is at the API, in a word."""

from __future__ import annotations

import hashlib
import json

from overshootd.config.model import ApiConfig, StreamConfig
from overshootd.config.secret import Secret


def stream_fingerprint(config: StreamConfig, api: ApiConfig, key: Secret) -> str:
    """Another word where another stream at the API is necessary."""
    same = config.model_dump(mode="json", include={"transport", "mode", "processing", "inference"}, exclude_none=True)
    text = json.dumps([api.base_url, same, hashlib.sha256(key.reveal().encode()).hexdigest()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
