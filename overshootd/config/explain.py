"""What pydantic found, as plain sentences at the places where it stands."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, Tag, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from overshootd.config.cameras import CameraConfig
from overshootd.config.model import ClipProcessing, FrameProcessing, InferenceConfig
from overshootd.config.problem import Problem
from overshootd.config.sinks import SinkConfig
from overshootd.config.tree import Node, Path

NAME_RULE = "a name is 1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit"
NOT_BUILT = frozenset(("v1beta",))
"""Words of the configuration's contract that this version does not know yet."""

CALLED_HERE = {
    "fps": "target_fps",
    "sampling_ratio": "target_fps",
    "schema": "output_schema_json",
    "interval": "interval_seconds",
    "subscribe_token": "token",
    "password": "credential",
    **dict.fromkeys(("host", "hostname", "server", "address"), "url"),
    "user": "username",
    "discovery": "home_assistant",
    "hmac": "secret",
}
"""What people write, and the API's older words, where no near match would find them."""

UNITS = {
    "seconds": " seconds",
    "fps": " frames per second",
    "kbps": " kbit/s",
    "bytes": " bytes",
    "mb": " megabytes",
    "days": " days",
}
LOOKS_LIKE_KEY = re.compile(r"(ovs|sk)[_-]")


def validate(kind: Any, node: Node, path: Path, *, partial: bool = False) -> tuple[Any, list[Problem]]:
    """The value that `node` is as `kind` (a model or an annotation), or None and every reason why it is none.

    `path` is where the value counts, which differs from `node.path` for what was merged in.
    What is `partial` may lack anything but what belongs to the members of a list.
    """
    try:
        return TypeAdapter(kind).validate_python(node.plain()), []
    except ValidationError as error:
        details = [
            detail
            for detail in error.errors(include_url=False)
            if not (partial and detail["type"] == "missing" and not any(isinstance(key, int) for key in detail["loc"]))
        ]
    kept = [detail for detail in details if not _follows(kind, detail, details)]
    return None, [_problem(kind, node, path, detail) for detail in kept]


def _follows(kind: Any, detail: ErrorDetails, details: list[ErrorDetails]) -> bool:
    """Whether this mistake only follows from another one: a refused `type` beside it, or its own key mistyped."""
    keys = _keys(detail["loc"])
    for other in details:
        above, last = _keys(other["loc"])[:-1], other["loc"][-1:]
        if detail["type"] == "too_short" and above == keys and other is not detail:
            return True  # a member that is wrong is not counted
        if (
            other["type"] == "literal_error"
            and last == ("type",)
            and keys[: len(above)] == above
            and other is not detail
        ):
            return True
        if other["type"] == "extra_forbidden" and detail["type"] == "missing" and keys[:-1] == above:
            _, model = _field_at(kind, other["loc"])
            if model and _meant(str(last[0]), model) == keys[-1]:
                return True
    return False


def close_match(word: str, known: Iterable[str]) -> str | None:
    """The known word that this one was probably meant to be."""
    return next(iter(difflib.get_close_matches(word, list(known), 1, 0.6)), None)


def not_known(what: str, word: str, known: Iterable[str]) -> str:
    """The sentence for a word that is none of those known."""
    known = list(known)
    if word in NOT_BUILT:
        return f"{word} is not built yet; use {_one_of(known)}"
    shown = "this" if LOOKS_LIKE_KEY.match(word) or "://" in word or len(word) > 40 else word
    if near := close_match(word, known):
        return f"{shown} is no {what}; did you mean {near}?"
    return f"{shown} is no {what}; use {_one_of(known)}"


def _one_of(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)


# -- where it stands ---------------------------------------------------------------------------------------------------


def _is_tag(part: str | int) -> bool:
    """Union tags stand in brackets (model.py), keys do not."""
    return isinstance(part, str) and part.startswith("<")


def _keys(loc: Path) -> Path:
    return tuple(part for part in loc if not _is_tag(part))


def _trail(node: Node, keys: Path) -> list[Node]:
    """The nodes along the keys, as far as they exist."""
    trail = [node]
    for key in keys:
        child = trail[-1].map.get(key) if isinstance(key, str) else next(iter(trail[-1].items[key : key + 1]), None)
        if child is None:
            break
        trail.append(child)
    return trail


def _problem(kind: Any, node: Node, path: Path, detail: ErrorDetails) -> Problem:
    keys = _keys(detail["loc"])
    trail = _trail(node, keys)
    message = _sentence(detail, *_field_at(kind, detail["loc"]))
    match detail["type"]:
        case "missing":
            return _missing(trail, (*path, *keys), message)
        case "extra_forbidden":
            return trail[-1].key_problem(message)
        case "union_tag_invalid" if "type" in trail[-1].map:
            return trail[-1].map["type"].problem(message)
    return trail[-1].problem(message)


