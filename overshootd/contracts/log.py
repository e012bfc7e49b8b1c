"""A structured logger, as far as the rooms need one."""

from __future__ import annotations

from typing import Any, Protocol


class Log(Protocol):
    """A structured logger: an event in words, its context as keywords. Calls are safe in the event loop and in
    threads."""

    def bind(self, **context: Any) -> Log: ...

    def debug(self, event: str, **context: Any) -> Any: ...

    def info(self, event: str, **context: Any) -> Any: ...

    def warning(self, event: str, **context: Any) -> Any: ...

    def error(self, event: str, **context: Any) -> Any: ...
