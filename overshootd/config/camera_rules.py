"""What a camera's values must be to each other and to this machine. As in `rules`, values that are wrong by themselves
are left alone here."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from overshootd.config.cameras import Polygon, Rectangle, View, narrowed
from overshootd.config.explain import close_match, not_known, validate
from overshootd.config.login import URL
from overshootd.config.pieces import CONTROL
from overshootd.config.problem import Problem
from overshootd.config.tree import Node

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "tcp")
"""What FFmpeg reads from a network."""

HOST_NEEDED = SCHEMES[:6]
"""The others may wait for whoever sends."""

PLACEHOLDERS = ("width", "height", "fps")
USUAL_SIZE = (1280, 720)
MIN_PIXELS = 16
"""A crop must leave so many each way: what `publish.size` takes, and encoders want."""

NEARLY = 1e-3
"""Pixels: 0.1 of 1280 is 128 and not a bit more, whatever floating point says."""


def camera_problems(camera: Node) -> Iterator[Problem]:
    """Everything about one camera, with its paths filled in, that no single value shows."""
    yield from view_problems(camera, camera)
    yield from _pair(camera)
    yield from _recovery(camera)
    match _word(camera.get("type")):
        case "file":
            yield from _video_file(camera)
        case "rtsp":
            yield from _url(camera)
        case "command":
            yield from _program(camera)
        case "picamera2":
            yield from _tuning(camera)


def view_problems(viewed: Node, camera: Node | None) -> Iterator[Problem]:
    """What is wrong with the masks and the crop of a camera, or with those of a stream on top of its camera's."""
    for mask in (viewed.get("masks") or viewed).items:
        polygon, _ = validate(Polygon, mask, ()) if "points" in mask.map else (None, [])
        if polygon and not has_area(polygon.points):
            yield mask.problem("these corners enclose nothing, so nothing is hidden")
    if crop := viewed.get("crop"):
        yield from _crop(crop, _rectangle(camera.get("crop") if camera and camera is not viewed else None), camera)


def has_area(corners: Sequence[tuple[float, float]]) -> bool:
    """Whether a polygon encloses anything; its edges may cross.

    Between the heights of two corners its edges are straight. They meet anew at one height in there at most, so what
    has no width at two heights has none anywhere.
    """
    heights = sorted({y for _, y in corners})
    cuts = [low + (high - low) * part for low, high in pairwise(heights) for part in (0.3, 0.7)]
    return any(right - left > 1e-9 for cut in cuts for left, right in _spans(corners, cut))


def _spans(corners: Sequence[tuple[float, float]], height: float) -> Iterator[tuple[float, float]]:
    """From where to where a polygon reaches at this height, which is that of no corner."""
    edges = zip(corners, (*corners[1:], corners[0]), strict=True)
    met = sorted(
        x1 + (x2 - x1) * (height - y1) / (y2 - y1) for (x1, y1), (x2, y2) in edges if (y1 < height) != (y2 < height)
    )
    return zip(met[::2], met[1::2], strict=True)


def _crop(crop: Node, outer: Rectangle | None, camera: Node | None) -> Iterator[Problem]:
    own = _rectangle(crop)
    if own is None:
        return
    view = narrowed(View(crop=outer), (), own)
    if view is None or view.crop is None:
        yield crop.problem("leaves nothing within the crop of the camera")
        return
    width = _count(camera and camera.get("width")) or USUAL_SIZE[0]
    height = _count(camera and camera.get("height")) or USUAL_SIZE[1]
    left = _even(view.crop.x, view.crop.width, width), _even(view.crop.y, view.crop.height, height)
    if min(left) < MIN_PIXELS:
        yield crop.problem(
            f"leaves {left[0]} x {left[1]} pixels of {width} x {height}; at least {MIN_PIXELS} each way are needed"
        )


def _even(begin: float, extent: float, side: int) -> int:
    """Even pixels of which none lies partly outside, as a camera's picture is cut."""
    first, end = begin * side, min(begin + extent, 1.0) * side
    return max(math.floor(end / 2 + NEARLY) - math.ceil(first / 2 - NEARLY), 0) * 2


def _rectangle(node: Node | None) -> Rectangle | None:
    return validate(Rectangle, node, ())[0] if node else None


def _count(node: Node | None) -> int | None:
    """The whole number, when it is one above 0."""
    value = node.value if node else None
    return value if isinstance(value, int) and value > 0 else None