def _missing(trail: list[Node], path: Path, message: str) -> Problem:
    """Told at the nearest mapping that is the value's own: what `defaults` lack, the stream lacks."""
    own = [node for node in trail if node.path[:1] != ("defaults",) or path[:1] == ("defaults",)]
    nearest = own[-1] if own else trail[0]
    key = (*nearest.path, path[-1]) if nearest is trail[-1] else path
    return Problem.at(nearest.key_mark or nearest.mark, key, message)


def _models(annotation: Any, tag: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every model that an annotation may hold, with its union tag."""
    tag = next((meta.tag for meta in getattr(annotation, "__metadata__", ()) if isinstance(meta, Tag)), tag)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield tag, annotation
    for part in get_args(annotation):
        yield from _models(part, tag)


def _field_at(annotation: Any, loc: Path) -> tuple[FieldInfo | None, type[BaseModel] | None]:
    """The field that an error is about, and the model it is (or is not) in."""
    field, model = None, None
    for part in loc:
        models = dict(_models(annotation))
        if isinstance(part, int):
            continue
        if _is_tag(part):
            annotation = models.get(part, annotation)
            continue
        field, model = None, next(iter(models.values()), None)
        if model is None or part not in model.model_fields:
            break
        field = model.model_fields[part]
        annotation = field.annotation
    return field, model


CAMERA_TYPES = [tag.strip("<>") for tag, _ in _models(CameraConfig) if tag]
SINKS = {tag.strip("<>"): model for tag, model in _models(SinkConfig) if tag}
TRANSPORT_TYPES = ["auto", "native", "webrtc", "livekit"]

# -- what to say -------------------------------------------------------------------------------------------------------


def _sentence(detail: ErrorDetails, field: FieldInfo | None, model: type[BaseModel] | None) -> str:
    value, name = detail["input"], next((str(key) for key in reversed(detail["loc"]) if not isinstance(key, int)), "")
    unit = UNITS.get(name.rsplit("_", 1)[-1], "")
    match detail["type"]:
        case "missing":
            about = field.description if field and field.description else "it has no default"
            return f"missing: {about[0].lower()}{about[1:].rstrip('.')}"
        case "extra_forbidden":
            return _unknown_key(name, model)
        case "literal_error":
            return _no_choice(name, value, detail["ctx"]["expected"], isinstance(detail["loc"][-1], int))
        case "union_tag_invalid" | "union_tag_not_found":
            return _wrong_kind(detail)
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            size = "long" if unit == " seconds" else "large"
            far = f"too {size}" if detail["type"].startswith("less") else "too short" if size == "long" else "too small"
            allows = "the API allows" if model in (FrameProcessing, ClipProcessing, InferenceConfig) else "allowed is"
            return f"{_shown(value)} is {far}; {allows} {_range(field)}{unit}"
        case "multiple_of":
            return f"{_shown(value)} is odd; an even number is needed"
        case "string_pattern_mismatch" | "string_too_short":
            return _wrong_text(name, field)
        case "string_too_long":
            return f"is longer than {detail['ctx']['max_length']} characters"
        case "too_short" | "too_long":
            return _wrong_count(name, detail)
        case "finite_number":
            return "must be a finite number"
        case "dict_type" if name == "output_schema_json":
            return "expected a JSON Schema; JSON is YAML, so it stands here as a mapping, without quotes around it"
        case type_error if type_error in _EXPECTED:
            of_unit = f" of{unit}" if unit and "number" in _EXPECTED[type_error] else ""
            return f"expected {_EXPECTED[type_error]}{of_unit}{_hint(type_error, value)}"
    return detail["msg"]


_EXPECTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "dict_type": "a mapping (key: value)",
    "mapping_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "tuple_type": "a list (lines that begin with '- ')",
}


def _hint(type_error: str, value: Any) -> str:
    if type_error == "string_type" and isinstance(value, int | float):
        return f'; put it in quotes: "{_shown(value)}"'
    if type_error == "bool_type" and str(value).lower() in ("yes", "on", "y", "no", "off", "n"):
        return f"; write {'true' if str(value).lower() in ('yes', 'on', 'y') else 'false'}"
    if type_error in ("float_type", "int_type") and isinstance(value, str):
        if sexagesimal := re.fullmatch(r"([0-9]+):([0-5][0-9])", value):
            return f"; write {60 * int(sexagesimal[1]) + int(sexagesimal[2])}"
        if re.fullmatch(r"[-+]?[0-9]+\.?[0-9]*", value):
            return "; leave the quotes away"
    return ""


def _no_choice(name: str, value: Any, expected: str, of_list: bool) -> str:
    """`name` is that of the key, or of the list. `expected` is pydantic's own: 'a', 'b' or 'c', or 0 or 180."""
    words, numbers = re.findall(r"'([^']+)'", expected), re.findall(r"\d+", expected)
    if words:
        return not_known(name.removesuffix("s") if of_list else name, _shown(value), words)
    if isinstance(value, str) and value in numbers:
        return "expected a number; leave the quotes away"
    return f"{_shown(value)} is no {name}; use {_one_of(numbers)}"


def _wrong_text(name: str, field: FieldInfo | None) -> str:
    if name in ("url", "urls") and field and field.examples:
        return f"expected a URL without blanks, such as {field.examples[0]}"
    return NAME_RULE if name == "name" else "is empty"


def _wrong_count(name: str, detail: ErrorDetails) -> str:
    """A list with too few or too many members."""
    context = detail["ctx"]
    if detail["type"] == "too_long":
        return f"{context['actual_length']} are too many; allowed are at most {context['max_length']}"
    if context["min_length"] == 1:
        return "is empty"
    what = "corners" if name == "points" else "members"
    return f"{context['actual_length']} are too few; at least {context['min_length']} {what} are needed"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, int | float) else "this"


