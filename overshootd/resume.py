"""Which streams exist at the API because of this device, remembered over a restart (design decision 3).

What is remembered is written when a stream is created, asked something else, or deleted, never in between: the
keepalive that resumes a stream brings a fresh token, and an SD card lives.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from overshootd.condition import Condition
from overshootd.contracts import Log
from overshootd.errors import SpoolError
from overshootd.statefile import Run, StateFile, Unusable, why

FILE_NAME = "streams.json"
VERSION = 1

RESUMABLE = frozenset({"native", "livekit"})
"""A legacy stream ends with its peer connection (api/README.md, v0.2 point 1), and that ends with its process."""

OF_ONE_NAME = 5
"""Kept at most. A key has five streams at a time, so of more that were never seen to end the oldest has ended."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A stream at the API: its name here, its id there, its room's URL (empty when it has none to rejoin), the
    transport in use, and the fingerprint (hexadecimal) of the configuration that it was created from."""

    stream: str
    stream_id: str
    url: str
    transport: str
    fingerprint: str


def sort_out(kept: Collection[Kept], wanted: Mapping[str, str]) -> tuple[dict[str, Kept], list[Kept]]:
    """Which of those `kept`, oldest first, are resumed, by name; and the strays, which are to be deleted. Pure.

    `wanted` is what is about to run: names, and the fingerprints of their configurations.
    """
    newest = {one.stream: one for one in kept}
    resumed = {name: one for name, one in newest.items() if one.transport in RESUMABLE and _is_wanted(one, wanted)}
    going_on = {one.stream_id for one in resumed.values()}
    return resumed, [one for one in kept if one.stream_id not in going_on]


def _is_wanted(one: Kept, wanted: Mapping[str, str]) -> bool:
    return wanted.get(one.stream) == one.fingerprint


def machine_tag(machine_id: str) -> str:
    """What binds the file to this machine, without showing machine-id itself (machine-id(5)); empty without one."""
    known = machine_id.strip().removeprefix("uninitialized")  # as an image has it before its first boot
    return hmac.digest(known.encode(), b"overshootd streams", hashlib.sha256).hex() if known else ""


def encode(kept: Iterable[Kept], machine: str) -> bytes:
    """The file's content; `machine` is the machine's tag. Pure."""
    content = {"version": VERSION, "machine": machine, "streams": [asdict(one) for one in kept]}
    return json.dumps(content, indent=1).encode() + b"\n"


def decode(content: bytes) -> tuple[str, list[Kept]]:
    """The tag of the machine that wrote it, and its streams. Pure. Raises Unusable."""
    try:
        body = json.loads(content)
        if isinstance(version := body["version"], int) and version > VERSION:
            raise Unusable(f"made by a newer overshootd (version {version}, this one knows {VERSION})", "newer")
        if version != VERSION:
            raise ValueError(f"version {version!r}")
        return _text(body["machine"]), [_kept(one) for one in body["streams"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unusable(f"no list of streams ({type(error).__name__}: {error})"[:300], "corrupt") from error


def _kept(entry: Mapping[str, object]) -> Kept:
    one = Kept(**{field.name: _text(entry[field.name]) for field in fields(Kept)})
    if not one.stream_id:
        raise ValueError("a stream without an id")
    return one


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of text")
    return value


class ResumeStore:
    """The file, and what it is meant to hold. Nothing here raises: a stream is worth more than the memory of it."""

    def __init__(self, directory: Path, machine_id: str, log: Log, run: Run) -> None:
        """`machine_id` as /etc/machine-id has it, empty when there is none; then nothing is remembered."""
        self._path = directory / FILE_NAME
        self._file = StateFile(self._path, "no stream is resumed", log, run)
        self._machine = machine_tag(machine_id)
        self._log = log
        self._kept: dict[str, Kept] = {}
        self._writing = Condition(log, "remembering which streams exist", time.monotonic)

    async def load(self) -> list[Kept]:
        """What an earlier process left here, oldest first; nothing when it is of another machine or cannot be used."""
        if not self._machine:
            self._log.warning("this machine has no machine-id (see systemd-machine-id-setup): no stream is resumed")
            return []
        machine, kept = await self._file.load(decode) or (self._machine, [])
        if machine != self._machine:
            # Two that were copied from one card would delete each other's streams.
            self._log.warning(f"{self._path} is of another machine: its streams are neither resumed nor deleted")
            return []
        self._kept = {one.stream_id: one for one in kept}
        return list(self._kept.values())

    async def created(self, kept: Kept) -> None:
        """It exists from now on. Returns once that survives a power cut, or cannot be had."""
        self._kept.pop(kept.stream_id, None)
        self._kept[kept.stream_id] = kept
        same = [one for one in self._kept.values() if one.stream == kept.stream]
        for one in same[:-OF_ONE_NAME]:
            del self._kept[one.stream_id]
        await self._save()

    async def deleted(self, stream_id: str) -> None:
        """It is no longer at the API, or not ours. Returns as `created` does."""
        if self._kept.pop(stream_id, None) is not None:
            await self._save()

    async def _save(self) -> None:
        if not self._machine:
            return
        try:
            await self._file.save(encode(self._kept.values(), self._machine))
        except (OSError, SpoolError) as error:
            # The next creation or deletion writes all of it.
            self._writing.bad(f"{self._path}: {why(error)}; should this process die, streams go on billing")
        else:
            self._writing.good()
