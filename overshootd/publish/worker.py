"""One encoder in a thread of its own: drivers block, and some never come back."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Protocol

from overshootd.contracts import APART_SECONDS, AccessUnit, Picture, Wish
from overshootd.errors import OvershootdError


class Encoder(Protocol):
    """As ffmpeg.encoder.H264Encoder."""

    def encode(self, picture: Picture, *, keyframe: bool = False) -> list[AccessUnit]: ...

    def set_kbps(self, kbps: int) -> None: ...

    def close(self) -> None: ...


class Worker:
    """Encodes the newest picture, again and again. `deliver` and `fail` are called in the event loop that made it.

    Once stop() was called nothing is delivered: what a driver gives that returns at last has nowhere to go any more.
    """

    def __init__(self, encoder: Encoder, deliver: Callable[[AccessUnit], None], fail: Callable[[str], None]) -> None:
        self._encoder, self._deliver, self._fail = encoder, deliver, fail
        self._loop = asyncio.get_running_loop()
        self._finished = asyncio.Event()
        self._finished.set()
        self._condition = threading.Condition()  # over the four fields below
        self._picture: Picture | None = None
        self._wish = Wish()
        self._stopped = False
        self._busy_since: float | None = None

    def start(self) -> None:
        self._finished.clear()
        # A daemon thread, because one that hangs in a driver must not keep the process from ending.
        threading.Thread(target=self._run, name="encoder", daemon=True).start()

    def put(self, picture: Picture) -> None:
        """Encode this next, instead of one that still waits."""
        with self._condition:
            self._picture = picture
            self._condition.notify()

    def wish(self, wish: Wish) -> None:
        """Heed this from the next picture on."""
        with self._condition:
            kbps = self._wish.kbps if wish.kbps is None else wish.kbps
            self._wish = Wish(self._wish.keyframe or wish.keyframe, kbps)

    @property
    def busy_seconds(self) -> float:
        """How long the encoder has been at one picture."""
        with self._condition:
            return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    async def stop(self, timeout: float) -> bool:
        """End the thread; whether it has ended within `timeout` seconds. If not it is left behind."""
        with self._condition:
            self._stopped = True
            self._condition.notify()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._finished.wait()
        return self._finished.is_set()

    def _run(self) -> None:
        try:
            while (job := self._next()) is not None:
                self._encode(*job)
            self._encoder.close()
        except OvershootdError as error:
            self._tell(self._fail, str(error))
        except Exception as error:  # noqa: BLE001 - a thread has nobody above it; the owner says it
            self._tell(self._fail, f"the encoder failed unexpectedly: {error!r}")
        self._tell(self._finished.set)

    def _next(self) -> tuple[Picture, Wish] | None:
        with self._condition:
            self._busy_since = None
            self._condition.wait_for(lambda: self._stopped or self._picture is not None)
            if self._stopped or self._picture is None:
                return None
            picture, wish = self._picture, self._wish
            self._picture, self._wish, self._busy_since = None, Wish(), time.monotonic()
            return picture, wish

    def _encode(self, picture: Picture, wish: Wish) -> None:
        if wish.kbps is not None:
            self._encoder.set_kbps(wish.kbps)
        for index, unit in enumerate(self._encoder.encode(picture, keyframe=wish.keyframe)):
            if index:
                time.sleep(APART_SECONDS)
            self._tell(self._hand_over, unit)

    def _hand_over(self, unit: AccessUnit) -> None:
        if not self._stopped:  # written in this thread only, the loop's
            self._deliver(unit)

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: this thread was left behind, and nobody asks
            self._loop.call_soon_threadsafe(callback, *arguments)
