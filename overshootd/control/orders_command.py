"""`overshootd pause`, `resume` and `prompt`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import TextIO

from overshootd.config.commands import say
from overshootd.control.client import ask
from overshootd.control.show import plain
from overshootd.control.status_command import SECONDS, looked_for
from overshootd.control.wire import Json, NotUnderstood
from overshootd.errors import ConfigError, OvershootdError


@dataclass(frozen=True, slots=True)
class Order:
    """`pause`, `resume` or `prompt` for a stream; without a `prompt` that is only asked for."""

    command: str
    stream: str
    prompt: str | None = None


def order(order: Order, path: Path, socket: Path | None, as_json: bool, environ: Mapping[str, str], out: TextIO) -> int:
    """Give it to the daemon of the configuration at `path`, or to the one that listens at `socket`.

    Returns 0 once the daemon has taken it; it takes effect soon after. When no daemon answers, or it does not take the
    order, this says why and returns EX_UNAVAILABLE (69); for a configuration that cannot be read EX_CONFIG (78).
    """
    try:
        places, meant = ([socket], {}) if socket else looked_for(path, environ)
        words = {"name": order.stream} | ({} if order.prompt is None else {"prompt": order.prompt})
        answer = ask(places, order.command, {**meant, **words}, SECONDS)
        shown = dumps(answer, indent=2, ensure_ascii=False) if as_json else _text(order, answer)
    except OvershootdError as error:
        print(error, file=sys.stderr)
        return os.EX_CONFIG if isinstance(error, ConfigError) else os.EX_UNAVAILABLE
    say(shown + "\n", out)
    return os.EX_OK


def _text(order: Order, answer: Json) -> str:
    """Raises NotUnderstood for a daemon of another version."""
    match answer:
        case {"paused": bool(paused), "prompt": str(prompt)}:
            if order.command == "prompt":
                return plain(prompt)
            return f"{order.stream} is {'paused: nothing is watched, and nothing billed' if paused else 'resumed'}"
    raise NotUnderstood(f"the daemon's answer does not tell of {order.stream}: restart it, or read it with --json")
