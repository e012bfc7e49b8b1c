"""`overshootd snapshot`: what a stream or camera sees, masked and cropped as it would be published."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from overshootd.capture.choose import camera_for
from overshootd.capture.feed import of_the_whole
from overshootd.capture.once import Shot, take
from overshootd.config.cameras import CameraConfig, View
from overshootd.config.load import Loaded, load
from overshootd.config.model import StreamConfig
from overshootd.config.secret import Redactor, Secret
from overshootd.contracts import CaptureNeed, Log, Picture
from overshootd.errors import CameraBusy, CameraEnded, CameraLost, Permanent
from overshootd.logs import open_log
from overshootd.pacing import fit, need

OK, USAGE, UNAVAILABLE, SOFTWARE, CONFIG = 0, 64, 69, 70, 78
"""sysexits.h."""

NEED = CaptureNeed(fps=5.0, width=1280, height=720)
"""What a camera is opened for when no stream says; the size is what streams ask for by themselves."""

SENSORS = ("v4l2", "picamera2", "argus", "command")
"""Cameras that begin to look when they are opened. The others have been at it."""

HELD = "A running daemon cannot be asked yet: stop what has the camera (`systemctl stop overshootd`), and try again"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is to be shown. `size` tells the picture's size from that of what may be seen."""

    camera: CameraConfig
    password: Secret | None
    view: View
    need: CaptureNeed
    size: Callable[[int, int], tuple[int, int]]


def snapshot(target: str, output: str, path: Path, timeout: float, environ: Mapping[str, str]) -> int:
    """Write the picture to the file `output`, or to standard output (`-`). Returns an exit code and says why."""
    loaded = load(path, environ, api_keys=False)
    redactor = Redactor(loaded.secrets)

    def say(text: str) -> None:
        print(redactor.redact(text), file=sys.stderr)

    wanted = find(loaded, target)
    if wanted is None:
        return _not_found(loaded, target, say)
    picture = _picture(wanted, target, timeout, open_log(redactor, sys.stderr), say)
    return picture if isinstance(picture, int) else _write(picture, output, say)


def find(loaded: Loaded, target: str) -> Seen | None:
    """The stream of this name, or else the camera; None when there is none without a mistake."""
    if stream := loaded.streams.get(target):
        asked = need(stream.processing, stream.publish)
        return Seen(stream.camera, stream.camera_password, stream.view, asked, _published(stream))
    camera = None if target in loaded.broken else loaded.cameras.get(target)
    if camera is None:
        return None
    return Seen(camera.config, camera.password, camera.config, NEED, _even)


def _even(width: int, height: int) -> tuple[int, int]:
    """All of a camera's picture, whose pixels are not always square: then a side may be odd."""
    return width // 2 * 2, height // 2 * 2


def _published(stream: StreamConfig) -> Callable[[int, int], tuple[int, int]]:
    return lambda width, height: stream.publish.size or fit(width, height)


def _not_found(loaded: Loaded, target: str, say: Say) -> int:
    # A mistake without a key is one of a whole file, which may be the one that holds the name.
    wrong = loaded.broken.get(target) or [p for p in loaded.problems if p.within("cameras", target) or not p.key]
    for problem in wrong:
        say(str(problem))
    if wrong:
        return CONFIG
    names = ", ".join(sorted({*loaded.streams, *loaded.broken, *loaded.cameras}))
    say(f"{target} is no stream and no camera of this configuration; there {f'are: {names}' if names else 'is none'}")
    return USAGE


def _picture(wanted: Seen, name: str, timeout: float, log: Log, say: Say) -> Picture | int:
    """The picture, or the exit code when there is none."""
    make = camera_for(wanted.camera, log, wanted.password)
    shot = Shot(
        make, of_the_whole(wanted.need, wanted.view), wanted.view, wanted.size, settle=wanted.camera.type in SENSORS
    )
    try:
        return take(shot, name, timeout)
    except CameraBusy as error:
        say(f"{error}. {HELD}")
        return UNAVAILABLE
    except (CameraLost, CameraEnded) as error:
        say(str(error))
        return UNAVAILABLE
    except Permanent as error:
        say(str(error))
        return CONFIG
    except Exception as error:  # the last line of defence: said in full, redacted
        log.error("overshootd ends because of an error of its own", exc_info=error)
        return SOFTWARE


def _write(picture: Picture, output: str, say: Say) -> int:
    from overshootd.ffmpeg.still import jpeg

    content = jpeg(picture)
    try:
        if output == "-":
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        else:
            _replace(Path(os.path.realpath(output)), content)  # the file behind a link
    except OSError as error:
        say(f"{output} cannot be written: {error.strerror or error}")
        return UNAVAILABLE
    return OK


def _replace(path: Path, content: bytes) -> None:
    """Whoever reads the file finds the old picture or the new one, whole. Raises OSError."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)  # a device or a pipe, which stays what it is
        return
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
