"""One camera and its streams: opens it while somebody needs it, keeps it alive, and gives each stream its frames."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from overshootd.backoff import Backoff, Uniform
from overshootd.contracts import Camera, CameraState, CaptureNeed, Log, Subscription

OnState = Callable[[CameraState, str], None]

CAMERA = Backoff(base=0.5, cap=10.0)
"""A camera that was unplugged must be back soon after it is plugged in again; asking the kernel costs little."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a driver may take before it counts as lost, or as wedged."""

    open: float = 15.0  # RTSP over a mobile link, or a libcamera pipeline on a Pi Zero
    silence: float = 5.0
    close: float = 3.0  # of the 10 s that the daemon has for its whole end
    read: float = 0.5  # how often the thread looks whether it shall stop


class CameraFeed:
    """Owner of one camera and its thread."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Camera],
        *,
        on_state: OnState,
        log: Log,
        backoff: Backoff = CAMERA,
        uniform: Uniform = random.uniform,
        limits: Limits = Limits(),
    ) -> None:
        raise NotImplementedError

    async def run(self) -> None:
        """Until cancelled, or until the camera has ended or failed for good."""
        raise NotImplementedError

    def subscribe(self, need: CaptureNeed) -> Subscription:
        """Take part. The camera opens when `run` is running and reopens when no opening so far covers `need`."""
        raise NotImplementedError
