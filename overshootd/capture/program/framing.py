"""Where in a stream of bytes a picture begins and ends. Pure, incremental, bounded.

Each framing keeps the bytes of one picture at most, and gives it as soon as its last byte is there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

LIMIT = 16 * 2**20
"""Bytes of one encoded picture: a JPEG of 8K takes half of it."""

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
"""Markers of a JPEG: start and end of the image, start of a scan (ITU-T T.81, table B.1)."""

_ALONE = frozenset((0x01, *range(0xD0, 0xD8), EOI))
"""Markers that no length follows (B.1.1.3)."""

_NEVER = frozenset((0x00, *range(0x02, 0xC0), SOI))
"""What is no marker, or a reserved one, or begins a picture within a picture."""

_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the header that says the size (B.2.2)."""

_START = re.compile(rb"\xff\xd8\xff")
_SCAN_END = re.compile(rb"\xff[\xc4\xd8-\xdd\xe0-\xef\xfe]")
"""What may follow a scan: another picture or the end, tables, another scan, metadata. In entropy-coded data FF comes
before 00 or a restart marker (B.1.1.5); damaged data has others, which mean nothing."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture as it came. `began_ns`: `time.monotonic_ns()` when its first byte was read."""

    data: bytes | bytearray
    began_ns: int


class Framing(Protocol):
    """Cuts frames out of bytes."""

    @property
    def missed(self) -> str:
        """What is amiss with what has come since the last frame, for the sentence that says that none comes."""

    def feed(self, data: bytes, now_ns: int) -> Sequence[Frame]:
        """The frames that end in `data`, which was read at `now_ns`."""


class FixedFraming:
    """Pictures of one size, one after the other."""

    def __init__(self, size: int) -> None:
        """`size` in bytes."""
        self._size = size
        self._part = bytearray()
        self._began_ns = 0

    @property
    def missed(self) -> str:
        return f"{len(self._part)} of the {self._size} bytes of a picture came" if self._part else ""

    def feed(self, data: bytes, now_ns: int) -> list[Frame]:
        frames = []
        view = memoryview(data)
        while view:
            if not self._part:
                self._began_ns = now_ns
            missing = self._size - len(self._part)
            self._part += view[:missing]
            view = view[missing:]
            if len(self._part) == self._size:
                frames.append(Frame(self._part, self._began_ns))
                self._part = bytearray()
        return frames


class Step(Enum):
    """What a look at the next bytes of a picture found."""

    ON = "one marker further"
    MORE = "more bytes are needed"
    END = "the picture's end"
    LOST = "this is no picture, or no longer"


class JpegFraming:
    """JPEG pictures, one after the other, maybe with something else between them.

    Walks from marker to marker: a picture in small inside a picture's metadata has a beginning and an end too. Where
    no marker is in its place, or a picture is past `LIMIT`, what has come of it is given up.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._place = 0
        """How far the picture that `_data` begins with has been walked; 0: none has begun."""
        self._in_scan = False
        self._began_ns = self._now_ns = 0
        self._skipped = 0

    @property
    def missed(self) -> str:
        if self._place:
            return f"a JPEG picture has begun, and not ended within {len(self._data)} bytes"
        return f"{self._skipped} bytes came that are no JPEG picture" if self._skipped else ""

    def feed(self, data: bytes, now_ns: int) -> list[Frame]:
        self._now_ns = now_ns
        self._data += data
        frames = []
        while self._place or self._find():
            step = self._walk()
            if step is Step.MORE:
                break
            if step is Step.END:
                frames.append(Frame(self._data[: self._place], self._began_ns))
            self._skipped = 0 if step is Step.END else self._skipped + self._place
            self._drop(self._place)
        if len(self._data) > LIMIT:
            self._drop(len(self._data))
        return frames

    def _find(self) -> bool:
        """Drop what is before the next beginning."""
        match = _START.search(self._data)
        before = match.start() if match else max(len(self._data) - 2, 0)
        self._skipped += before
        self._drop(before)
        self._place = 2 if match else 0
        return match is not None

    def _walk(self) -> Step:
        """As far as the bytes reach."""
        step = Step.ON
        while step is Step.ON:
            step = self._scan() if self._in_scan else self._segment()
        return step

    def _segment(self) -> Step:
        """Past one marker and what belongs to it."""
        head = self._data[self._place : self._place + 4]
        if len(head) < 2:
            return Step.MORE
        marker = head[1]
        if head[0] != 0xFF or marker in _NEVER:
            return Step.LOST
        if marker == 0xFF:
            self._place += 1
        elif marker in _ALONE:
            self._place += 2
        elif len(head) < 4:
            return Step.MORE
        else:
            self._place += 2 + int.from_bytes(head[2:], "big")
            self._in_scan = marker == SOS
        return Step.END if marker == EOI else Step.ON

    def _scan(self) -> Step:
        """Past the entropy-coded data of one scan."""
        match = _SCAN_END.search(self._data, self._place)
        if match is None:
            self._place = max(self._place, len(self._data) - 1)  # the last byte may be half a marker
            return Step.MORE
        self._place, self._in_scan = match.start(), False
        return Step.ON

    def _drop(self, count: int) -> None:
        """What is left after it came with the last bytes."""
        del self._data[:count]
        self._place, self._in_scan, self._began_ns = 0, False, self._now_ns


def jpeg_size(data: bytes | bytearray) -> tuple[int, int] | None:
    """Width and height that a JPEG picture says it has, in pixels; None when it does not say."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _FRAME_HEADERS:
            height, width = (int.from_bytes(data[at : at + 2], "big") for at in (place + 5, place + 7))
            return (width, height) if width and height else None
        if marker == 0xFF:
            place += 1
        elif marker in _ALONE:
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None
