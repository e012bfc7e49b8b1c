"""One stream: its lease, inferences on their schedule, and who listens to the results."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from overshootd.simulator.contract import Contract
from overshootd.simulator.faults import FailedInference, Faults, Malformed, SlowInference
from overshootd.simulator.intake import Intake
from overshootd.simulator.ledger import Ledger, StreamEntry
from overshootd.simulator.malformed import spoil
from overshootd.simulator.media import ArrivedFrame
from overshootd.simulator.model import Answer, Sample, answer, observe
from overshootd.simulator.requests import ClipMode, StreamSpec, WebRTC
from overshootd.simulator.sampling import sampler
from overshootd.simulator.sockets import Close, Subscriber

SOCKETS = 16

_LOG = logging.getLogger(__name__)


class Stream:
    """Also the stream's Eye: the media adapter calls `frame`, `violation` and `publisher_left` from the event loop.

    `ttl` is the lease in seconds, None for a lease without end. `ended` is the API's reason, None while it lives.
    """

    def __init__(
        self,
        key: str,
        spec: StreamSpec,
        entry: StreamEntry,
        ttl: float | None,
        *,
        contract: Contract,
        ledger: Ledger,
        faults: Faults,
    ) -> None:
        self.key = key
        self.spec = spec
        self.entry = entry
        self.stream_id = entry.stream_id
        self.ended: str | None = None
        self._ttl = ttl
        self._contract = contract
        self._ledger = ledger
        self._faults = faults
        self._config_id = uuid.uuid4().hex
        self._prompt = spec.prompt
        self._created = self._updated = datetime.now(UTC).isoformat()
        self._started = time.monotonic()
        self._lease_until = None if ttl is None else self._started + ttl
        self._intake = Intake()
        self._sampler = sampler(spec.processing)
        self._paused = False
        self._due: float | None = None
        self._sampled: float | None = None
        self._latency = 0.0
        self._subscribers: set[Subscriber] = set()
        self._wake = asyncio.Event()

    # what the media adapter reports

    def frame(self, frame: ArrivedFrame) -> None:
        if self.ended is not None:
            return
        now = time.monotonic()
        self.entry.frame(now)
        self._intake.arrived(frame, now)
        self._sampler.arrived(frame, self.entry.frames_arrived)
        if self._due is None:
            processing = self.spec.processing
            self._due = now + (processing.length if isinstance(processing, ClipMode) else 0.0)
            self._wake.set()

    def violation(self, what: str) -> None:
        _LOG.error("%s: violation: %s", self.stream_id, what)
        self._ledger.violated(what, self.entry)

    def publisher_left(self, why: str) -> None:
        _LOG.info("%s: the publisher left: %s", self.stream_id, why)
        self._intake.left()
        if isinstance(self.spec.source, WebRTC):
            self.end("webrtc_disconnected")  # such a stream cannot reconnect (api/README.md, v0.2, 1)

    # what the gateway asks for

    async def run(self) -> None:
        """Infer on schedule until the stream ends, by itself when the lease runs out."""
        while self.ended is None:
            now = time.monotonic()
            if self.lease_is_over(now):
                self.end("lease_expired")
            elif self._due is not None and now >= self._due:
                await self._infer(self._due, now)
            else:
                await self._sleep(now)

    def end(self, reason: str) -> None:
        """Bill the rest and tell the listeners. Only the first reason counts."""
        if self.ended is not None:
            return
        _LOG.info("%s: ended: %s", self.stream_id, reason)
        self.entry.end(reason, time.monotonic())
        self.ended = reason
        self._sampler.clear()
        self.close_sockets(Close(1001, reason))
        self._wake.set()

    def lease_is_over(self, now: float) -> bool:
        return self._lease_until is not None and now >= self._lease_until

    def renew(self, now: float) -> None:
        """A keepalive came: the lease begins anew, and a restarted server infers again."""
        if self._ttl is not None:
            self._lease_until = now + self._ttl
        self._paused = False

    def expire(self) -> None:
        self._lease_until = time.monotonic()
        self._wake.set()

    def pause(self) -> None:
        """The server restarts: nothing is inferred until the next keepalive. The lease goes on."""
        self._paused = True
        self._intake.forget()
        self._sampler.clear()

    def set_prompt(self, prompt: str) -> None:
        self._prompt = prompt
        self._updated = datetime.now(UTC).isoformat()

    def subscribe(self) -> Subscriber | None:
        """A new listener; None when there are too many."""
        if len(self._subscribers) >= SOCKETS:
            return None
        subscriber = Subscriber()
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.discard(subscriber)

    def close_sockets(self, how: Close) -> None:
        for subscriber in self._subscribers:
            subscriber.send(how)

    def state(self) -> str:
        return self._intake.state(time.monotonic())

    def config(self) -> dict[str, Any]:
        """The API's StreamConfig."""
        return {
            "id": self._config_id,
            "stream_id": self.stream_id,
            "prompt": self._prompt,
            "backend": self.spec.backend,
            "model": self.spec.model,
            "output_schema_json": self.spec.output_schema,
            "created_at": self._created,
            "updated_at": self._updated,
        }

    def info(self) -> dict[str, Any]:
        """The API's StreamInfo."""
        now = time.monotonic()
        width, height = self._intake.size
        effective_width, effective_height = self._intake.effective_size()
        return {
            "stream_id": self.stream_id,
            "source_type": self.spec.source.kind,
            "state": self._intake.state(now),
            "uptime_seconds": round(now - self._started, 3),
            "fps": self._intake.fps(now),
            "frame_width": width,
            "frame_height": height,
            "effective_width": effective_width,
            "effective_height": effective_height,
            "inferences_completed": self.entry.inferred,
            "inferences_failed": self.entry.failed,
            "last_inference_latency_seconds": round(self._latency, 6),
        }

    # inference

    async def _sleep(self, now: float) -> None:
        deadlines = [deadline for deadline in (self._due, self._lease_until) if deadline is not None]
        with suppress(TimeoutError):
            async with asyncio.timeout(min(deadlines) - now if deadlines else None):
                await self._wake.wait()
        self._wake.clear()

    async def _infer(self, due: float, now: float) -> None:
        interval = self.spec.processing.interval
        missed = int((now - due) / interval)
        self._due = due + interval * (missed + 1)
        self.entry.skipped += missed
        self.entry.due += missed + 1
        samples = self._samples(now)
        if not samples:
            return
        slow = self._faults.first(SlowInference, now)
        said = self._answer(observe(samples, time.time(), clip=isinstance(self.spec.processing, ClipMode)), now)
        if slow is not None:
            await asyncio.sleep(slow.seconds)
        if self.ended is None:
            self._latency = time.monotonic() - now
            self._deliver(self._result(said, samples[-1]))

    def _samples(self, now: float) -> list[Sample]:
        """What this inference looks at; empty when it falls out, which is counted with its reason."""
        if self._paused:
            self.entry.paused += 1
            return []
        wall = time.time()
        samples = self._sampler.sample(wall) if self._intake.state(now) == "active" else []
        if not samples:
            self.entry.idle += 1
            return []
        newest = samples[-1]
        self.entry.repeated += newest.arrived == self._sampled
        self._sampled = newest.arrived
        self.entry.ages_ms.append((wall - newest.captured) * 1000)
        return samples

    def _answer(self, seen: dict[str, Any], now: float) -> Answer:
        failed = self._faults.first(FailedInference, now)
        if failed:
            return Answer("", None, failed.error)
        return answer(seen, self.spec.output_schema, self.spec.max_output_tokens)

    def _result(self, said: Answer, newest: Sample) -> dict[str, Any]:
        """The API's InferenceResult. Its total latency is counted from the newest frame's arrival."""
        return {
            "id": str(uuid.uuid4()),
            "stream_id": self.stream_id,
            "mode": self.spec.processing.mode,
            "model_backend": self.spec.backend,
            "model_name": self.spec.model,
            "prompt": self._prompt,
            "result": said.text,
            "inference_latency_ms": round(self._latency * 1000, 3),
            "total_latency_ms": round(max(0.0, time.time() - newest.arrived) * 1000, 3),
            "ok": said.error is None,
            "error": said.error,
            "finish_reason": said.finish_reason,
        }

    def _deliver(self, result: dict[str, Any]) -> None:
        self._contract.check_message("InferenceResult", result)
        if result["ok"]:
            self.entry.inferred += 1
        else:
            self.entry.failed += 1
        if not self._subscribers:
            self.entry.unheard += 1
            return
        self.entry.result_sent(result["id"], time.monotonic())
        malformed = self._faults.first(Malformed, time.monotonic())
        message = spoil(malformed, result) if malformed else json.dumps(result)
        for subscriber in self._subscribers:
            subscriber.send(message)