def _wrong_kind(detail: ErrorDetails) -> str:
    """No member of a union fits; which are possible is in the tags."""
    tags = re.findall(r"<(\w+)>", detail.get("ctx", {}).get("expected_tags", ""))
    kinds = [tag for tag in tags or CAMERA_TYPES if tag != "name"]
    tag = str(detail.get("ctx", {}).get("tag", "")).strip("<>")
    keys = _keys(detail["loc"])
    if keys[-1:] == ("transport",):
        return _wrong_transport(tag)
    if keys[-2:-1] == ("sinks",):
        return not_known("sink type", tag, SINKS) if tag else f"expected a mapping with a type ({_one_of(list(SINKS))})"
    if tag == "both":
        return "interval_seconds means frame mode, the other keys clip mode; keep one kind"
    if tag in ("", "name"):
        named = "a name from `cameras`, or " if detail["loc"] else ""  # without a path it is an entry of `cameras`
        return f"expected {named}a mapping with a type ({_one_of(kinds)})"
    return not_known("camera type", tag, kinds)


def _wrong_transport(tag: str) -> str:
    if tag:
        return not_known("transport", tag, TRANSPORT_TYPES)
    return f"expected {_one_of(TRANSPORT_TYPES)}, or a mapping with a type, such as {{type: livekit, url: …}}"


def _unknown_key(name: str, model: type[BaseModel] | None) -> str:
    if name in NOT_BUILT:
        return f"{name} is not built yet; remove it"
    if model is None:
        return "unknown key"
    known = _own_first(model)
    called = CALLED_HERE.get(name) in known
    if others := [kind for kind, sink in SINKS.items() if name in sink.model_fields and model in SINKS.values()]:
        return f"unknown key for this type of sink; it belongs to {_one_of(others)}"
    deeper = [key for key in known if name in _all_fields(model.model_fields[key].annotation)]
    if deeper and not called:
        return f"unknown key here; did you mean {deeper[0]}: {{{name}: …}}?"
    if near := _meant(name, model):
        return f"unknown key; did you mean {near}?"
    return f"unknown key; known here: {', '.join(known)}"


def _own_first(model: type[BaseModel]) -> list[str]:
    """A model's keys, those that it shares with others last."""
    shared = {name for base in model.__bases__ if issubclass(base, BaseModel) for name in base.model_fields}
    return sorted(model.model_fields, key=shared.__contains__)


def _meant(name: str, model: type[BaseModel]) -> str | None:
    """The key that this one was probably meant to be."""
    called = CALLED_HERE.get(name)
    return called if called in model.model_fields else close_match(name, model.model_fields)


def _all_fields(annotation: Any) -> set[str]:
    return {name for _, model in _models(annotation) for name in model.model_fields}


def _limits(field: FieldInfo) -> dict[str, float]:
    """`gt`, `ge`, `lt` and `le` of a field, also when they stand inside its annotation."""
    inside = [meta for part in get_args(field.annotation) for meta in getattr(part, "__metadata__", ())]
    metas = [*field.metadata, *(limit for meta in inside if isinstance(meta, FieldInfo) for limit in meta.metadata)]
    return {name: getattr(meta, name) for meta in metas for name in ("gt", "ge", "lt", "le") if hasattr(meta, name)}


def _range(field: FieldInfo | None) -> str:
    words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
    limits = _limits(field) if field else {}
    return " and ".join(f"{words[name]} {limits[name]:.15g}" for name in words if name in limits)
