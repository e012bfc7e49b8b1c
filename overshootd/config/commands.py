"""`overshootd check` and `overshootd schema`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from json import dumps
from pathlib import Path
from typing import TextIO

from overshootd.config.load import Loaded, load
from overshootd.config.schema import json_schema


def check(path: Path, environ: Mapping[str, str], as_json: bool, out: TextIO) -> int:
    """Print every mistake and warning, one a line as linters do, or that there is none. Returns 0 or EX_CONFIG (78),
    which is for mistakes."""
    loaded = load(path, environ, now=time.time())
    say(_json(loaded) if as_json else _lines(loaded, path), out)
    return os.EX_CONFIG if loaded.problems else os.EX_OK


def schema(out: TextIO) -> int:
    """Print the JSON Schema of the configuration file."""
    say(dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", out)
    return os.EX_OK


def say(text: str, out: TextIO) -> None:
    """Print. Nobody listening (`| head`) is no error, and the exit code still says what was found."""
    try:
        out.write(text)
        out.flush()
    except BrokenPipeError:
        # What is still in the buffer is flushed again when the interpreter ends.
        with open(os.devnull, "w") as null:
            os.dup2(null.fileno(), out.fileno())


def _lines(loaded: Loaded, path: Path) -> str:
    told = "".join(f"{problem}\n" for problem in loaded.problems)
    told += "".join(f"{replace(warning, message=f'warning: {warning.message}')}\n" for warning in loaded.warnings)
    if not loaded.problems:
        idle = sum(not stream.enabled for stream in loaded.streams.values())
        fine = f"{path}: ok, {_count(len(loaded.streams), 'stream')}{f', {idle} of them not enabled' if idle else ''}"
        return f"{told}{fine}{_warnings(loaded)}\n"
    total = len(loaded.streams) + len(loaded.broken)
    fit = f"; {len(loaded.streams)} of {_count(total, 'stream')} can run" if total else ""
    return f"{told}{_count(len(loaded.problems), 'mistake')}{_warnings(loaded)}{fit}\n"


def _warnings(loaded: Loaded) -> str:
    return f", {_count(len(loaded.warnings), 'warning')}" if loaded.warnings else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _json(loaded: Loaded) -> str:
    found = {
        "ok": not loaded.problems,
        "streams": sorted(loaded.streams),
        "broken": sorted(loaded.broken),
        "problems": [asdict(problem) for problem in loaded.problems],
        "warnings": [asdict(warning) for warning in loaded.warnings],
    }
    return dumps(found, indent=2, ensure_ascii=False) + "\n"
