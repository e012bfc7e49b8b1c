"""What is wrong, and where: the one form in which every mistake in a configuration is told."""

from __future__ import annotations

from dataclasses import dataclass


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
        return cls(mark.file, mark.line, mark.column, ".".join(map(str, path)), message)

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        return _one_line(f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}")


def _one_line(text: str) -> str:
    """Line breaks and control characters of a key or value do not reach the terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
