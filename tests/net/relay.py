"""Delays packets: `relay.py NAME SECONDS` gives this network namespace a TUN device from which each packet comes back
after SECONDS.

The router sends an uplink's packets into it, both ways (tests/net/lab.py). A delay that is the same for all keeps their
order, so a queue will do. The kernels of our machines have no netem.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

LONGEST = 2000
"""Packets under way. Beyond, those that come are lost: 0.3 s at 500 kbit/s are some 20."""

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_PACKET = 65536


def main(name: str, delay: float) -> None:
    """Says `ready` once the device is there; runs until it is killed."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    print("ready", flush=True)
    waiting: deque[tuple[float, bytes]] = deque()
    while True:
        timeout = max(waiting[0][0] - time.monotonic(), 0.0) if waiting else None
        if select.select([tun], [], [], timeout)[0]:
            packet = os.read(tun, _PACKET)
            if len(waiting) < LONGEST:
                waiting.append((time.monotonic() + delay, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            os.write(tun, waiting.popleft()[1])


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
