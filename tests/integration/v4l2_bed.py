"""What the tests of the V4L2 camera share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from overshootd.capture.v4l2.camera import V4l2Camera
from overshootd.config.cameras import V4l2Camera as Config
from tests.integration.fake_v4l2 import FakeKernel
from tests.remembering import RememberingLog

BOUND = 10.0


@dataclass
class Bed:
    """A fake kernel, and the cameras that were made on it."""

    kernel: FakeKernel
    log: RememberingLog = field(default_factory=RememberingLog)
    made: list[V4l2Camera] = field(default_factory=list)

    def camera(self, device: str = "/dev/video0", **wanted: Any) -> V4l2Camera:
        config = Config(type="v4l2", device=device, **wanted)
        self.made.append(V4l2Camera(config, self.log, self.kernel.root))
        return self.made[-1]


@contextmanager
def bed_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    bed = Bed(FakeKernel(root, monkeypatch))
    try:
        yield bed
    finally:
        for camera in bed.made:
            camera.close()
        bed.kernel.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does. Fails when it does not within BOUND seconds."""
    end = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.005)
