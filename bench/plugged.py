"""overshootd that takes the kernel's word on /dev/null for a camera's: `python -m bench.plugged run -c FILE`.

There is no camera here to plug in, but root can make the kernel say of any device that it was added. Everything after
that word is overshootd's own: the lost camera is opened anew, a stream is made, a room joined.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from overshootd import daemon
from overshootd.capture.hotplug import Hotplug
from overshootd.cli import main

SPEAK = Path("/sys/class/mem/null/uevent")
"""Whoever writes an action here makes the kernel say it; nothing else happens."""

if __name__ == "__main__":
    vars(daemon)["Hotplug"] = partial(Hotplug, subsystems={"mem"})
    sys.exit(main(sys.argv[1:]))
