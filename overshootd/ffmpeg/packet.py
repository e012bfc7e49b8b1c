"""Frames that are encoded already, as PyAV's packets."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

import av

if TYPE_CHECKING:
    from av.stream import Stream

AnyPacket: TypeAlias = "av.Packet[Stream]"  # generic in the stubs only


def packet(data: bytes, ticks: int, clock_rate: int) -> AnyPacket:
    """One frame, to be shown at `ticks` of a clock of `clock_rate` ticks a second."""
    made = av.Packet(data)
    made.pts, made.time_base = ticks, Fraction(1, clock_rate)
    return made
