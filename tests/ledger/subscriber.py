"""Whoever listens at the broker: a client of its own with a session that the broker keeps, so that it misses nothing
while a broker that keeps its persistence is away."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

import aiomqtt

AGAIN_SECONDS = 0.05
CONNECT_SECONDS = 5.0
QUIET = logging.getLogger("ledger.quiet")
"""A broker that is killed is no news here."""
QUIET.disabled = True


@dataclass
class Subscriber:
    """`heard` are the payloads; `subscribed`, monotonic seconds, is when the broker last knew of us, 0 while it does
    not."""

    port: int
    topic: str
    heard: list[bytes] = field(default_factory=list)
    subscribed: float = 0.0

    async def run(self) -> None:
        """Never return."""
        while True:
            try:
                await self._listen()
            except aiomqtt.MqttError:
                self.subscribed = 0.0
                await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self) -> None:
        async with aiomqtt.Client(
            "127.0.0.1",
            self.port,
            identifier="ledger",
            clean_session=False,
            timeout=CONNECT_SECONDS,
            logger=QUIET,
        ) as client:
            await client.subscribe(self.topic, qos=1)
            self.subscribed = time.monotonic()
            async for message in client.messages:
                payload = message.payload
                assert isinstance(payload, bytes)
                self.heard.append(payload)
