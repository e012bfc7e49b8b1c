"""The control socket's lines (docs/control.md): one JSON object asks, one answers. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from overshootd.errors import OvershootdError

Json = Mapping[str, Any]

Handler = Callable[[Json], Awaitable[Json]]
"""Answers one command. It is given the whole request, whose words nobody has looked at, and raises OvershootdError with
a sentence for whoever asked. It should bound its own time: the server's bound is there for mistakes."""

REQUEST_BYTES = 64 * 1024
"""A prompt is the longest thing that anybody has to say."""

ANSWER_BYTES = 8 * 1024 * 1024
"""A 1080p picture of the highest quality is about 1.5 MB, and a third more in base64."""


class NotUnderstood(OvershootdError):
    """A line is no request, or no answer."""


class Refusal(OvershootdError):
    """The daemon will not do what it was asked; the text says why, in its own words."""


class NotMeant(Refusal):
    """Another daemon answers than the one that was meant."""


def request_line(command: str, words: Json) -> bytes:
    """The line that asks for `command`. Raises NotUnderstood when it would be longer than the daemon reads."""
    line = _line({"command": command, **words})
    if len(line) > REQUEST_BYTES:
        raise NotUnderstood(f"a request of {len(line)} bytes, at most {REQUEST_BYTES} are read")
    return line


def read_request(line: bytes) -> tuple[str, Json]:
    """The command, and the whole request. Raises NotUnderstood."""
    request = _read(line)
    if not isinstance(request, dict) or not isinstance(command := request.get("command"), str):
        raise NotUnderstood('a request is one JSON object on a line, such as {"command": "status"}')
    return command, request


def done_line(answer: Json, redact: Callable[[str], str]) -> bytes:
    """The line with what a handler gave: secrets masked, bytes in base64. Raises ValueError or TypeError for what JSON
    cannot say, NotUnderstood when nobody would read so much."""
    line = _line({"ok": redacted(answer, redact)})
    if len(line) > ANSWER_BYTES:
        raise NotUnderstood(f"the answer has {len(line)} bytes, more than the {ANSWER_BYTES} that are read")
    return line


def refusal_line(why: str, redact: Callable[[str], str], **more: object) -> bytes:
    """The line that says why not."""
    return _line({"error": redact(why), **more})


def unknown(command: str, known: Iterable[str]) -> str:
    """Why a command is refused that there is not."""
    return f"there is no command {command[:40]!r}; those are: {', '.join(sorted(known))}"


def read_answer(line: bytes) -> Json:
    """What is under `ok`. Raises Refusal or NotMeant with what is under `error`, NotUnderstood for anything else."""
    match _read(line):
        case {"ok": dict(answer)}:
            return answer
        case {"error": str(why), "meant": False}:
            raise NotMeant(why)
        case {"error": str(why)}:
            raise Refusal(why)
    raise NotUnderstood(f"no answer of overshootd's: {line[:80]!r}")


def redacted(value: object, redact: Callable[[str], str]) -> object:
    """The value with every text in it masked. Not the line as a whole: a password that is a word of JSON's would spoil
    it. Nor bytes, for a picture may hold a password's letters by chance. Names of keys are not masked."""
    match value:
        case str():
            return redact(value)
        case Mapping():
            return {key: redacted(inner, redact) for key, inner in value.items()}
        case list() | tuple():
            return [redacted(inner, redact) for inner in value]
    return value


def _line(content: Json) -> bytes:
    return json.dumps(content, allow_nan=False, default=_base64).encode() + b"\n"


def _base64(value: object) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"JSON has no {type(value).__name__}")
    return base64.b64encode(value).decode()


def _read(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
