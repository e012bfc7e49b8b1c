"""Where a running daemon can be asked. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

NAME = "control.sock"

RUNTIME_DIRECTORY = Path("/run/overshootd")
"""What systemd makes of the unit's RuntimeDirectory=."""

LONGEST = 107
"""Bytes of a socket's path: unix(7) has 108, one of them for the end."""


def listening_at(environ: Mapping[str, str], state_dir: Path) -> Path:
    """Where the daemon listens: in $RUNTIME_DIRECTORY, which is on a tmpfs; without a unit in its `state_dir`."""
    return (_runtime_directory(environ) or state_dir) / NAME


def asked_at(environ: Mapping[str, str], state_dir: Path) -> list[Path]:
    """Where a command looks, in this order. The state directory tells daemons apart, so it comes first."""
    places = [state_dir, _runtime_directory(environ), RUNTIME_DIRECTORY]
    return [directory / NAME for directory in dict.fromkeys(filter(None, places))]


def too_long(path: Path) -> str:
    """What is wrong with a path that no socket can have; empty when nothing is."""
    length = len(os.fsencode(path))
    if length <= LONGEST:
        return ""
    return f"a socket's path has at most {LONGEST} bytes, this one has {length}: set state_dir to a shorter path"


def _runtime_directory(environ: Mapping[str, str]) -> Path | None:
    first = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(first) if first else None
