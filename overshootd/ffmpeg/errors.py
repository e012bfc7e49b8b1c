"""FFmpeg's errors in our words, in one place for this room."""

from __future__ import annotations

import av

from overshootd.errors import CameraLost

FFMPEG_ERRORS = (av.FFmpegError, OSError)
"""What PyAV raises for what is not the program's fault."""


def lost(name: str, error: Exception) -> CameraLost:
    """The sentence without FFmpeg's own decoration, which may hold a URL with a password in it."""
    return CameraLost(f"{name}: {(isinstance(error, FFMPEG_ERRORS) and error.strerror) or error}")
