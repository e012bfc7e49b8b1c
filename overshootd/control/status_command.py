"""`overshootd status`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from json import dumps
from pathlib import Path
from typing import TextIO

from overshootd import __version__
from overshootd.config.commands import say
from overshootd.config.files import MAIN
from overshootd.config.load import load
from overshootd.control.address import asked_at
from overshootd.control.client import ask
from overshootd.control.report import SCHEMA
from overshootd.control.show import text
from overshootd.control.wire import Json, NotUnderstood
from overshootd.errors import ConfigError, OvershootdError

USUAL = Path("/etc/overshootd")
"""The configuration of the one daemon that most machines have, and the default of the command line."""

SECONDS = 10.0
"""A daemon on a busy board answers within one."""


def status(path: Path, socket: Path | None, as_json: bool, environ: Mapping[str, str], out: TextIO) -> int:
    """Print what the daemon of the configuration at `path` does, or the one that listens at `socket`.

    Returns 0, whatever the streams do. When no daemon answers it says why, and returns EX_UNAVAILABLE (69); for a
    configuration that cannot be read EX_CONFIG (78).
    """
    try:
        places, meant = ([socket], {}) if socket else looked_for(path, environ)
        report = ask(places, "status", meant, SECONDS)
        shown = dumps(report, indent=2, ensure_ascii=False) + "\n" if as_json else _text(report)
    except OvershootdError as error:
        print(error, file=sys.stderr)
        return os.EX_CONFIG if isinstance(error, ConfigError) else os.EX_UNAVAILABLE
    say(shown, out)
    return os.EX_OK


def looked_for(path: Path, environ: Mapping[str, str]) -> tuple[list[Path], Json]:
    """Where, and whom: the usual configuration, which not everybody may read, means whichever daemon is there.

    Raises ConfigError.
    """
    loaded = load(path, environ, api_keys=False)
    places = asked_at(environ, loaded.state_dir)
    if path == USUAL:
        return places, {}
    for problem in loaded.problems:
        if not problem.key and problem.file in (str(path), str(path / MAIN)):
            raise ConfigError(f"{problem}\nWhere its daemon listens is not known; --socket PATH says so")
    return places, {"state_dir": os.path.realpath(loaded.state_dir)}


def _text(report: Json) -> str:
    """Raises NotUnderstood for a daemon of another version."""
    try:
        if report["schema"] != SCHEMA:
            raise NotUnderstood(f"schema {report['schema']}")
        return text(report, shutil.get_terminal_size().columns)
    except (NotUnderstood, KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotUnderstood(
            f"overshootd {report.get('version', 'of an unknown version')} runs, and this is {__version__}: restart it, "
            f"or read its answer with --json"
        ) from error
