"""Blocks beyond the end of a file, for lines to come: then a line changes less of the filesystem. Blocking.

Without them ext4 writes the bitmap of free blocks and its group's descriptor with every new block, and its journal has
both first. A file in more than four pieces has a block more to write each time, or four when the tree of its pieces
grows and shrinks: chunks are so large that one of 10 MB has no more. Five lines of 682 bytes that are synced together
write 8 blocks of 4 kB in most cases with 64 kB at a time, and 5 in one piece (block_rq_issue of a loop ext4, over 40
syncs behind the first 3,000 lines).

A file's size stays what was written. `du` and `df` count the blocks, so they are given back where a file is left; what
a crash leaves is used by the next run. It is done only on ext4 with extents, where it was measured: other filesystems
allocate ahead by themselves or write elsewhere anyway, btrfs would no longer compress the file, and vfat would have to
be repaired after a power cut. There, and where room is short, lines are written as ever.

The kernel does it for an ioctl too (`struct space_resv` in its linux/falloc.h), which needs neither ctypes nor a
package; `os.posix_fallocate` would change the size.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from contextlib import suppress

CHUNK = 4 * 1024 * 1024
"""Bytes."""

ENOUGH = 16 * CHUNK
"""Bytes that must be free: nobody misses a chunk of these 64 MB."""

_RESERVED = struct.Struct("hhqqiI4i")
RESERVE = 1 << 30 | _RESERVED.size << 16 | ord("X") << 8 | 40
"""FS_IOC_RESVSP: fallocate with FALLOC_FL_KEEP_SIZE."""

GET_FLAGS = 2 << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | 1
"""FS_IOC_GETFLAGS; whatever its number says, the kernel writes an int."""

EXTENTS = 0x80000
"""FS_EXTENT_FL, which only ext4 sets."""


def wanted(size: int, allocated: int, more: int, limit: int) -> int:
    """Bytes to allocate from the end on for `more` to be written; 0 is nothing. Pure.

    `allocated` is what the file takes on the disk, `limit` the size that it will never exceed.
    """
    need = size + more
    end = min(-(-need // CHUNK) * CHUNK, limit)
    return end - size if allocated < need < end else 0


def allocate(descriptor: int, more: int, limit: int) -> None:
    """Have blocks for `more` bytes at the end and for some beyond, where that helps and there is room."""
    stat = os.fstat(descriptor)
    length = wanted(stat.st_size, stat.st_blocks * 512, more, limit)
    if length and _has_extents(descriptor) and _has_room(descriptor):
        with suppress(OSError):  # the write does without, or meets the same and tells it
            fcntl.ioctl(descriptor, RESERVE, _RESERVED.pack(0, os.SEEK_SET, stat.st_size, length, *[0] * 6))


def give_back(descriptor: int) -> None:
    """Free what is allocated beyond the end; the time of the last line stays the file's."""
    stat = os.fstat(descriptor)
    if stat.st_blocks * 512 < stat.st_size + stat.st_blksize or not _has_extents(descriptor):
        return
    with suppress(OSError):  # a chunk stays with the file, until it is compressed or deleted
        os.ftruncate(descriptor, stat.st_size)
        os.utime(descriptor, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _has_extents(descriptor: int) -> bool:
    flags = bytearray(struct.calcsize("l"))
    try:
        fcntl.ioctl(descriptor, GET_FLAGS, flags)
    except OSError:  # a filesystem without such flags
        return False
    return bool(int.from_bytes(flags[:4], sys.byteorder) & EXTENTS)


def _has_room(descriptor: int) -> bool:
    room = os.fstatvfs(descriptor)
    return room.f_bavail * room.f_frsize >= ENOUGH
