"""FFmpeg's errors in our words, in one place for this room."""

from __future__ import annotations

import av

from overshootd.errors import CameraLost

FFMPEG_ERRORS = (av.FFmpegError, OSError)
"""What PyAV raises for what is not the program's fault."""


def lost(name: str, error: Exception) -> CameraLost:
    """The sentence without FFmpeg's own decoration, which may hold a URL with a password in it."""
    return CameraLost(f"{name}: {(isinstance(error, FFMPEG_ERRORS) and error.strerror) or error}")


ENDED = "the camera ended the connection"

_SAID: tuple[tuple[type[Exception], str], ...] = (
    (av.HTTPUnauthorizedError, "the camera refuses the user name or password"),
    (av.HTTPForbiddenError, "the camera does not allow this user this stream: 403"),
    (av.HTTPNotFoundError, "no such stream: 404"),
    (av.HTTPBadRequestError, "the camera does not understand the request: 400"),
    (av.HTTPTooManyRequestsError, "the camera asks for fewer requests: 429"),
    (av.HTTPClientError, "the camera refuses the request (4xx)"),
    (av.HTTPServerError, "the camera reports an error of its own (5xx)"),
    (ConnectionRefusedError, "connection refused"),
    (ConnectionResetError, ENDED),
    (BrokenPipeError, ENDED),
    (av.ArgumentError, "FFmpeg cannot make sense of this URL"),
    (av.InvalidDataError, "what answers there sends no video that FFmpeg understands"),
)
"""What went wrong on a network, by FFmpeg's error. The first that fits counts."""

_SILENCE = (av.ExitError, av.InvalidDataError, OSError)
"""What FFmpeg makes of an answer that does not come, which differs from protocol to protocol."""


def trouble(error: Exception, *, waited: float, limit: float) -> str:
    """What befell a network camera, in words without its URL: it had `limit` seconds and failed after `waited`."""
    if isinstance(error, _SILENCE) and waited >= limit:
        return f"no answer within {limit:g} s"
    for kind, said in _SAID:
        if isinstance(error, kind):
            return said
    strerror = error.strerror if isinstance(error, FFMPEG_ERRORS) else None
    return strerror or type(error).__name__
