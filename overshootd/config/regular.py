"""Reading files that somebody else named, so that no name can hang the program or fill its memory."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_regular(path: Path, most: int) -> bytes:
    """The first `most` bytes of a regular file. Raises OSError, also for anything else, a directory included.

    A pipe is refused even as /dev/stdin: nothing says when its writer ends. A file redirected there is read.
    """
    # Python itself refuses a directory.
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _not_regular()
        return file.read(most)


def _open_at_once(path: str, flags: int) -> int:
    """Without waiting for a pipe's other end, or for a device's carrier."""
    try:
        return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device that nothing drives
            raise _not_regular() from None
        raise


def _not_regular() -> OSError:
    return OSError(errno.EINVAL, "a pipe, socket or device, not a regular file")
