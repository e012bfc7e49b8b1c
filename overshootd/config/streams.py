"""Streams and cameras: defaults merged in, names looked up, everything checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from overshootd.config.cameras import CameraConfig
from overshootd.config.explain import NAME_RULE, not_known, validate
from overshootd.config.model import NAME, ClipProcessing, FileSink, StreamBase, StreamConfig, WrittenStream
from overshootd.config.problem import Problem
from overshootd.config.rules import absolute, camera_problems, stream_problems
from overshootd.config.secret import Secret
from overshootd.config.tree import Node, merge


@dataclass(frozen=True, slots=True)
class Draft:
    """One stream on its way: `node` has everything filled in, `written` is None when it is wrong."""

    node: Node
    camera_name: str | None
    written: WrittenStream | None
    problems: list[Problem]

    def resolved(self, name: str, key: Secret | None, state_dir: Path) -> StreamConfig:
        """What runs. Only for a draft without a problem."""
        written = self.written
        assert written is not None
        same = {name: getattr(written, name) for name in StreamBase.model_fields}
        mode = "clip" if isinstance(written.processing, ClipProcessing) else "frame"
        own = {"camera": written.camera, "camera_name": self.camera_name, "mode": mode, "key": key}
        # Every result is paid for: a stream that names no sink must not lose them.
        sinks = written.sinks or (FileSink(type="file", path=str(state_dir / "results" / f"{name}.jsonl")),)
        return StreamConfig.model_validate({**same, **own, "sinks": sinks})


def read_cameras(root: Node) -> tuple[dict[str, Node], list[Problem]]:
    """The cameras by name with their paths filled in, and what is wrong with them, used or not."""
    node = root.get("cameras")
    cameras = {name: _camera_filled(camera) for name, camera in node.map.items()} if node else {}
    problems = []
    for name, camera in cameras.items():
        problems += validate(CameraConfig, camera, ("cameras", name))[1]
        problems += camera_problems(camera)
    return cameras, problems


def bad_names(root: Node) -> list[Problem]:
    """Names that could not stand in a file name or a topic."""
    return [
        child.key_problem(NAME_RULE)
        for kind in ("cameras", "streams")
        for name, child in (root.get(kind) or Node({}, root.mark)).map.items()
        if not re.fullmatch(NAME, name)
    ]


def read_defaults(root: Node) -> list[Problem]:
    """What is wrong with `defaults` by themselves; anything may be missing in them."""
    node = root.get("defaults")
    return validate(WrittenStream, node, ("defaults",), partial=True)[1] if node else []


def read_stream(root: Node, name: str, device: str, cameras: Mapping[str, Node]) -> Draft:
    """The stream of this name."""
    defaults, own = root.get("defaults"), root.map["streams"].map[name]
    if own.value is None:
        own = replace(own, value={})
    node = merge(defaults, own) if defaults else own
    camera, problems = node.get("camera"), []
    camera_name = camera.value if camera and isinstance(camera.value, str) else None
    if camera and camera_name is not None and camera_name not in cameras:
        problems.append(camera.problem(_no_camera(camera_name, cameras)))
    elif camera:
        node = node.having(camera=cameras[camera_name] if camera_name is not None else _camera_filled(camera))
    if (sinks := node.get("sinks")) and sinks.items:
        node = node.having(sinks=replace(sinks, value=tuple(_sink_filled(sink, name, device) for sink in sinks.items)))
    problems += stream_problems(node)
    written, wrong = validate(WrittenStream, node, ("streams", name))
    return Draft(node, camera_name, written, problems + wrong)


def _no_camera(name: str, cameras: Mapping[str, Node]) -> str:
    if not cameras:
        return "no camera of this name; there is none under `cameras`"
    return not_known("camera under `cameras`", name, cameras)


def _camera_filled(camera: Node) -> Node:
    kind, path = camera.get("type"), camera.get("path")
    if kind is None or kind.value != "file" or path is None or not isinstance(path.value, str) or not path.value:
        return camera
    return camera.having(path=replace(path, value=absolute(path.value, path.mark.file)))


def _sink_filled(sink: Node, stream: str, device: str) -> Node:
    path = sink.get("path")
    if path is None or not isinstance(path.value, str) or not path.value:
        return sink
    filled = path.value.replace("{stream}", stream).replace("{device}", device)
    return sink.having(path=replace(path, value=absolute(filled, path.mark.file)))
