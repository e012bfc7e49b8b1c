"""From files to values, with every mistake at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from overshootd.config import files
from overshootd.config.broker_draft import BrokerDraft, read_brokers
from overshootd.config.brokers import BrokerConfig
from overshootd.config.camera_draft import CameraDraft
from overshootd.config.head import Head, common_key, key_at, overridden, read_head
from overshootd.config.model import ApiConfig, LimitsConfig, NamedCamera, SpoolConfig, StreamConfig
from overshootd.config.problem import Problem
from overshootd.config.rules import too_many
from overshootd.config.secret import Secret
from overshootd.config.shared_files import unlike
from overshootd.config.sinks import SYNC_SECONDS, FileSink, MqttSink
from overshootd.config.streams import (
    Around,
    Draft,
    bad_names,
    read_cameras,
    read_defaults,
    read_stream,
    sound_cameras,
)
from overshootd.config.transport_draft import doubled
from overshootd.config.tree import Node


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that was read. It may be wrong in part: `streams` can run, `broken` cannot."""

    device: str
    """Name of this device, never empty."""
    timezone: str | None
    state_dir: Path
    api: ApiConfig
    key: Secret | None
    """The common API key; a stream's own one wins. None only when no stream of `streams` needs it."""
    streams: Mapping[str, StreamConfig]
    """Streams without a mistake, enabled or not, with the defaults merged under them."""
    cameras: Mapping[str, NamedCamera]
    """Cameras of `cameras` without a mistake, used or not."""
    brokers: Mapping[str, BrokerConfig]
    """Brokers of `brokers` without a mistake, used or not; their files have absolute paths."""
    problems: tuple[Problem, ...]
    """Every mistake, in the order of the files."""
    broken: Mapping[str, tuple[Problem, ...]]
    """Streams that cannot run, and why. No name is in `streams` too."""
    secrets: tuple[Secret, ...]
    """Everything that must be masked."""
    limits: LimitsConfig
    spool: SpoolConfig
    warnings: tuple[Problem, ...]
    """What is odd, or will need somebody before long, and breaks nothing now; in the order of the files."""

    def key_of(self, stream: str) -> Secret | None:
        """The API key that this stream asks with, also one that is configured no more: its own, else the common one."""
        config = self.streams.get(stream)
        return config.key if config is not None and config.key is not None else self.key

    @property
    def brokers_used(self) -> frozenset[str]:
        """The names of the brokers that enabled streams publish to."""
        sinks = [sink for stream in self.streams.values() if stream.enabled for sink in stream.sinks]
        return frozenset(sink.broker for sink in sinks if isinstance(sink, MqttSink))

    @property
    def sync_seconds(self) -> float:
        """Seconds of results that a power cut may take of the spool: the fewest that an enabled stream's sink asks for.

        One that keeps nothing on a disk (all but files) asks for none unless it is written there: its default would
        otherwise undo what is written for a file beside it.
        """
        sinks = [sink for stream in self.streams.values() if stream.enabled for sink in stream.sinks]
        asked = [sink for sink in sinks if isinstance(sink, FileSink) or "sync_seconds" in sink.model_fields_set]
        return min((sink.sync_seconds for sink in asked), default=SYNC_SECONDS)

    @property
    def hopeless(self) -> bool:
        """There are mistakes and nothing is left to run: exit 78. (No stream and no mistake is fine: ready, idle.)"""
        return bool(self.problems) and not any(stream.enabled for stream in self.streams.values())


