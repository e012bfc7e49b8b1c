"""What is common to all streams: API, device, state directory, API key."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from overshootd.config.credentials import ReadSecret, read_key
from overshootd.config.device import device_name, machine_id
from overshootd.config.explain import close_match, validate
from overshootd.config.model import ApiConfig, ConfigFile, DeviceConfig, LimitsConfig, SpoolConfig, WrittenApi
from overshootd.config.pieces import SECRET_WAYS, Model, SecretRef
from overshootd.config.problem import Mark, Problem
from overshootd.config.rules import absolute, base_url_problems, timezone_problems
from overshootd.config.secret import Secret
from overshootd.config.tree import Node
from overshootd.errors import ConfigError

STATE_DIR = "/var/lib/overshootd"
T = TypeVar("T", bound=Model)
COMMON = ("version", "api", "device", "state_dir", "defaults")
"""A mistake in one of these concerns every stream."""


@dataclass(frozen=True, slots=True)
class Head:
    """The common part. Where it is wrong it holds defaults, and `problems` says so; `idle` ones concern no stream."""

    api: ApiConfig
    device: str
    timezone: str | None
    state_dir: Path
    limits: LimitsConfig
    spool: SpoolConfig
    problems: list[Problem]
    idle: list[Problem]


def overridden(root: Node, environ: Mapping[str, str]) -> Node:
    """The tree with OVERSHOOT_BASE_URL in place of api.base_url."""
    url, api = environ.get("OVERSHOOT_BASE_URL"), root.get("api") or Node({}, root.mark, ("api",))
    if not url or not isinstance(api.value, Mapping):
        return root
    given = Node(url, Mark("$OVERSHOOT_BASE_URL"), ("api", "base_url"))
    return root.having(api=api.having(base_url=given))


def read_head(root: Node, environ: Mapping[str, str]) -> Head:
    file, unknown = _top(root)
    api, wrong_api = _api(root)
    device, wrong_device = _device(root)
    shared = [problem for problem in unknown if _meant(problem.key) in COMMON]
    default_dir = environ.get("STATE_DIRECTORY", "").partition(":")[0] or STATE_DIR
    state_dir = root.get("state_dir")
    limits, wrong_limits = _part(root, "limits", LimitsConfig)
    spool, wrong_spool = _part(root, "spool", SpoolConfig)
    return Head(
        api=api,
        device=device.name or device_name(socket.gethostname(), machine_id()),
        timezone=device.timezone,
        state_dir=Path(absolute(file.state_dir, state_dir.mark.file) if state_dir and file.state_dir else default_dir),
        limits=limits,
        spool=spool,
        problems=[*shared, *wrong_api, *wrong_device],
        idle=[*(problem for problem in unknown if problem not in shared), *wrong_limits, *wrong_spool],
    )


def _part(root: Node, key: str, kind: type[T]) -> tuple[T, list[Problem]]:
    """A part without which everything runs: its defaults where it is wrong."""
    node = root.get(key)
    part, problems = validate(kind, node, (key,)) if node else (None, [])
    return part or kind(), problems


def _meant(key: str) -> str:
    """The top-level key that a mistyped one was meant to be."""
    word = key.partition(".")[0]
    return close_match(word, ConfigFile.model_fields) or word


def _top(root: Node) -> tuple[ConfigFile, list[Problem]]:
    elsewhere = ("api", "device", "limits", "spool", "brokers", "cameras", "defaults", "streams")
    file, problems = validate(ConfigFile, root.without(*elsewhere), ())
    return file or ConfigFile(), problems


def _api(root: Node) -> tuple[ApiConfig, list[Problem]]:
    node = root.get("api") or Node({}, root.mark, ("api",))
    written, problems = validate(WrittenApi, node, ("api",))
    wrong_version = any(problem.key == "api.version" for problem in problems)
    if url := node.get("base_url"):
        problems += base_url_problems(url, None if wrong_version else ApiConfig().version)
    if problems or written.base_url is None:
        return ApiConfig(), problems
    return ApiConfig(version=written.version, base_url=written.base_url.rstrip("/")), problems


def _device(root: Node) -> tuple[DeviceConfig, list[Problem]]:
    node = root.get("device") or Node({}, root.mark, ("device",))
    device, problems = validate(DeviceConfig, node, ("device",))
    if zone := node.get("timezone"):
        problems += timezone_problems(zone)
    return DeviceConfig() if problems else device, problems


def common_key(root: Node, environ: Mapping[str, str], needed: bool) -> tuple[Secret | None, list[Problem]]:
    """The API key for all streams that have none of their own; without any such stream (`needed`) it may be missing."""
    if environ.get("OVERSHOOT_API_KEY"):
        return key_at(
            Node({"env": Node("OVERSHOOT_API_KEY", Mark("$OVERSHOOT_API_KEY"), ("api", "key"))}, root.mark), environ
        )
    if node := root.get("api", "key"):
        return key_at(node, environ)
    if not needed:
        return None, []
    place = root.get("api") or root
    message = f"missing: the API key; give {SECRET_WAYS}, or set the environment variable OVERSHOOT_API_KEY"
    return None, [Problem.at(place.key_mark or place.mark, ("api", "key"), message)]


def key_at(node: Node, environ: Mapping[str, str], read: ReadSecret = read_key) -> tuple[Secret | None, list[Problem]]:
    """The secret that this reference names. Nothing is said about a reference of the wrong shape: `validate` did."""
    ref, wrong = validate(SecretRef, node, node.path)
    if wrong:
        return None, []
    where = next(at for at in node.map.values() if at.value is not None)
    try:
        return read(ref, Path(where.mark.file).parent, environ), []
    except ConfigError as error:
        return None, [where.problem(str(error))]


def anchored(node: Node) -> Node:
    """A reference to a secret that whoever reads it later may follow from any directory."""
    path = node.get("file")
    if path is None or not isinstance(path.value, str) or not path.value:
        return node
    return node.having(file=replace(path, value=absolute(path.value, path.mark.file)))
