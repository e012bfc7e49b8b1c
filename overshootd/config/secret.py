"""One type for all that must not be seen, and its masking wherever it turns up all the same (design decision 8)."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable
from typing import Any, NoReturn
from urllib.parse import quote

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

MASK = "***"


class Secret:
    """A key, token or password. It shows itself only when asked by `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is never pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Only a Secret becomes a Secret (no text does), and a dump holds the mask."""
        masked = core_schema.plain_serializer_function_ser_schema(str)
        return core_schema.is_instance_schema(cls, serialization=masked)


class Redactor:
    """Masks known secret values wherever they turn up. By value, because keys come in several shapes (api/README.md).

    Safe to share between threads: `redact` reads one reference that `add` and `remember` replace.
    """

    SHORTEST = 4
    """A shorter value would blacken ordinary words."""

    REMEMBERED = 64
    """Tokens kept at most: each keepalive brings a new one, and all but the newest few are worthless."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._lasting: set[str] = set()
        self._passing: deque[str] = deque(maxlen=self.REMEMBERED)
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

    def add(self, secret: Secret) -> None:
        """Mask this from now on: a secret of the configuration."""
        self._lasting.add(secret.reveal())
        self._compile()

    def remember(self, secret: Secret) -> None:
        """Mask this until `REMEMBERED` newer ones came: a token that lives some minutes."""
        if secret.reveal() not in self._passing:
            self._passing.append(secret.reveal())
            self._compile()

    def redact(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text

    def _compile(self) -> None:
        forms = {
            form
            for value in (*self._lasting, *self._passing)
            if len(value) >= self.SHORTEST
            for form in (value, quote(value, safe=""), json.dumps(value)[1:-1])  # as it is, inside a URL, inside JSON
        }
        # Longest first: one secret may contain another.
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None
