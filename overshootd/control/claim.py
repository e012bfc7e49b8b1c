"""Takes the control socket's path: a dead daemon's is replaced, a living one's never."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from overshootd.control.address import too_long
from overshootd.errors import OvershootdError

MODE = 0o660
"""Whoever is in the daemon's group may ask."""

BACKLOG = 16

UCRED = struct.Struct("3i")
"""unix(7), SO_PEERCRED: pid, uid, gid."""


class Taken(OvershootdError):
    """The path cannot be had; the text says why."""


@contextmanager
def claimed(path: Path) -> Iterator[socket.socket]:
    """A socket that listens there, whose path goes with it. The directory has to exist and is left as it is.

    Raises Taken.
    """
    try:
        listening, identity = _claim(path)
    except OSError as error:
        raise Taken(f"{path}: {error.strerror or error}") from error
    try:
        yield listening
    finally:
        listening.close()
        with suppress(OSError):  # whoever removed it, or its directory, wanted that
            if _identity(path) == identity:
                path.unlink()


def _claim(path: Path) -> tuple[socket.socket, tuple[int, int]]:
    if trouble := too_long(path):
        raise Taken(f"{path}: {trouble}")
    with _alone_in(path.parent):
        _make_room(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(listening.fileno(), MODE)  # it is never there with more than this
            listening.bind(os.fspath(path))
            path.chmod(MODE)  # nor with less, whatever the umask
            listening.listen(BACKLOG)
            return listening, _identity(path)
        except BaseException:
            listening.close()
            raise


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Two daemons that start at once must not each take the other's fresh socket for a dead one's."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken(f"{directory}: another overshootd is just beginning there") from None
        yield
    finally:
        os.close(descriptor)


def _make_room(path: Path) -> None:
    """Remove what a dead daemon left. Raises Taken when there is something else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Taken(f"{path}: this is no socket: put it elsewhere, if nobody needs it here")
    if owner := _alive(path):
        raise Taken(
            f"{path}: {owner} listens there: stop the other overshootd, or give this one a state_dir (under systemd a "
            f"RuntimeDirectory) of its own"
        )
    path.unlink()


def _alive(path: Path) -> str:
    """Who listens; empty when nobody does. Raises Taken or OSError when that cannot be found out."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return ""
        except PermissionError:
            raise Taken(f"{path}: another user's; remove it, if no overshootd of theirs runs") from None
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            return "a process that does not answer"
        pid, _uid, _gid = UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
        return f"process {pid}"


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino
