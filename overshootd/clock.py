"""Whether the wall clock can be trusted, as the kernel knows it (adjtimex(2))."""

from __future__ import annotations

import ctypes

TIME_ERROR = 5
"""adjtimex's answer while no time service has set the clock."""

TIMEX_BYTES = 512
"""More than any ABI's struct timex (208 bytes on 64 bit); all zero asks and changes nothing."""


def clock_synced() -> bool:
    """True once a time service (timesyncd, chrony, ntpd) has set the clock since boot."""
    libc = ctypes.CDLL(None)
    return int(libc.adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))) not in (TIME_ERROR, -1)
