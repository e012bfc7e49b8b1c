"""What a program says on its standard error, in lines that a log can bear. Pure."""

from __future__ import annotations

import re

from overshootd.config.secret import MASK

LINE_BYTES = 400
"""Of a line that much is kept, and its end is left out."""

BURST = 10
LINES_PER_SECOND = 1.0
"""The journal of a Pi lies in its memory or on its SD card: a program that complains about every frame must not fill
either."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_LOGINS = re.compile(r"(?<=://)\S+@")
"""FFmpeg and GStreamer repeat the URLs that they were given. A password may hold an @ itself."""


_BROKEN_OFF = re.compile(r"(?<=://)\S*$")
"""Of a URL at the cut nobody knows whether it holds a login."""


class Lines:
    """Cuts what comes into lines. Never keeps more than the beginning of one."""

    def __init__(self) -> None:
        self._part = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that have ended with this, without those that show nothing."""
        *ended, part = data.split(b"\n")
        lines = []
        for end in ended:
            lines.append(_readable(_shown(self._part + end)))
            self._part = b""
        self._part += part
        if b"\r" in self._part:
            self._part = _shown(self._part) + b"\r" * self._part.endswith(b"\r")
        self._part = self._part[: LINE_BYTES + 1]
        return [line for line in lines if line]

    def rest(self) -> list[str]:
        """What was said last, without an end of its line."""
        return self.feed(b"\n") if self._part else []


class Bucket:
    """Lets `BURST` lines through at once, then `LINES_PER_SECOND`; counts what it held back."""

    def __init__(self) -> None:
        self._tokens = float(BURST)
        self._filled = 0.0
        self.held_back = 0
        """Since a line was let through."""

    def take(self, now: float) -> bool:
        """Whether a line may pass at `now`, in seconds that never go back."""
        self._tokens = min(BURST, self._tokens + (now - self._filled) * LINES_PER_SECOND)
        self._filled = now
        if self._tokens < 1:
            self.held_back += 1
            return False
        self._tokens -= 1
        return True

    def told(self) -> int:
        """How many lines were held back since this was last asked."""
        count, self.held_back = self.held_back, 0
        return count


def _shown(line: bytes) -> bytes:
    """As a terminal would show it: programs rewrite a line of progress after a carriage return."""
    return line.rstrip(b"\r").rpartition(b"\r")[2]


def _readable(line: bytes) -> str:
    shown = _CONTROLS.sub("", _ESCAPES.sub("", line[:LINE_BYTES].decode(errors="replace")))
    if len(line) > LINE_BYTES:
        shown = _BROKEN_OFF.sub(MASK, shown) + "…"
    return _LOGINS.sub(f"{MASK}@", shown).strip()
