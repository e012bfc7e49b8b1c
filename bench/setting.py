"""What the daemon is told: its configuration and its environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bench import gateway


def write_config(
    folder: Path, camera: Mapping[str, object], interval: float, publish: Mapping[str, object] | None = None
) -> Path:
    """One stream, nothing left of a run before. Results go to FOLDER/results.jsonl."""
    for stale in (*folder.glob("state/*"), folder / "results.jsonl"):
        stale.unlink(missing_ok=True)
    stream = {
        "camera": camera,
        "processing": {"interval_seconds": interval},
        "inference": {"prompt": "Is anyone there?", "model": "Qwen/Qwen3.5-9B"},
        "publish": publish or {},
        "sinks": [{"type": "file", "path": str(folder / "results.jsonl")}],
    }
    api = {"base_url": gateway.API, "key": {"env": "OVERSHOOT_API_KEY"}}
    config = {"version": 1, "state_dir": str(folder / "state"), "api": api, "streams": {"bench": stream}}
    path = folder / "overshootd.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return path


def daemon_env(folder: Path) -> dict[str, str]:
    return {"OVERSHOOT_API_KEY": gateway.KEY, "SSL_CERT_FILE": str(folder / "cert.pem")}
