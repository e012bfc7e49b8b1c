"""From files to values, with every mistake at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .model import ApiConfig, StreamConfig
from .problem import Problem
from .secret import Secret


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that was read. It may be wrong in part: `streams` can run, `broken` cannot."""

    device: str
    """Name of this device, never empty."""
    timezone: str | None
    state_dir: Path
    api: ApiConfig
    key: Secret | None
    """The common API key; a stream's own one wins. None only when every stream has its own, or there is none."""
    streams: Mapping[str, StreamConfig]
    """Streams without a mistake, enabled or not, with the defaults merged under them."""
    problems: tuple[Problem, ...]
    """Every mistake, in the order of the files."""
    broken: Mapping[str, tuple[Problem, ...]]
    """Streams that cannot run, and why. No name is in `streams` too."""
    secrets: tuple[Secret, ...]
    """Everything that must be masked."""

    @property
    def hopeless(self) -> bool:
        """There are mistakes and nothing is left to run: exit 78. (No stream and no mistake is fine: ready, idle.)"""
        return bool(self.problems) and not any(stream.enabled for stream in self.streams.values())


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Read FILE, or a directory holding overshootd.yaml and streams.d/. Never raises for what a file holds.

    OVERSHOOT_API_KEY and OVERSHOOT_BASE_URL override the file.
    """
    raise NotImplementedError(path, environ)
