"""Which streams exist at the API because of this device, remembered over a restart (design decision 3).

What is remembered is written when a stream is created and when it is deleted, never in between: the keepalive that
resumes a stream brings a fresh token, and an SD card lives.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol, TypeVar

from overshootd.condition import Condition
from overshootd.contracts import Log
from overshootd.errors import SpoolError

T = TypeVar("T")

FILE_NAME = "streams.json"
VERSION = 1
FILE_MODE = 0o600
DIRECTORY_MODE = 0o750

RESUMABLE = frozenset({"native", "livekit"})
"""A legacy stream ends with its peer connection (api/README.md, v0.2 point 1), and that ends with its process."""

OF_ONE_NAME = 5
"""Kept at most. A key has five streams at a time, so of more that were never seen to end the oldest has ended."""

LONGEST_FILE = 1_000_000
"""Bytes. A stream takes about 300."""

DISK_SECONDS = 10.0
"""A card that stalls for longer must not hold a stream back, which is billed."""


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


class Unusable(Exception):
    """The file cannot be used. `suffix` is what its name gets when it is set aside."""

    def __init__(self, why: str, suffix: str) -> None:
        super().__init__(why)
        self.suffix = suffix


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


class Run(Protocol):
    """Runs a blocking function where it does not hold the event loop, one after the other, in order."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


class ResumeStore:
    """The file, and what it is meant to hold. Nothing here raises: a stream is worth more than the memory of it."""

    def __init__(self, directory: Path, machine_id: str, log: Log, run: Run) -> None:
        """`machine_id` as /etc/machine-id has it, empty when there is none; then nothing is remembered."""
        self._path = directory / FILE_NAME
        self._machine = machine_tag(machine_id)
        self._log = log
        self._run = run
        self._kept: dict[str, Kept] = {}
        self._writing = Condition(log, "remembering which streams exist", time.monotonic)

    async def load(self) -> list[Kept]:
        """What an earlier process left here, oldest first; nothing when it is of another machine or cannot be used."""
        if not self._machine:
            self._log.warning("this machine has no machine-id (see systemd-machine-id-setup): no stream is resumed")
            return []
        try:
            async with asyncio.timeout(DISK_SECONDS):
                self._kept = {one.stream_id: one for one in await self._run(self._read)}
        except (SpoolError, TimeoutError) as error:
            self._log.error(f"{self._path}: {_why(error)}: no stream is resumed")
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
        content = encode(self._kept.values(), self._machine)
        try:
            async with asyncio.timeout(DISK_SECONDS):
                await self._run(lambda: write(self._path, content))
        except (OSError, SpoolError, TimeoutError) as error:
            # TimeoutError is an OSError too. The next creation or deletion writes all of it.
            self._writing.bad(f"{self._path}: {_why(error)}; should this process die, streams go on billing")
        else:
            self._writing.good()

    def _read(self) -> list[Kept]:
        try:
            machine, kept = decode(_content(self._path))
        except FileNotFoundError:
            return []
        except Unusable as error:
            self._set_aside(error)
            return []
        if machine != self._machine:
            # Two that were copied from one card would delete each other's streams.
            self._log.warning(f"{self._path} is of another machine: its streams are neither resumed nor deleted")
            return []
        return kept

    def _set_aside(self, why: Unusable) -> None:
        aside = self._path.with_name(f"{FILE_NAME}.{why.suffix}")
        try:
            os.replace(self._path, aside)
        except OSError as error:
            self._log.error(f"{self._path}: {why}; and it could not be set aside: {_why(error)}")
        else:
            self._log.error(f"{self._path}: {why}: set aside as {aside.name}, no stream is resumed")


def _content(path: Path) -> bytes:
    """Raises FileNotFoundError, and Unusable for whatever else is wrong."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_FILE + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unusable(_why(error), "unreadable") from error
    if len(content) > LONGEST_FILE:
        raise Unusable(f"longer than {LONGEST_FILE} bytes", "corrupt")
    return content


def write(path: Path, content: bytes) -> None:
    """Make it the content of `path`: whoever reads it, after whatever cut, reads this or what was there. Raises
    OSError."""
    path.parent.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # what a cut left there may be readable by others
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)  # or a power cut may leave the new name with nothing under it
    finally:
        os.close(descriptor)
    os.replace(new, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or "the disk does not answer"
