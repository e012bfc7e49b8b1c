"""What values must be to each other: the API's own rules (api/README.md, "v0.2") and ours.

They look at the tree, not at finished models, so that one mistake does not hide another. A value that is wrong by
itself (see `model`) is left alone here.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from overshootd.config.camera_rules import view_problems
from overshootd.config.explain import close_match, not_known
from overshootd.config.model import BASE_URL, ClipProcessing
from overshootd.config.output_schema import schema_problems
from overshootd.config.problem import Problem
from overshootd.config.secret import Secret
from overshootd.config.tree import Node

MAX_TOKENS_PER_SECOND = 128
MIN_CLIP_FRAMES = 3
MAX_STREAMS_PER_KEY = 5


def stream_problems(stream: Node) -> Iterator[Problem]:
    """Everything about one stream, with defaults and camera filled in, that no single value shows."""
    yield from _mode(stream)
    yield from _clip_frames(stream)
    yield from _tokens(stream)
    if schema := stream.get("inference", "output_schema_json"):
        yield from schema_problems(schema)
    yield from view_problems(stream, stream.get("camera"))
    yield from _passthrough(stream)


def _number(node: Node | None, low: float, high: float) -> float | None:
    """The number, if it is one and in range."""
    value = node.value if node else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high else None


def _mode(stream: Node) -> Iterator[Problem]:
    mode, processing = stream.get("mode"), stream.get("processing")
    if mode is None or processing is None:
        return
    frame = "interval_seconds" in processing.map
    clip = [key for key in ("clip_length_seconds", "delay_seconds", "target_fps") if key in processing.map]
    if mode.value == "frame" and clip and not frame:
        yield mode.problem(
            f"frame does not fit processing, where {clip[0]} means clip mode; write clip, or leave it out"
        )
    if mode.value == "clip" and frame and not clip:
        yield mode.problem(
            "clip does not fit processing, where interval_seconds means frame mode; write frame, or leave it out"
        )


def _clip_frames(stream: Node) -> Iterator[Problem]:
    length = stream.get("processing", "clip_length_seconds")
    rate = stream.get("processing", "target_fps")
    seconds = _number(length, 0.1, 60)
    fps = _number(rate, 1, 30) if rate else ClipProcessing.model_fields["target_fps"].default
    if length is None or seconds is None or fps is None or fps * seconds >= MIN_CLIP_FRAMES - 1e-9:
        return
    enough = math.ceil(MIN_CLIP_FRAMES / seconds - 1e-9)
    or_faster = f", or a target_fps of at least {enough}" if enough <= 30 else ""
    yield (rate or length).problem(
        f"a clip of {seconds:g} s at {fps:g} frames per second has {fps * seconds:.2g} frames; the API needs at least "
        f"{MIN_CLIP_FRAMES}: a clip_length_seconds of at least {MIN_CLIP_FRAMES / fps:.2g}{or_faster}"
    )


def _tokens(stream: Node) -> Iterator[Problem]:
    node = stream.get("inference", "max_output_tokens")
    tokens = _number(node, 1, 1e9)
    interval = _number(stream.get("processing", "interval_seconds"), 1e-9, 60)
    interval = interval or _number(stream.get("processing", "delay_seconds"), 1e-9, 1e9)
    if node and tokens and interval and tokens / interval > MAX_TOKENS_PER_SECOND:
        yield node.problem(
            f"{tokens:g} tokens every {interval:g} s is too much; the API allows {MAX_TOKENS_PER_SECOND} a second, "
            f"so at most {math.floor(MAX_TOKENS_PER_SECOND * interval)} here, or a longer interval"
        )


def _passthrough(stream: Node) -> Iterator[Problem]:
    """H.264 that is passed on shows what the camera saw, as the camera encoded it."""
    node, camera, codec = stream.get("publish", "passthrough"), stream.get("camera"), stream.get("publish", "codec")
    if node is None or node.value != "always":
        return
    if codec and codec.value not in ("auto", "h264"):
        yield node.problem(
            "always cannot be: what is passed on is H.264, and codec names another; remove one of the two"
        )
    elif view := next((key for key in ("masks", "crop") if _given(stream, key) or _given(camera, key)), None):
        yield node.problem(
            f"always cannot be: {view} must act before anybody may see the picture; remove one of the two"
        )
    elif camera and (turn := _turned_here(camera)):
        yield node.problem(f"always cannot be: {turn} must turn the picture first; remove one of the two")
    elif camera and (why := _gives_no_h264(camera)):
        yield node.problem(f"always cannot be: {why}")


def _given(node: Node | None, key: str) -> bool:
    """Whether it says anything: neither 0 nor false nor an empty list."""
    value = node.get(key) if node else None
    return value is not None and value.value not in (0, False, ())


def _turned_here(camera: Node) -> str | None:
    """What turns the picture of a camera that does not turn it itself, as most of the others do before they encode."""
    kind = camera.get("type")
    if kind is None or kind.value not in ("rtsp", "command"):
        return None
    return next((key for key in ("rotate", "hflip") if _given(camera, key)), None)


def _gives_no_h264(camera: Node) -> str | None:
    kind, form, hardware = camera.get("type"), camera.get("format"), camera.get("hardware_h264")
    if kind and kind.value in ("test", "file"):
        return f"a camera of type {kind.value} gives no H.264"
    if form and form.value in ("mjpeg", "raw", "i420"):
        return f"with format {form.value} the camera gives no H.264"
    if hardware and hardware.value is False:
        return "with hardware_h264: false the camera gives no H.264"
    return None


def placeholder_problems(node: Node, known: Collection[str]) -> Iterator[Problem]:
    """Words in braces that nothing is filled in for."""
    for word in re.findall(r"\{([^{}]*)\}", node.value) if isinstance(node.value, str) else ():
        if word not in known:
            near = close_match(word, known)
            right = f"did you mean {{{near}}}?" if near else f"there are {_all_of(known)}"
            yield node.problem(f"{{{word}}} is not filled in; {right}")


def _all_of(words: Collection[str]) -> str:
    *most, last = (f"{{{word}}}" for word in words)
    return f"{', '.join(most)} and {last}" if most else last


def too_many(streams: Mapping[str, tuple[Node, Secret | None]]) -> Iterator[tuple[str, Problem]]:
    """Of streams with their keys, in the order of the files, those that are more than the API runs on one key.

    A stream that is broken counts too: mended, it would run.
    """
    counts: Counter[Secret | None] = Counter()
    for name, (stream, key) in streams.items():
        enabled = stream.get("enabled")
        if enabled is not None and enabled.value is not True:
            continue
        counts[key] += 1
        if counts[key] > MAX_STREAMS_PER_KEY:
            message = (
                f"enabled stream {counts[key]} on one API key, and the API allows {MAX_STREAMS_PER_KEY} a key; "
                "give it an api.key of its own, or enabled: false"
            )
            yield name, stream.key_problem(message)


def parted(url: str) -> tuple[SplitResult, bool]:
    """The parts of a URL, and whether it names a host and a port that can be; of what is no URL they are empty."""
    try:
        parts = urlsplit(url)
        return parts, bool(parts.hostname) and parts.port != 0
    except ValueError:
        return urlsplit(""), False


def is_loopback(host: str) -> bool:
    """Whether what is sent there does not leave this machine, as far as the name tells (RFC 6761, 6.3)."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def base_url_problems(url: Node, version: str | None) -> Iterator[Problem]:
    """An http(s) URL without credentials that ends in the version (None: that is wrong itself)."""
    if not isinstance(url.value, str):
        return
    example = BASE_URL + (version or "v0.2")
    parts, usable = parted(url.value)
    if not usable or parts.scheme not in ("http", "https") or re.search(r"[\s\x00-\x1f\x7f]", url.value):
        yield url.problem(f"expected a URL that begins with https:// or http://, such as {example}")
    elif parts.username is not None or parts.password is not None:
        yield url.problem("a URL with a password in it; the API takes the key from api.key")
    elif parts.query or parts.fragment:
        yield url.problem(f"a base URL has no ? and no #; expected one such as {example}")
    elif version and not parts.path.rstrip("/").endswith(f"/{version}"):
        yield url.problem(f"does not fit api.version, which is {version}; it must end in /{version}, such as {example}")


def timezone_problems(zone: Node) -> Iterator[Problem]:
    """A time zone that this machine does not know."""
    if not isinstance(zone.value, str):
        return
    try:
        ZoneInfo(zone.value)
    except (KeyError, ValueError, OSError):
        known = available_timezones()
        if known:
            yield zone.problem(not_known("time zone", zone.value, known) if close_match(zone.value, known) else _ZONES)
        else:
            yield zone.problem("this machine knows no time zones; install the package tzdata")


_ZONES = "no such time zone; expected an IANA name, such as Europe/Berlin or UTC"


def absolute(path: str, file: str) -> str:
    """A path as written in this file: a relative one starts at the file's directory."""
    return str((Path(file).parent / path).absolute())
