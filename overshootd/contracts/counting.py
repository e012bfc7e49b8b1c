"""What streams take and give, added up by day."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Count:
    """Of one stream, in some span of time."""

    seconds: float = 0.0
    """Charged by the API, or streamed where it does not say."""
    cents: float = 0.0
    """Credits spent."""
    bytes_up: int = 0
    """Of media, as the transport counts them."""
    bytes_down: int = 0
    """Of results, as they came in."""
    received: int = 0
    """Results."""
    due: float = 0.0
    """Results that the configured interval asks for while the stream existed."""

    def __add__(self, other: Count) -> Count:
        return Count(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


class Tally(Protocol):
    """Where it is added up."""

    def add(self, stream: str, count: Count) -> None:
        """That came to what the stream has today. Never waits."""
