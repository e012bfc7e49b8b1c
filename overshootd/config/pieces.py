"""What the configuration's models are made of."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from overshootd.config.secret import Secret

SECRET_WAYS = "{credential: NAME}, {file: PATH} or {env: VARIABLE}"


class Model(BaseModel):
    """Strict and frozen: an unknown key is a mistake, and a plan compares by value."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, data: Any) -> Any:
        """`labels:` with every line under it commented out is null."""
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _without_control(path: str) -> str:
    """The kernel knows no path with a NUL, and the others are escapes in double quotes that nobody meant."""
    if CONTROL.search(path):
        raise PydanticCustomError("path", "a path with a control character in it; remove it")
    return path


def _one_line(text: str) -> str:
    if CONTROL.search(text):
        raise PydanticCustomError("line", "a control character in it; remove it")
    return text


Line = Annotated[str, Field(min_length=1), AfterValidator(_one_line)]
FilePath = Annotated[str, Field(min_length=1), AfterValidator(_without_control)]


def _topic(text: str) -> str:
    """What may stand in a topic that is published to (MQTT 3.1.1, 1.5.3 and 4.7.1; brokers cut off whoever sends
    else)."""
    if "+" in text or "#" in text:
        raise PydanticCustomError(
            "topic", "+ and # stand for many topics, and nothing can be published there; remove them"
        )
    if CONTROL.search(text) or NO_CHARACTER.search(text):
        raise PydanticCustomError("topic", "a topic with a control character in it; remove it")
    return text


NO_CHARACTER = re.compile(
    f"[\ufdd0-\ufdef{''.join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))}]"
)
"""Code points that Unicode keeps from being characters."""

Topic = Annotated[str, AfterValidator(_topic), Field(json_schema_extra={"pattern": "^[^+#]*$"})]


def _topic_levels(text: str) -> str:
    """A part of a topic, to which more is added behind a slash."""
    if re.search(r"[\s{}]", text) or not text:
        raise PydanticCustomError("topic", "expected words without blanks and braces, with a / between them")
    if text.startswith(("/", "$")) or text.endswith("/"):
        raise PydanticCustomError("topic", "begins with a letter or digit, and ends without a slash")
    return text


TopicPrefix = Annotated[
    str,
    Field(max_length=1000, json_schema_extra={"pattern": "^[^+#\\s{}]+$"}),
    AfterValidator(_topic),
    AfterValidator(_topic_levels),
]


class SecretRef(Model):
    """Where a secret is kept: exactly one of the three. The secret itself never stands in the file."""

    credential: str | None = Field(default=None, min_length=1)
    """Name of a file in $CREDENTIALS_DIRECTORY (systemd's LoadCredential)."""
    file: FilePath | None = None
    """Path of a file that holds the secret and nothing else."""
    env: str | None = Field(default=None, min_length=1)
    """Name of an environment variable."""

    @model_validator(mode="before")
    @classmethod
    def _exactly_one(cls, data: Any) -> Any:
        """One sentence for every wrong shape, and never the value: it may be the secret."""
        if not isinstance(data, dict):
            if isinstance(data, SecretRef):
                return data
            raise PydanticCustomError(
                "secret_literal", f"no secret stands in this file; say where it is kept: {SECRET_WAYS}"
            )
        given = {key: value for key, value in data.items() if value is not None}
        if len(given) != 1 or not given.keys() <= {"credential", "file", "env"}:
            raise PydanticCustomError("secret_shape", f"give exactly one of {SECRET_WAYS}")
        return given


Reveal = Callable[[SecretRef], Secret]
"""Reads the secret where it is kept now. Blocking, but of a small local file. Raises ConfigError."""

EvenPixels = Annotated[int, Field(ge=16, le=7680, multiple_of=2)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Extent = Annotated[float, Field(gt=0, le=1)]


# Each of these would be told as several mistakes, one for each type that it might have been.


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _corner(value: Any) -> Any:
    fits = isinstance(value, list | tuple) and len(value) == 2
    if not fits or not all(_is_number(part) and 0 <= part <= 1 for part in value):
        raise PydanticCustomError(
            "corner", "expected a corner [x, y]: two numbers from 0 to 1, fractions of the picture's width and height"
        )
    return value


Point = Annotated[tuple[Fraction, Fraction], Field(strict=False), BeforeValidator(_corner)]


def _v4l2_value(value: Any) -> Any:
    if not isinstance(value, bool | int | str):
        raise PydanticCustomError("control", "expected a whole number, true or false, or an entry of the menu as text")
    return value


V4l2Value = Annotated[bool | int | str, BeforeValidator(_v4l2_value)]


def _libcamera_value(value: Any) -> Any:
    def fits(part: Any) -> bool:
        return isinstance(part, bool | str) or _is_number(part)

    if not (all(map(fits, value)) if isinstance(value, list | tuple) and value else fits(value)):
        raise PydanticCustomError("control", "expected a number, true or false, text, or a list of them")
    return value


LibcameraValue = Annotated[Any, BeforeValidator(_libcamera_value)]


def _number_or_id(value: Any) -> Any:
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not number and not (isinstance(value, str) and value.strip()):
        raise PydanticCustomError("camera", "expected a number (0 is the first camera), or an id as text")
    return value


NumberOrId = Annotated[int | str, BeforeValidator(_number_or_id)]