def _word(node: Node | None) -> str | None:
    return node.value if node and isinstance(node.value, str) else None


def _pair(camera: Node) -> Iterator[Problem]:
    """Where both have defaults (test, argus), one may be given alone."""
    if _word(camera.get("type")) not in ("v4l2", "picamera2", "command"):
        return
    if _word(camera.get("type")) == "command" and _word(camera.get("format")) == "i420":
        return  # which has its own sentence
    for given, lacking in (("width", "height"), ("height", "width")):
        if (node := camera.get(given)) and camera.get(lacking) is None:
            yield node.key_problem(f"a {given} without a {lacking}; give both, or neither")


def _recovery(camera: Node) -> Iterator[Problem]:
    reset, reboot = camera.get("recovery", "usb_reset_after"), camera.get("recovery", "reboot_after")
    kind = _word(camera.get("type"))
    if reset and kind != "v4l2":
        yield reset.key_problem(f"only a USB camera (v4l2) can be taken off its port, and this is {kind}; remove it")
    elif reset and reboot and (first := _count(reset)) and (last := _count(reboot)) and last <= first:
        yield reboot.problem(f"reboots before the USB reset (after {first}) is tried; give more than that")


def _video_file(camera: Node) -> Iterator[Problem]:
    """In the words that the camera itself would have for it."""
    path = camera.get("path")
    if path is None or not isinstance(path.value, str) or CONTROL.search(path.value):
        return
    if URL.match(path.value):
        yield path.problem("a URL, where a file is expected; a camera on the network is {type: rtsp, url: …}")
    elif not os.path.exists(path.value):
        yield path.problem(f"{path.value}: no such file")
    elif not os.path.isfile(path.value):
        yield path.problem(f"{path.value}: not a video file, but a directory or a device")


def _url(camera: Node) -> Iterator[Problem]:
    """The URL is never repeated: it may hold a password."""
    url = camera.get("url")
    text = _word(url)
    if url is None or text is None or not URL.fullmatch(text):
        return
    scheme, _, rest = text.partition("://")
    if scheme.lower() == "file":
        yield url.problem("a file, where a network camera is expected; that is {type: file, path: …}")
    elif scheme.lower() not in SCHEMES:
        yield url.problem(not_known("kind of URL that is read", scheme, SCHEMES))
    elif scheme.lower() in HOST_NEEDED and not re.match(r"[^/?#]*[^/?#@:]", rest):
        yield url.problem(f"names no host; expected one such as {scheme}://192.168.1.20/stream1")


def _program(camera: Node) -> Iterator[Problem]:
    form, argv = camera.get("format"), camera.get("argv")
    if form and form.value == "i420" and not (camera.get("width") and camera.get("height")):
        yield form.problem("i420 is bare pixels, which do not say their size; give width and height")
    for word in argv.items if argv else ():
        if isinstance(word.value, str):
            yield from _argument(word, word.value)
    program = _word(argv.items[0]) if argv and argv.items else None
    if argv is None or program is None or "\0" in program:
        return
    if not program.strip():
        yield argv.items[0].problem("is empty; the program comes first")
    elif "/" in program:
        yield from _executable(argv.items[0], program)


def _argument(word: Node, text: str) -> Iterator[Problem]:
    if "\0" in text:
        yield word.problem("no program takes an argument with a NUL character in it; remove it")
    for name in re.findall(r"\{([a-z]+)\}", text):
        if name not in PLACEHOLDERS and (near := close_match(name, PLACEHOLDERS)):
            yield word.problem(f"{{{name}}} is not filled in; did you mean {{{near}}}?")


def _executable(word: Node, path: str) -> Iterator[Problem]:
    if not os.path.exists(path):
        yield word.problem(f"{path}: no such program")
    elif not os.path.isfile(path):
        yield word.problem(f"{path}: not a program, but a directory or a device")
    elif not os.access(path, os.X_OK):
        yield word.problem(f"{path} may not be executed by this user; is `chmod +x` missing?")


def _tuning(camera: Node) -> Iterator[Problem]:
    node = camera.get("tuning")
    path = _word(node)
    if node and path and "/" in path and not CONTROL.search(path) and not os.path.isfile(path):
        yield node.problem(f"{path}: no such file; a tuning file is a path, or a name that libcamera knows")
