"""What the receiver of a peer connection says of what it gets (RTCP), and what follows from that. Pure."""

from __future__ import annotations

from overshootd.contracts import AccessUnit, Wish

LOSSY = 0.1
"""The share of lost packets that says that a path is too narrow; libwebrtc lowers its rate above it too. Less is the
weather of a radio link, and packets that are asked for again make good for it."""

NARROW_SECONDS = 30.0
"""As in `health`: a path that takes less than half for so long is no hiccup."""


class Feedback:
    """Turns what the receiver says into wishes of the encoder.

    Its estimate of the path counts only while packets are lost: at the rates that are published here the estimate
    follows what arrives (a quiet picture takes few bits), and each change of rate costs a keyframe.
    """

    def __init__(self, keyframe_seconds: float | None) -> None:
        """`keyframe_seconds`: wish for a keyframe whenever there was none for so long."""
        self._most_ns = None if keyframe_seconds is None else round(keyframe_seconds * 1e9)
        self._keyframe = False
        self._keyframe_ns = 0
        self._estimate: int | None = None
        self._lossy = self._lowered = False
        self.arrived: int | None = None
        """Packets that arrived, beyond some constant; None before the first report."""

    def keyframe(self) -> None:
        """It cannot go on without one (RFC 4585 section 6.3.1, RFC 5104 section 4.3.1)."""
        self._keyframe = True

    def estimate(self, bits_per_second: int) -> None:
        """So much the path takes (REMB)."""
        self._estimate = bits_per_second // 1000

    def report(self, highest: int, lost: int, share: float) -> None:
        """The highest number of a packet, how many were lost of those before, and the share of those since the last
        report (RFC 3550 section 6.4.1)."""
        self.arrived = highest - lost
        self._lossy = share >= LOSSY

    def wish(self, unit: AccessUnit, most_kbps: int) -> Wish:
        """What to tell the encoder when this one goes out. `most_kbps` is what it may take where all is well."""
        if unit.keyframe:
            self._keyframe, self._keyframe_ns = False, unit.captured_ns
        overdue = self._most_ns is not None and unit.captured_ns - self._keyframe_ns >= self._most_ns
        asked, self._keyframe = self._keyframe, False
        return Wish(asked or overdue, self._kbps(most_kbps))

    def _kbps(self, most: int) -> int | None:
        if self._lossy and self._estimate is not None and self._estimate < most:
            self._lowered = True
            return self._estimate
        if self._lossy or not self._lowered:
            return None
        self._lowered = False
        return most


class Narrow:
    """Finds a path that takes less than half of what it is given."""

    def __init__(self, at: float) -> None:
        """`at`: monotonic seconds, as in `look`."""
        self._window: tuple[float, int, int | None] = (at, 0, None)

    def look(self, at: float, sent: int, arrived: int | None) -> str | None:
        """Why the path is too narrow, once for every NARROW_SECONDS that it is.

        `sent` and `arrived`: packets so far, the latter beyond some constant; None before the first report.
        """
        began, sent_before, arrived_before = self._window
        if arrived is None or (arrived_before is not None and at - began < NARROW_SECONDS):
            return None
        self._window = (at, sent, arrived)
        if arrived_before is None:
            return None
        sent, lost = sent - sent_before, sent - sent_before - (arrived - arrived_before)
        if lost <= sent / 2:
            return None
        return f"{lost} of {sent} packets were lost within {NARROW_SECONDS:g} s: the path takes less"
