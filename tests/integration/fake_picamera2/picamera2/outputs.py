"""What an encoder writes to."""

from __future__ import annotations

from typing import Any


class Output:
    def outputframe(self, frame: Any, keyframe: bool = True, timestamp: Any = None, packet: Any = None) -> None:
        raise NotImplementedError
