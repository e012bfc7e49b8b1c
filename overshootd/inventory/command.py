"""`overshootd cameras`."""

from __future__ import annotations

import os
from typing import TextIO

from overshootd.config.commands import say
from overshootd.inventory.look import look, sources
from overshootd.inventory.show import json, text


def cameras(as_json: bool, out: TextIO) -> int:
    """Print every camera of this machine. That there is none is no failure."""
    inventory = look(sources())
    say(json(inventory) if as_json else text(inventory), out)
    return os.EX_OK
