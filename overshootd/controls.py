"""What somebody asked of the streams while they run, over restarts: to pause, or to look for something else.

A pause is kept because a camera that was paused must not be billed again after a reboot. Another prompt counts as long
as the configuration has the one that it took the place of: who edits the YAML is not surprised by an older asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from overshootd.backoff import NETWORK
from overshootd.condition import Condition
from overshootd.contracts import Log
from overshootd.errors import OvershootdError, SpoolError
from overshootd.statefile import Run, StateFile, Unusable, why

FILE_NAME = "controls.json"
VERSION = 1

LONGEST_PROMPT = 10_000
"""Characters. Nobody's question is longer, and the file has to hold those of all streams."""

OTHERS = 50
"""Of so many streams that do not run it is remembered that they are paused: the configuration may only be broken, and
once it is mended the pause must hold."""

END_SECONDS = 1.0


LATEST = 253_402_300_799.0
"""The last second of the year 9999, beyond which no record tells a time."""


@dataclass(frozen=True, slots=True)
class Since:
    """When a pause began, in seconds since the epoch, and whether the clock could be trusted then."""

    at: float
    synced: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """Of one stream. `prompt` takes the place of the configured one whose digest (`digest`) is `instead_of`; empty:
    none does. `since`: of the pause; None where there is none, or an older overshootd began it."""

    paused: bool = False
    prompt: str = ""
    instead_of: str = ""
    since: Since | None = None


NOTHING = Asked()


def digest(prompt: str) -> str:
    """What tells prompts apart (hexadecimal SHA-256)."""
    return hashlib.sha256(prompt.encode(errors="surrogatepass")).hexdigest()


def valid(asked: Asked, configured: str) -> Asked:
    """What is left of it under the configuration as it is now. Pure."""
    return asked if asked.instead_of == digest(configured) else replace(asked, prompt="", instead_of="")


def asking(asked: Asked, prompt: str, configured: str) -> Asked:
    """The same, but asking for `prompt`. Pure."""
    if prompt == configured:
        return replace(asked, prompt="", instead_of="")
    return replace(asked, prompt=prompt, instead_of=digest(configured))


def check_prompt(prompt: str) -> None:
    """Raises OvershootdError for what no stream can be asked."""
    if not prompt.strip():
        raise OvershootdError("the prompt is empty: say what the model shall look for")
    if len(prompt) > LONGEST_PROMPT:
        raise OvershootdError(f"the prompt has {len(prompt)} characters: at most {LONGEST_PROMPT} are taken")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise OvershootdError("the prompt is no text: half of a character is missing in it") from error


def encode(asked: Mapping[str, Asked]) -> bytes:
    """The file's content. Pure."""
    content = {"version": VERSION, "streams": {name: asdict(one) for name, one in asked.items()}}
    return json.dumps(content, indent=1, ensure_ascii=False).encode(errors="surrogatepass") + b"\n"


