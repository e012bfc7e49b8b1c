"""One camera on its way from the tree to a value: paths filled in, its login taken out of its lines, its rules kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from overshootd.config.camera_rules import camera_problems
from overshootd.config.credentials import read_password
from overshootd.config.head import key_at
from overshootd.config.login import URL, secrets_in, split_login
from overshootd.config.problem import Problem
from overshootd.config.rules import absolute
from overshootd.config.secret import Secret
from overshootd.config.tree import Node


@dataclass(frozen=True, slots=True)
class CameraDraft:
    """`node` has no password in it; the camera's own is `password`, and `secrets` is all that must be masked.

    `problems` is what no single value shows: what a value may be, whoever takes `node` validates.
    """

    node: Node
    password: Secret | None
    secrets: tuple[Secret, ...]
    problems: tuple[Problem, ...]


def read_camera(camera: Node, environ: Mapping[str, str]) -> CameraDraft:
    """The camera as written here, in `cameras` or inside a stream."""
    kind = camera.get("type")
    match kind.value if kind else None:
        case "file":
            node = _absolute_at(camera, "path")
        case "picamera2":
            node = _absolute_at(camera, "tuning", only_with_slash=True)
        case "command":
            return _command(camera)
        case "rtsp":
            return _network(camera, environ)
        case _:
            node = camera
    return CameraDraft(node, None, (), tuple(camera_problems(node)))


def _absolute_at(camera: Node, key: str, only_with_slash: bool = False) -> Node:
    node = camera.get(key)
    return camera if node is None else camera.having(**{key: _absolute(node, only_with_slash)})


def _absolute(node: Node, only_with_slash: bool) -> Node:
    path = node.value
    if not isinstance(path, str) or not path or URL.match(path) or (only_with_slash and "/" not in path):
        return node
    return replace(node, value=absolute(path, node.mark.file))


def _command(camera: Node) -> CameraDraft:
    argv = camera.get("argv")
    node = camera
    if argv and argv.items:
        program = _absolute(argv.items[0], only_with_slash=True)
        node = camera.having(argv=replace(argv, value=(program, *argv.items[1:])))
    words = [word.value for word in argv.items if isinstance(word.value, str)] if argv else []
    secrets = tuple(secret for word in words for secret in secrets_in(word))
    return CameraDraft(node, None, secrets, tuple(camera_problems(node)))


def _network(camera: Node, environ: Mapping[str, str]) -> CameraDraft:
    url, username, written = camera.get("url"), camera.get("username"), camera.get("password")
    password, problems = key_at(written, environ, read_password) if written else (None, [])
    if url is None or not isinstance(url.value, str) or not URL.fullmatch(url.value):
        return CameraDraft(camera, None, (), (*problems, *camera_problems(camera)))
    try:
        login = split_login(url.value)
    except ValueError:
        return CameraDraft(camera, None, (), (*problems, url.problem(_NO_URL), *camera_problems(camera)))
    node = camera.having(url=replace(url, value=login.url))
    if login.username and username is None:
        node = node.having(username=replace(url, value=login.username))
    elif login.username and username and username.value != login.username:
        problems.append(username.problem("the url names a user too; keep one of the two"))
    if login.password and written:
        problems.append(written.problem("the url holds a password too; keep one of the two"))
    elif (login.password or written) and not (login.username or username):
        place = written or url
        problems.append(place.problem("a password without a username; cameras ask for both"))
    own = login.password or password
    secrets = (*([own] if own else []), *secrets_in(url.value))
    return CameraDraft(node, own, secrets, (*problems, *camera_problems(node)))


_NO_URL = (
    "no usable URL; expected one such as rtsp://192.168.1.20:554/stream1. A password with / ? or # in it "
    "is written %2F, %3F or %23 there, or kept under password"
)
