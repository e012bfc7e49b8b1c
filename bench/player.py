"""A camera as a program: `python bench/player.py RECORDING FPS [FLAG]` writes its frames, in time, for ever.

With FLAG it is a camera whose cable can be pulled: it ends, or does not begin, while that file is not there. Only the
standard library, and no import of ours: a camera is there at once.
"""

from __future__ import annotations

import struct
import sys
import time
from pathlib import Path


def main(recording: Path, fps: float, flag: Path | None) -> int:
    data = recording.read_bytes()
    offsets, offset = [], 0
    while offset < len(data):
        (length,) = struct.unpack_from("<I", data, offset)
        offsets.append((offset + 4, offset + 4 + length))
        offset += 4 + length
    view, out = memoryview(data), sys.stdout.buffer
    start, number = time.monotonic(), 0
    while flag is None or flag.exists():
        begin, end = offsets[number % len(offsets)]
        out.write(view[begin:end])
        out.flush()
        number += 1
        time.sleep(max(start + number / fps - time.monotonic(), 0))
    print("the cable is pulled", file=sys.stderr)
    return 69


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3:] else None))
    except BrokenPipeError:
        sys.exit(0)