def decode(content: bytes) -> dict[str, Asked]:
    """Pure. Raises Unusable."""
    try:
        body = json.loads(content)
        if isinstance(version := body["version"], int) and version > VERSION:
            raise Unusable(f"made by a newer overshootd (version {version}, this one knows {VERSION})", "newer")
        if version != VERSION:
            raise ValueError(f"version {version!r}")
        return {name: _asked(entry) for name, entry in body["streams"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OvershootdError) as error:
        raise Unusable(f"not what was asked of streams ({type(error).__name__}: {error})"[:300], "corrupt") from error


def _asked(entry: Mapping[str, object]) -> Asked:
    match entry:
        case {"paused": bool(paused), "prompt": str(prompt), "instead_of": str(instead_of)}:
            if prompt:
                check_prompt(prompt)
            return Asked(paused, prompt, instead_of, _since(entry.get("since")))
    raise ValueError("a stream without `paused`, `prompt` or `instead_of`")


def _since(entry: object) -> Since | None:
    match entry:
        case None:
            return None
        case {"at": int(at) | float(at), "synced": bool(synced)} if 0 <= at <= LATEST:
            return Since(at, synced)
    raise ValueError("`since` of a pause is no time")


class Control:
    """What is asked of one stream now, and the wait for something else. `told` is called when that came; `synced` says
    whether the wall clock can be trusted."""

    def __init__(
        self, configured: str, told: Callable[[], None] = lambda: None, synced: Callable[[], bool] = lambda: False
    ) -> None:
        self.configured = configured
        self.asked = NOTHING
        self._told = told
        self._synced = synced
        self._changed = asyncio.Event()

    @property
    def paused(self) -> bool:
        return self.asked.paused

    @property
    def prompt(self) -> str:
        """What the model is to be asked."""
        return self.asked.prompt or self.configured

    def set_prompt(self, prompt: str) -> None:
        """Raises OvershootdError for what no stream can be asked."""
        check_prompt(prompt)
        self._ask(asking(self.asked, prompt, self.configured))

    def set_paused(self, paused: bool) -> None:
        if paused is not self.paused:
            since = Since(time.time(), self._synced()) if paused else None
            self._ask(replace(self.asked, paused=paused, since=since))

    def take_up(self, asked: Asked) -> None:
        """What was asked before the restart, before anybody waits."""
        self.asked = valid(asked, self.configured)

    async def until_paused(self, paused: bool) -> None:
        """Return once it is, or once it is not."""
        await self._until(lambda: self.paused is paused)

    async def other_prompt(self, than: str) -> str:
        """Return the prompt once it is another one."""
        await self._until(lambda: self.prompt != than)
        return self.prompt

    async def other_than(self, asked: Asked) -> None:
        """Return once anything else is asked."""
        await self._until(lambda: self.asked != asked)

    async def _until(self, met: Callable[[], bool]) -> None:
        while not met():
            await self._changed.wait()

    def _ask(self, asked: Asked) -> None:
        if asked == self.asked:
            return
        self.asked = asked
        self._changed.set()
        self._changed = asyncio.Event()
        self._told()


class KeptControls:
    """Satisfies contracts.Controls. `prompts`: the configured ones of the streams that run, by name; `synced` says
    whether the wall clock can be trusted.

    What is asked counts at once, and `run` brings it to the disk.
    """

    def __init__(
        self,
        prompts: Mapping[str, str],
        directory: Path,
        log: Log,
        run: Run,
        synced: Callable[[], bool] = lambda: False,
    ) -> None:
        self._controls = {name: Control(prompt, partial(self._asked, name), synced) for name, prompt in prompts.items()}
        self._others: dict[str, Asked] = {}
        self._path = directory / FILE_NAME
        self._file = StateFile(self._path, "no stream is paused, and all have their configured prompts", log, run)
        self._log = log
        self._writing = Condition(log, "remembering pauses and prompts", time.monotonic)
        self._dirty = asyncio.Event()
        self._told: list[Callable[[str], None]] = []

    async def load(self) -> None:
        """Take up what was asked before the restart. A file that cannot be used is set aside, and that is said."""
        kept = await self._file.load(decode) or {}
        for name, control in self._controls.items():
            asked = kept.pop(name, NOTHING)
            control.take_up(asked)
            if control.asked != asked:
                self._log.info("the prompt is that of the configuration again, which has changed", stream=name)
                self._dirty.set()
        paused = [(name, Asked(paused=True, since=asked.since)) for name, asked in kept.items() if asked.paused]
        self._others = dict(paused[-OTHERS:])

    async def run(self) -> NoReturn:
        """Write what was asked, as often as it takes."""
        attempt = 0
        while True:
            await self._dirty.wait()
            attempt = 0 if await self._save() else attempt + 1
            if attempt:
                await asyncio.sleep(NETWORK.delay(attempt - 1, random.uniform))

    async def close(self) -> None:
        """A last try, for END_SECONDS at most."""
        if not self._dirty.is_set():
            return
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._save()
        except TimeoutError:
            self._writing.bad(f"{self._path}: the disk does not answer")

    def of(self, stream: str) -> Control:
        """Raises OvershootdError where there is no such stream, or none that runs."""
        if (control := self._controls.get(stream)) is None:
            raise OvershootdError(f"no stream {stream[:80]!r} runs here; those are: {_list(self._controls)}")
        return control

    def set_prompt(self, stream: str, prompt: str) -> None:
        self.of(stream).set_prompt(prompt)

    def set_paused(self, stream: str, paused: bool) -> None:
        self.of(stream).set_paused(paused)

    def prompt(self, stream: str) -> str:
        return self.of(stream).prompt

    def paused(self, stream: str) -> bool:
        return self.of(stream).paused

    def paused_ones(self) -> frozenset[str]:
        """The names of all that are."""
        return frozenset(name for name, control in self._controls.items() if control.paused)

    def on_change(self, told: Callable[[str], None]) -> None:
        """Call that with a stream's name whenever something else was asked of it."""
        self._told.append(told)

    def _asked(self, stream: str) -> None:
        self._dirty.set()
        for told in self._told:
            told(stream)

    async def _save(self) -> bool:
        self._dirty.clear()
        asked = self._others | {name: control.asked for name, control in self._controls.items()}
        saved = False
        try:
            await self._file.save(encode({name: one for name, one in asked.items() if one != NOTHING}))
            saved = True
        except (OSError, SpoolError) as error:
            self._writing.bad(f"{self._path}: {why(error)}; a restart would forget what was asked last")
        else:
            self._writing.good()
        finally:
            if not saved:  # cancelled too
                self._dirty.set()
        return saved


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
