"""Secrets read anew by whoever needs them, for they are changed while the daemon runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from overshootd.config.credentials import read_password
from overshootd.config.pieces import Reveal, SecretRef
from overshootd.config.secret import Secret


def revealer(environ: Mapping[str, str], hide: Callable[[Secret], None]) -> Reveal:
    """For references of a configuration that was loaded, whose paths are absolute.

    `hide` masks each value before anybody has it.
    """

    def reveal(ref: SecretRef) -> Secret:
        secret = read_password(ref, Path("/"), environ)
        hide(secret)
        return secret

    return reveal
