"""Directories and files as the store and the file sink make them, and the one sentence when they may not."""

from __future__ import annotations

import errno
import os
import pwd
from pathlib import Path

DIRECTORY_MODE = 0o750
FILE_MODE = 0o640

HOPELESS = {
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
}

NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
"""What is answered where there is nothing to sync: by some filesystems, and by a pipe."""


def is_hopeless(error: OSError) -> bool:
    """Whether a person must act: it does not pass by itself, as a full disk or a read-only card may."""
    return error.errno in HOPELESS


def make_directories(path: Path) -> None:
    """Make it and its missing parents. Raises OSError."""
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    for directory in reversed(missing):
        directory.mkdir(DIRECTORY_MODE, exist_ok=True)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def sync_data(descriptor: int) -> None:
    """Return when what was written there survives a power cut. Raises OSError."""
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def sync_directory(path: Path) -> None:
    """Make the names in it survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it. Raises OSError, and then some of it may be written."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def cannot_write(path: Path, error: OSError, setting: str) -> str:
    """One sentence: which path, who tried, why not and what would help. `setting` is the configuration's key for it."""
    user = _user()
    reason = error.strerror or str(error)
    match error.errno:
        case errno.EACCES | errno.EPERM:
            remedy = f"let {user} write to {_existing(path)}, or set {setting} to a path where it may"
        case errno.EROFS:
            remedy = f"mount it read-write, or set {setting} to a path on another filesystem"
        case errno.ENOSPC | errno.EDQUOT:
            remedy = "make room there"
        case errno.ENOTDIR | errno.EEXIST | errno.EISDIR | errno.ELOOP | errno.ENAMETOOLONG:
            remedy = f"set {setting} to another path"
        case _:
            remedy = "look at the disk and the kernel's log"
    return f"{path}: {user} cannot write there ({reason}): {remedy}"


def _user() -> str:
    try:
        return f"user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:  # systemd's DynamicUser without NSS
        return f"user id {os.geteuid()}"


def _existing(path: Path) -> Path:
    return next(directory for directory in (path, *path.parents) if os.path.lexists(directory))
