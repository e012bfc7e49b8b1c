"""A stream of bytes into access units, by FFmpeg's own H.264 parser.

An access unit ends where the next begins, so a camera's newest frame waits for the one after it. A program that writes
an access unit delimiter (00 00 00 01 09 F0) right after each unit saves that wait.
"""

from __future__ import annotations

import re
from collections import deque

import av

from overshootd.ffmpeg.errors import FFMPEG_ERRORS, lost

LIMIT = 16 * 2**20
"""Bytes without an end of an access unit; FFmpeg's parser would keep them for ever. One of 4K takes 1 MB."""

_DELIMITER = re.compile(rb"\x00?\x00\x00\x01\x09[\x10-\xf0]")


class UnitSplitter:
    """Cuts an Annex B byte stream. For one thread."""

    def __init__(self, name: str) -> None:
        """Errors begin with `name`."""
        self._name = name
        self._parser = av.CodecContext.create("h264", "r")
        self._fed = self._given = 0  # bytes since the parser was made
        self._read: deque[tuple[int, int]] = deque()
        """When bytes were read: up to which byte, and the time. Only of those that were not given yet."""

    @property
    def waiting(self) -> int:
        """Bytes that no access unit has been made of yet."""
        return self._fed - self._given

    def feed(self, data: bytes, now_ns: int) -> list[tuple[bytes, int]]:
        """The access units that are known to end in `data`, each with the time at which its first byte was read.

        Without the delimiter before it, which may have come long before. Raises CameraLost.
        """
        self._fed += len(data)
        self._read.append((self._fed, now_ns))
        try:
            packets = self._parser.parse(data)
        except FFMPEG_ERRORS as error:
            raise lost(self._name, error) from error
        units = [self._unit(bytes(packet)) for packet in packets]
        if self.waiting > LIMIT:
            self._parser = av.CodecContext.create("h264", "r")
            self._fed = self._given = 0
            self._read.clear()
        return [unit for unit in units if unit[0]]

    def _unit(self, data: bytes) -> tuple[bytes, int]:
        delimiter = _DELIMITER.match(data)
        begin = self._given + (delimiter.end() if delimiter else 0)
        self._given += len(data)
        while len(self._read) > 1 and self._read[0][0] <= begin:
            self._read.popleft()
        return data[delimiter.end() if delimiter else 0 :], self._read[0][1]
