"""`overshootd snapshot`: what a stream or camera sees, masked and cropped as it would be published.

A daemon that has the camera is asked; where none has, the camera is opened.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from overshootd.capture.choose import camera_for
from overshootd.capture.feed import of_the_whole
from overshootd.capture.once import Shot, take
from overshootd.config.load import Loaded, load
from overshootd.config.secret import Redactor
from overshootd.contracts import Log
from overshootd.control.address import asked_at
from overshootd.control.client import NoDaemon, ask
from overshootd.control.picture import COMMAND, Asked, NotHad, read_picture, words
from overshootd.control.wire import NotMeant
from overshootd.errors import CameraBusy, CameraEnded, CameraLost, OvershootdError, Permanent
from overshootd.logs import open_log
from overshootd.sight import Sight, find

OK, USAGE, UNAVAILABLE, SOFTWARE, CONFIG = 0, 64, 69, 70, 78
"""sysexits.h."""

SENSORS = ("v4l2", "picamera2", "argus", "command")
"""Cameras that begin to look when they are opened. The others have been at it."""

GRACE_SECONDS = 2.0
"""For a daemon to say why there is no picture, once the time for it is over."""

Say = Callable[[str], None]


def snapshot(target: str, output: str, path: Path, timeout: float, environ: Mapping[str, str]) -> int:
    """Write the picture to the file `output`, or to standard output (`-`). Returns an exit code and says why."""
    loaded = load(path, environ, api_keys=False)
    redactor = Redactor(loaded.secrets)

    def say(text: str) -> None:
        print(redactor.redact(text), file=sys.stderr)

    sight = find(loaded, target)
    if sight is None:
        return _not_found(loaded, target, say)
    try:
        content: bytes | int = _asked_for(loaded, environ, Asked(target, timeout, sight.fingerprint))
    except (NoDaemon, NotMeant, NotHad) as error:
        content = _taken(sight, target, timeout, str(error), open_log(redactor, sys.stderr), say)
    except OvershootdError as error:
        say(str(error))
        return UNAVAILABLE
    return content if isinstance(content, int) else _write(content, output, say)


def _asked_for(loaded: Loaded, environ: Mapping[str, str], asked: Asked) -> bytes:
    """The JPEG file, of the daemon that runs with this configuration.

    Raises NoDaemon, NotMeant or NotHad where the camera may be opened, another OvershootdError where it may not.
    """
    request = {**words(asked), "state_dir": os.path.realpath(loaded.state_dir)}
    return read_picture(ask(asked_at(environ, loaded.state_dir), COMMAND, request, asked.seconds + GRACE_SECONDS))


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


def _taken(sight: Sight, name: str, timeout: float, no_daemon: str, log: Log, say: Say) -> bytes | int:
    """The JPEG file, of the camera itself, or the exit code when there is none. `no_daemon`: why none was of use."""
    from overshootd.ffmpeg.still import jpeg

    make = camera_for(sight.camera, log, sight.password)
    need, settle = of_the_whole(sight.need, sight.view), sight.camera.type in SENSORS
    try:
        return jpeg(take(Shot(make, need, sight.view, sight.size, settle), name, timeout))
    except CameraBusy as error:
        say(f"{error}. Stop what has the camera, and try again. Why no daemon gave the picture: {no_daemon}")
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


def _write(content: bytes, output: str, say: Say) -> int:
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