def load(path: Path, environ: Mapping[str, str], *, api_keys: bool = True, now: float | None = None) -> Loaded:
    """Read FILE, or a directory holding overshootd.yaml and streams.d/. Never raises for what a file holds.

    OVERSHOOT_API_KEY and OVERSHOOT_BASE_URL override the file. Without `api_keys` no stream needs one, nor what joins
    a room, for commands that never speak to the API: whoever calls them may not be allowed to read the keys.
    With `now` (seconds since the epoch) tokens that have expired, or will before long, are told. The daemon gives none:
    at boot it may not know the time, and a token that another device would take is no reason not to try.
    """
    root, in_files = files.read(path)
    root = overridden(root, environ)
    head = read_head(root, environ)
    if any(not problem.key and problem.file == root.mark.file for problem in in_files):
        return _nothing(root, head, in_files)  # what the other files lack now is no mistake of theirs
    written_cameras = read_cameras(root, environ)
    cameras, in_cameras = sound_cameras(written_cameras)
    brokers = read_brokers(root, head.device, environ if api_keys else None)
    names = root.map["streams"].map if root.get("streams") else {}
    around = Around(head.device, written_cameras, brokers, environ, secrets=api_keys, now=now)
    drafts = {name: read_stream(root, name, around) for name in names}

    lacking = {name for name, draft in drafts.items() if api_keys and draft.node.get("api", "key") is None}
    key, no_key = common_key(root, environ, needed=bool(lacking))
    keys = {name: _own_key(draft, environ) if api_keys else None for name, draft in drafts.items()}
    for name in lacking:
        drafts[name].problems.extend(no_key)
    known = {name: (draft.node, keys[name] or key) for name, draft in drafts.items() if keys[name] or name in lacking}
    transports = {name: draft.transport for name, draft in drafts.items() if draft.transport and draft.enabled}
    sinks = {name: [sink.node for sink in draft.sinks] for name, draft in drafts.items()}
    for name, problem in (*too_many(known), *doubled(transports), *unlike(sinks)):
        drafts[name].problems.append(problem)

    in_defaults = read_defaults(root)
    as_written = [*in_files, *bad_names(root)]
    shared = [*as_written, *head.problems, *(p for p in in_defaults if p.key == "defaults")]
    broken = {
        name: _ordered(root, [*(p for p in shared if _breaks(p, root, name, draft)), *draft.problems])
        for name, draft in drafts.items()
    }
    in_brokers = [problem for broker in brokers.values() for problem in broker.problems]
    own = [problem for draft in drafts.values() for problem in draft.problems]
    return Loaded(
        device=head.device,
        timezone=head.timezone,
        state_dir=head.state_dir,
        api=head.api,
        key=key,
        streams={
            name: draft.resolved(name, keys[name], head.state_dir) for name, draft in drafts.items() if not broken[name]
        },
        cameras={
            name: camera
            for name, camera in cameras.items()
            if not any(problem.within("cameras", name) for problem in as_written)
        },
        brokers=_sound_brokers(brokers, as_written),
        problems=_ordered(root, [*shared, *head.idle, *in_cameras, *in_brokers, *in_defaults, *no_key, *own]),
        broken={name: problems for name, problems in broken.items() if problems},
        secrets=_secrets([key, *keys.values()], written_cameras.values(), brokers.values(), drafts.values()),
        limits=head.limits,
        spool=head.spool,
        warnings=_ordered(root, _warnings(brokers.values(), drafts.values())),
    )


def _nothing(root: Node, head: Head, problems: list[Problem]) -> Loaded:
    """The main file cannot be read, so nothing can run."""
    told = _ordered(root, problems)
    return Loaded(
        device=head.device,
        timezone=head.timezone,
        state_dir=head.state_dir,
        api=head.api,
        key=None,
        streams={},
        cameras={},
        brokers={},
        problems=told,
        broken=dict.fromkeys(root.map["streams"].map if root.get("streams") else (), told),
        secrets=(),
        limits=head.limits,
        spool=head.spool,
        warnings=(),
    )


def _sound_brokers(drafts: Mapping[str, BrokerDraft], as_written: Iterable[Problem]) -> dict[str, BrokerConfig]:
    wrong = {name for name in drafts for problem in as_written if problem.within("brokers", name)}
    return {
        name: draft.config
        for name, draft in drafts.items()
        if draft.config is not None and not draft.problems and name not in wrong
    }


def _own_key(draft: Draft, environ: Mapping[str, str]) -> Secret | None:
    node = draft.node.get("api", "key")
    key, problems = key_at(node, environ) if node else (None, [])
    draft.problems.extend(problems)
    return key


def _secrets(
    keys: Iterable[Secret | None],
    cameras: Iterable[CameraDraft],
    brokers: Iterable[BrokerDraft],
    drafts: Iterable[Draft],
) -> tuple[Secret, ...]:
    found = [*keys, *(secret for camera in cameras for secret in camera.secrets)]
    found += [secret for broker in brokers for secret in broker.secrets]
    for draft in drafts:
        found += draft.camera.secrets if draft.camera else ()
        found += draft.transport.secrets if draft.transport else ()
        found += [secret for sink in draft.sinks for secret in sink.secrets]
    return tuple(dict.fromkeys(secret for secret in found if secret))


def _warnings(brokers: Iterable[BrokerDraft], drafts: Iterable[Draft]) -> Iterator[Problem]:
    for broker in brokers:
        yield from broker.warnings
    for draft in drafts:
        yield from draft.transport.warnings if draft.transport else ()
        for sink in draft.sinks:
            yield from sink.warnings


def _breaks(problem: Problem, root: Node, name: str, draft: Draft) -> bool:
    """Whether a mistake that no single stream made keeps this one from running."""
    if problem.within("streams", name) or (draft.camera_name and problem.within("cameras", draft.camera_name)):
        return True
    if any(problem.within("brokers", broker) for broker in draft.brokers):
        return True
    first = problem.key.partition(".")[0]
    written_in = root.map["streams"].map[name].mark.file
    return first not in files.CONTINUED and (
        problem.file in (root.mark.file, written_in) or problem.file.startswith("$")
    )


def _ordered(root: Node, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each once; the main file's first, then file by file from top to bottom."""
    main = root.mark.file
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.file != main, p.file, p.line, p.column)))
