"""What a program is started with, and why it could not be. Pure but for a look at the file."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Mapping

from overshootd.errors import CameraLost, OvershootdError, Permanent

_OURS = re.compile(r"OVERSHOOT|NOTIFY_SOCKET$|CREDENTIALS_DIRECTORY$|WATCHDOG_|LISTEN_(FDS|FDNAMES|PID)$|FDSTORE$")
"""Variables that are between systemd and the daemon, or hold the API key: no camera's program has to see them."""


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """The environment for a camera's program, of that of the daemon."""
    return {name: value for name, value in ours.items() if not _OURS.match(name)}


def filled(argv: tuple[str, ...], width: int, height: int, fps: float) -> list[str]:
    """The arguments with what is wanted in place of {width}, {height} and {fps}. Other braces stay as they are."""
    values = {"{width}": str(width), "{height}": str(height), "{fps}": f"{fps:g}"}
    return [re.sub("|".join(values), lambda match: values[match[0]], argument) for argument in argv]


def refused(program: str, error: OSError) -> OvershootdError:
    """Why the program could not be started, and what would be right."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        if shutil.which(program) is not None:
            return Permanent(f"{program}: the interpreter that its first line names is not there")
        whole = "" if "/" in program else ", or give its whole path"
        return Permanent(f"{program}: no such program; install it{whole}")
    if error.errno in (errno.EACCES, errno.EISDIR):
        return Permanent(f"{program}: may not be executed by this user; is chmod +x missing?")
    if error.errno == errno.ENOEXEC:
        return Permanent(f"{program}: is no program; the first line of a script names what runs it, such as #!/bin/sh")
    return CameraLost(f"{program} cannot be started: {os.strerror(error.errno or 0)}")
