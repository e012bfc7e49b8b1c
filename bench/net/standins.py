"""What stands in for the API, the camera and the kernel, where only recoveries are looked at. None of it grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from bench.net.rival import FPS, HEIGHT, WIDTH
from overshootd.capture.testcam import TestCamera
from overshootd.config.cameras import TestCamera as TestCameraConfig
from overshootd.contracts import (
    CaptureFormat,
    Due,
    Inference,
    LeaseNow,
    Log,
    Media,
    Publisher,
    PublishPlan,
    PublishTarget,
)
from overshootd.publish.livekit import LiveKit
from overshootd.simulator.livekit_child import LiveKitChild
from overshootd.simulator.tokens import publish_token

TOKEN_SECONDS = 300.0
RESULT_SECONDS = 1.0


class Session:
    """Satisfies contracts.Session."""

    def __init__(self, server: LiveKitChild, room: str) -> None:
        self.stream_id, self._server = room, server

    @property
    def target(self) -> PublishTarget:
        key, secret = self._server.key, self._server.secret
        return PublishTarget(self._server.url, publish_token(key, secret, self.stream_id, TOKEN_SECONDS))

    @property
    def lease(self) -> LeaseNow:
        return LeaseNow(time.monotonic(), None)

    async def keep_lease(self) -> None:
        await asyncio.Event().wait()

    async def verify(self) -> None:
        await asyncio.sleep(0)

    def path_changed(self) -> None:
        pass

    def doubt_path(self) -> None:
        pass

    async def results(self) -> AsyncGenerator[Inference, None]:
        while True:
            await asyncio.sleep(RESULT_SECONDS)
            yield Inference(time.time(), {})

    async def set_prompt(self, prompt: str) -> None:
        pass

    async def info(self) -> Mapping[str, Any]:
        return {}

    async def close(self) -> bool:
        return True


class Camera:
    """Satisfies contracts.Subscription."""

    def __init__(self) -> None:
        self._camera = TestCamera(TestCameraConfig(type="test", width=WIDTH, height=HEIGHT, fps=FPS))
        self._number = 0

    async def ready(self) -> CaptureFormat:
        return CaptureFormat(FPS, WIDTH, HEIGHT)

    def start(self, due: Due, width: int, height: int) -> None:
        pass

    def start_encoded(self, due: Due | None = None) -> None:
        pass

    async def next(self) -> Media:
        await asyncio.sleep(1 / FPS)
        self._number += 1
        return self._camera.draw(self._number, time.monotonic_ns(), WIDTH, HEIGHT)

    def stop(self) -> None:
        pass

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        pass

    def close(self) -> None:
        pass


class Publishers:
    """Satisfies contracts.Publishers: the native transport."""

    transport, rejoins = "native", True
    keyframe_seconds = float("inf")

    def __init__(self, livekit: LiveKit, log: Log) -> None:
        self._livekit, self._log = livekit, log
        self.arrives = asyncio.Event()
        """Set when frames are answered for, after a recovery too."""

    async def hardware(self) -> bool:
        return False

    def __call__(self, plan: PublishPlan) -> Publisher:
        return self._livekit.publisher(plan, self._log)

    def notes(self) -> tuple[str, ...]:
        return ()

    def joined(self) -> None:
        self.arrives.set()

    def not_joined(self) -> bool:
        return False

    async def another(self) -> None:
        await asyncio.Event().wait()


class Paths:
    """Satisfies contracts.Paths."""

    def __init__(self) -> None:
        self.changes = 0
        self._changed = asyncio.Event()

    async def changed(self, since: int) -> int:
        while self.changes <= since:
            await self._changed.wait()
        return self.changes

    def change(self) -> None:
        self.changes += 1
        self._changed.set()
        self._changed = asyncio.Event()
