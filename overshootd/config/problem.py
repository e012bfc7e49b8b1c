"""What is wrong, and where: the one form in which every mistake in a configuration is told."""

from __future__ import annotations

import re
from dataclasses import dataclass

from overshootd.config.secret import MASK

LOGIN = re.compile(r"(:/+).*@", re.DOTALL)
"""What stands before the last @ of whatever looks like a URL, also after a path's normalisation has eaten a slash. It
takes more than it must: a URL in the wrong place may be shown without its host, never with its password."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `key` is dotted (`streams.front-door.sinks.0.path`), or empty when the file as such is meant."""

    file: str
    line: int
    column: int
    key: str
    message: str

    @classmethod
    def at(cls, mark: Mark, path: tuple[str | int, ...], message: str) -> Problem:
        return cls(mark.file, mark.line, mark.column, _key(path), _masked(message))

    def within(self, *path: str) -> bool:
        """Whether it is about what stands at this key, or in there."""
        key = _key(path)
        return self.key == key or self.key.startswith(f"{key}.")

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        return _one_line(f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}")


def _key(path: tuple[str | int, ...]) -> str:
    return _masked(".".join(map(str, path)))


def _masked(text: str) -> str:
    return LOGIN.sub(rf"\1{MASK}@", text)


def _one_line(text: str) -> str:
    """Line breaks and control characters of a key or value do not reach the terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
