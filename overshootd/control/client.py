"""Asks a running daemon, wherever it listens. Blocks: for commands, not for the daemon."""

from __future__ import annotations

import grp
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from overshootd.control.address import too_long
from overshootd.control.wire import ANSWER_BYTES, Json, NotUnderstood, read_answer, request_line
from overshootd.errors import OvershootdError

PIECE = 65536


class NoDaemon(OvershootdError):
    """No daemon answers; the text, of several lines, says where it was looked for and what to do."""


class NoAnswer(OvershootdError):
    """Somebody listens, and says nothing for too long."""


def ask(places: Sequence[Path], command: str, words: Json, seconds: float) -> Json:
    """The answer of the first daemon that listens at one of `places`, within `seconds`.

    Raises NoDaemon, NoAnswer, Refusal with the daemon's words (NotMeant is one), or NotUnderstood.
    """
    line = request_line(command, words)
    troubles: dict[Path, OSError] = {}
    for place in places:
        try:
            return read_answer(_exchange(place, line, time.monotonic() + seconds))
        except TimeoutError:
            raise NoAnswer(
                f"the daemon at {place} gave no answer within {seconds:g} s. What it is doing: journalctl -u overshootd"
            ) from None
        except OSError as error:
            troubles[place] = error
    raise NoDaemon(_nobody(troubles))


def _exchange(place: Path, line: bytes, deadline: float) -> bytes:
    """Raises OSError; TimeoutError, which is one, only when somebody listens there."""
    if trouble := too_long(place):
        raise OSError(trouble)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        _bound(connection, deadline)
        connection.connect(os.fspath(place))
        # One that has too much to do answers, and is gone, before it is asked.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(line)
        received = bytearray()
        while not received.endswith(b"\n"):
            _bound(connection, deadline)
            piece = connection.recv(PIECE)
            if not piece or len(received) > ANSWER_BYTES:
                raise NotUnderstood(f"the daemon at {place} broke off: is it being stopped? Ask again")
            received += piece
        return bytes(received)


def _bound(connection: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)


def _nobody(troubles: dict[Path, OSError]) -> str:
    """What to tell whoever looked at these places in vain."""
    looked = "".join(f"\n  {place}: {_why(error)}" for place, error in troubles.items())
    closed = next((place for place, error in troubles.items() if isinstance(error, PermissionError)), None)
    advice = _how_to_be_allowed(closed) if closed else "Is it running? systemctl status overshootd"
    return f"no daemon answers. It was looked for at{looked}\n{advice}"


def _why(error: OSError) -> str:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return "not there"
        case ConnectionRefusedError():
            return "nobody listens there"
        case PermissionError():
            return "you may not ask there"
        case BlockingIOError():
            return "it takes nobody in; what it is doing: journalctl -u overshootd"
    return error.strerror or str(error)


def _how_to_be_allowed(place: Path) -> str:
    """By joining the group that may ask: the socket's, or that of the directory that hides it."""
    group = next((path.stat().st_gid for path in (place, *place.parents) if _is_seen(path)), 0)
    if group == 0:  # nobody joins root's
        return "Ask with sudo"
    return f"Join the group that may ask (sudo usermod -aG {_name(group)} $USER, then log in anew), or ask with sudo"


def _is_seen(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def _name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)
