"""One opening of a camera, in a thread of its own: drivers block, and some never come back."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

from overshootd.contracts import Camera, CaptureFormat, CaptureNeed, Sample


class Reader:
    """Opens, reads and closes one camera. Attributes are written in its thread and read in the loop, one by one.

    `changed` is set, in the loop, whenever `live`, `error` or `finished` has changed.
    """

    def __init__(self, make: Callable[[], Camera], need: CaptureNeed, changed: asyncio.Event) -> None:
        """`make` makes the camera, in the thread."""
        self.need = need
        self.camera: Camera | None = None
        self.format: CaptureFormat | None = None
        self.live = False
        self.live_at: float | None = None
        self.error: Exception | None = None
        self.finished = False
        self.progress = time.monotonic()
        """When the thread began to open, then when the last frame came. A wedged driver leaves it where it is."""
        self._make = make
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()

    def start(self, name: str, deliver: Callable[[Reader, Sample], bool], timeout: float) -> None:
        """`deliver` gets every frame, in the thread, and says whether it shows that the camera works.

        `timeout` is for each read, in seconds.
        """
        # A daemon thread, because one that hangs in a driver must not keep the process from ending.
        threading.Thread(target=self._run, args=(deliver, timeout), name=f"camera {name}", daemon=True).start()

    def stop(self) -> None:
        """Ask the thread to end. It delivers nothing more; `finished` says when it has closed the camera."""
        self._stopped.set()
        if self.camera is not None:
            self.camera.abort()

    def _run(self, deliver: Callable[[Reader, Sample], bool], timeout: float) -> None:
        try:
            self._read(deliver, timeout)
        except Exception as error:  # noqa: BLE001 - the owner decides, and says what is unexpected
            self.error = error
            self._tell()
        try:
            if self.camera is not None:
                self.camera.close()
        except Exception as error:  # noqa: BLE001
            self.error = self.error or error
        self.finished = True
        self._tell()

    def _read(self, deliver: Callable[[Reader, Sample], bool], timeout: float) -> None:
        self.camera = self._make()
        if self._stopped.is_set():  # `stop` may have found no camera
            return
        self.format = self.camera.open(self.need)
        self.progress = time.monotonic()
        while not self._stopped.is_set():
            sample = self.camera.read(timeout)
            if sample is None or self._stopped.is_set():
                continue
            self.progress = time.monotonic()
            if deliver(self, sample) and not self.live:
                self.live, self.live_at = True, time.monotonic()
                self._tell()

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: this thread was left behind, and nobody asks
            self._loop.call_soon_threadsafe(self._changed.set)
