"""Streams and cameras: defaults merged in, names looked up, everything checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from overshootd.config.broker_draft import BrokerDraft
from overshootd.config.camera_draft import CameraDraft, read_camera
from overshootd.config.cameras import CameraConfig
from overshootd.config.explain import NAME_RULE, not_known, validate
from overshootd.config.model import NAME, ClipProcessing, NamedCamera, StreamBase, StreamConfig, WrittenStream
from overshootd.config.problem import Problem
from overshootd.config.rules import stream_problems
from overshootd.config.secret import Secret
from overshootd.config.sink_draft import SinkDraft, Surroundings, brokers_of, read_sinks
from overshootd.config.sinks import FileSink
from overshootd.config.transport_draft import TransportDraft, read_transport
from overshootd.config.tree import Node, merge


@dataclass(frozen=True, slots=True)
class Draft:
    """One stream on its way: `node` has everything filled in, `written` is None when it is wrong."""

    node: Node
    camera_name: str | None
    camera: CameraDraft | None
    sinks: list[SinkDraft]
    transport: TransportDraft | None
    written: WrittenStream | None
    problems: list[Problem]

    @property
    def enabled(self) -> bool:
        """Whether it is to run. One that is broken is too: mended, it would."""
        enabled = self.node.get("enabled")
        return enabled is None or enabled.value is True

    @property
    def brokers(self) -> frozenset[str]:
        """The names of the brokers that its sinks publish to, sound or not."""
        return brokers_of(self.sinks)

    def resolved(self, name: str, key: Secret | None, state_dir: Path) -> StreamConfig:
        """What runs. Only for a draft without a problem."""
        written = self.written
        assert written is not None
        same = {name: getattr(written, name) for name in StreamBase.model_fields}
        mode = "clip" if isinstance(written.processing, ClipProcessing) else "frame"
        password = self.camera.password if self.camera else None
        camera = {"camera": written.camera, "camera_name": self.camera_name, "camera_password": password}
        # Every result is paid for: a stream that names no sink must not lose them.
        sinks = written.sinks or (FileSink(type="file", path=str(state_dir / "results" / f"{name}.jsonl")),)
        transport = self.transport.read_for(written.transport) if self.transport else {}
        return StreamConfig.model_validate({**same, **camera, **transport, "mode": mode, "key": key, "sinks": sinks})


def read_cameras(root: Node, environ: Mapping[str, str]) -> dict[str, CameraDraft]:
    """The cameras by name, used or not."""
    node = root.get("cameras")
    return {name: read_camera(camera, environ) for name, camera in node.map.items()} if node else {}


def sound_cameras(drafts: Mapping[str, CameraDraft]) -> tuple[dict[str, NamedCamera], list[Problem]]:
    """Those without a mistake, and all mistakes of the others."""
    cameras, problems = {}, []
    for name, draft in drafts.items():
        config, wrong = validate(CameraConfig, draft.node, ("cameras", name))
        problems += [*wrong, *draft.problems]
        if not wrong and not draft.problems:
            cameras[name] = NamedCamera(config, draft.password)
    return cameras, problems


def bad_names(root: Node) -> list[Problem]:
    """Names that could not stand in a file name or a topic."""
    return [
        child.key_problem(NAME_RULE)
        for kind in ("brokers", "cameras", "streams")
        for name, child in (root.get(kind) or Node({}, root.mark)).map.items()
        if not re.fullmatch(NAME, name)
    ]


def read_defaults(root: Node) -> list[Problem]:
    """What is wrong with `defaults` by themselves; anything may be missing in them."""
    node = root.get("defaults")
    return validate(WrittenStream, node, ("defaults",), partial=True)[1] if node else []


@dataclass(frozen=True, slots=True)
class Around:
    """What streams are read with: the name of this device, its cameras and brokers, where secrets may be, and
    the time.

    `secrets` is False where none of a stream's own may be read (a camera's are its camera's). `now` is in seconds since
    the epoch; None where nothing depends on it.
    """

    device: str
    cameras: Mapping[str, CameraDraft]
    brokers: Mapping[str, BrokerDraft]
    environ: Mapping[str, str]
    secrets: bool
    now: float | None


def read_stream(root: Node, name: str, around: Around) -> Draft:
    """The stream of this name."""
    defaults, own = root.get("defaults"), root.map["streams"].map[name]
    if own.value is None:
        own = replace(own, value={})
    node = merge(defaults, own) if defaults else own
    problems = []
    camera_name, camera = None, None
    if written_camera := node.get("camera"):
        camera_name = written_camera.value if isinstance(written_camera.value, str) else None
        camera = read_camera(written_camera, around.environ) if camera_name is None else around.cameras.get(camera_name)
        if camera_name is not None and camera is None:
            problems.append(written_camera.problem(_no_camera(camera_name, around.cameras)))
    if camera:
        node = node.having(camera=camera.node)
        problems += camera.problems
    written_sinks = node.get("sinks")
    environ = around.environ if around.secrets else None
    sinks = read_sinks(written_sinks, Surroundings(name, around.device, around.brokers, environ))
    if written_sinks and sinks:
        node = node.having(sinks=replace(written_sinks, value=tuple(sink.node for sink in sinks)))
        problems += [problem for sink in sinks for problem in sink.problems]
    transport = None
    if written_transport := node.get("transport"):
        names = {"device": around.device, "stream": name}
        transport = read_transport(written_transport, names, environ, around.now)
        node = node.having(transport=transport.node)
        problems += transport.problems
    problems += stream_problems(node)
    written, wrong = validate(WrittenStream, node, ("streams", name))
    return Draft(node, camera_name, camera, sinks, transport, written, problems + wrong)


def _no_camera(name: str, cameras: Mapping[str, CameraDraft]) -> str:
    if not cameras:
        return "no camera of this name; there is none under `cameras`"
    return not_known("camera under `cameras`", name, cameras)
