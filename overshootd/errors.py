"""What can go wrong, by what must be done about it (api/README.md, "What each failure means").

Vendor exceptions become one of these at the boundary, in the module that adapts the vendor's package.
"""

from __future__ import annotations


class OvershootdError(Exception):
    """Base of all errors that overshootd raises on purpose; its text is one sentence for the log."""


class ConfigError(OvershootdError):
    """The configuration cannot stand. The text may have several lines, one per mistake."""


class Transient(OvershootdError):
    """Not the user's fault, or not for sure: retried for ever with full-jitter backoff.

    `retry_after` is the server's own wish in seconds, which wins over the backoff when longer.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(Transient):
    """Nobody answers: no route, no resolver, a black hole. Asking costs a packet, so it is asked more often."""


class Away(Unreachable):
    """Nobody answers, and whoever keeps the connection tells of it: those who wanted to use it need not as well."""


class Congested(Transient):
    """The path takes far less than what is passed on as the camera encodes it: encode it anew, with fewer bits."""


class Refused(Transient):
    """Somebody must act elsewhere (bad key, no credits, no such API version): retried, but slowly."""


class Rejected(Refused):
    """A receiver takes all but this record, and would refuse it again; `certain`: without asking anew."""

    def __init__(self, message: str, *, certain: bool = False) -> None:
        super().__init__(message)
        self.certain = certain


class NotOurs(Refused):
    """The stream is somebody else's, or the key has no user: it is neither used nor deleted."""


class Portal(Refused):
    """Somebody else answers in the API's place, most likely to be logged in to: retried slower than a network that
    fails, and at once on another one."""


class StreamGone(Transient):
    """The server no longer knows the stream (lease expired, client requested): make a new one at once."""


class SpoolError(Transient):
    """A record could not be stored, read or marked as delivered: disk full, I/O error, a broken database."""


class CameraLost(Transient):
    """The camera failed, fell silent or cannot be opened."""


class CameraBusy(CameraLost):
    """Somebody else has the camera open; the text says who."""


class Permanent(OvershootdError):
    """This stream cannot work until its configuration changes; the others go on."""


class CameraEnded(OvershootdError):
    """The camera came to its end as it should (a file that does not loop). Nothing is retried."""


class FrameSpoiled(OvershootdError):
    """One frame cannot be shown (truncated, damaged). The next may be; the camera is lost when none is for long."""
