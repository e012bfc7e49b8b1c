"""The API's v0.2: leases kept by keepalives, results pushed on a WebSocket (api/v0.2.yaml, api/README.md)."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeGuard

from overshootd.api.failures import Decision, Do, Operation, decide
from overshootd.api.http import Answer, Http, Success
from overshootd.api.lease import Lease
from overshootd.api.socket import ResultsSocket, SocketEnded, open_results
from overshootd.backoff import NETWORK, Backoff
from overshootd.condition import Condition
from overshootd.config.secret import Secret
from overshootd.contracts import Inference, Log, PublishTarget, StreamSpec
from overshootd.errors import StreamGone, Transient

REQUEST_TIMEOUT = 15.0
DELETE_TIMEOUT = 4.0
"""Well under the 10 s that an orderly end may take."""

MAD_TTL = 1e6
"""Seconds. Nobody leases for eleven days: a number beyond (or infinity) is a mistake, and tells nothing."""

RESULT_KEYS = {"id": str, "result": str, "ok": bool}
"""What makes a message a result; the rest is kept as it comes (v0.2.yaml, InferenceResult)."""


class V02:
    """One key at one base URL. Satisfies contracts.Api. `hide` is told every token, so that no log shows it."""

    def __init__(
        self, http: Http, tls: ssl.SSLContext, base_url: str, key: Secret, log: Log, hide: Callable[[Secret], None]
    ) -> None:
        self._http = http
        self._tls = tls
        self._base = base_url.rstrip("/")
        self._key = key
        self._log = log
        self._hide = hide

    async def create(self, spec: StreamSpec) -> V02Session:
        """POST /streams. Raises Transient, Refused or Permanent."""
        body = {
            "source": {"type": "native"},
            "mode": spec.mode,
            "processing": dict(spec.processing),
            "inference": dict(spec.inference),
        }
        sent = time.monotonic()
        created = _expect(Operation.CREATE, await self.call("POST", "/streams", body))
        if not _text(stream_id := created.get("stream_id")):
            raise Transient("create: the answer names no stream")
        livekit = created.get("livekit")
        if not isinstance(livekit, Mapping) or not _text(livekit.get("url")) or not _text(livekit.get("token")):
            await self.delete(stream_id, self._log)  # it exists, and is billed
            raise Transient("create: the answer names no room")
        target = self.target(livekit["url"], livekit["token"])
        return V02Session(self, stream_id, target, Lease(_ttl(created.get("lease")), sent), self._log)

    async def delete(self, stream_id: str, log: Log) -> None:
        """DELETE, for DELETE_TIMEOUT at most; a failure is logged, for the lease ends the stream anyway."""
        answer = await self.call("DELETE", f"/streams/{stream_id}", timeout=DELETE_TIMEOUT)
        if isinstance(answer, Success):
            return
        decision = decide(Operation.DELETE, answer)
        if decision.do is not Do.NOTHING:
            log.warning(f"not closed at the API, billed until the lease ends: {decision.message}")

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout: float = REQUEST_TIMEOUT
    ) -> Answer:
        return await self._http.request(method, self._base + path, key=self._key, body=body, timeout=timeout)

    def target(self, url: str, token: str) -> PublishTarget:
        """The token is hidden before anybody can log it."""
        self._hide(Secret(token))
        return PublishTarget(url, token)

    def results_socket(self, stream_id: str, timeout: float) -> AbstractAsyncContextManager[ResultsSocket]:
        url = f"ws{self._base.removeprefix('http')}/ws/streams/{stream_id}"
        return open_results(url, self._key, self._tls, timeout)


class V02Session:
    """One stream. Satisfies contracts.Session."""

    def __init__(self, api: V02, stream_id: str, target: PublishTarget, lease: Lease, log: Log) -> None:
        self.stream_id = stream_id
        self.target = target
        self._api = api
        self._lease = lease
        self._asking = asyncio.Lock()
        self._may_delete = True
        self._log = log.bind(stream_id=self.stream_id)
        self._keepalive_works = Condition(self._log, "keepalive", time.monotonic)
        self._socket_works = Condition(self._log, "results socket", time.monotonic)
        self._messages_sound = Condition(self._log, "result messages", time.monotonic)

    # -- the lease

    async def keep_lease(self) -> None:
        while True:
            while (wait := self._lease.due - time.monotonic()) > 0:  # noqa: ASYNC110  # `verify` moves it meanwhile
                await asyncio.sleep(wait)
            await self.verify()

    async def verify(self) -> None:
        """Send a keepalive now and until one is answered: it decides whether the stream still lives.

        Raises StreamGone (404, or the lease ran out), Refused or Permanent.
        """
        before = self._lease
        async with self._asking:
            if self._lease is not before:
                return  # somebody else has just asked
            await self._renew()

    async def _renew(self) -> None:
        attempt = 0
        while (decision := await self._ask()) is not None:
            self._keepalive_works.bad(decision.message, **decision.context)
            self._end_unless(decision, Do.RETRY)
            if self._lease.expired(time.monotonic()):
                raise StreamGone(f"the lease ran out; {decision.message}")
            backoff = Backoff(NETWORK.base, self._lease.longest_delay)
            # A Retry-After beyond the lease would be a lost stream, so here it is only taken up to the cap.
            await asyncio.sleep(backoff.delay(attempt, random.uniform, min(decision.retry_after or 0, backoff.cap)))
            attempt += 1
        self._keepalive_works.good()

    async def _ask(self) -> Decision | None:
        """One keepalive. None when the lease was renewed."""
        sent = time.monotonic()
        answer = await self._api.call("POST", f"/streams/{self.stream_id}/keepalive", timeout=self._lease.timeout)
        if not isinstance(answer, Success):
            return decide(Operation.KEEPALIVE, answer)
        self._lease = Lease(_ttl(answer.body), sent)
        if _text(token := answer.body.get("livekit_token")):
            self.target = self._api.target(self.target.url, token)
        return None

    def _end_unless(self, decision: Decision, *bearable: Do) -> None:
        """Raise what ends the stream, remembering whether it is ours to delete."""
        self._may_delete &= decision.may_delete
        if decision.do not in bearable:
            raise decision.error()

    # -- results

    async def results(self) -> AsyncGenerator[Inference, None]:
        attempt = 0
        while True:
            try:
                async with self._api.results_socket(self.stream_id, self._lease.timeout) as socket:
                    while True:
                        result = self._result(await socket.receive())
                        attempt = 0
                        if result is not None:
                            self._socket_works.good()
                            yield result
            except SocketEnded as ended:
                await self._after_close(decide(Operation.RESULTS, ended.seen), attempt)
                attempt += 1

    async def _after_close(self, decision: Decision, attempt: int) -> None:
        """Return when the socket may be opened again, or raise what ends the stream."""
        self._socket_works.bad(decision.message)
        self._end_unless(decision, Do.RETRY, Do.ASK_LEASE)
        # Any close means the same: ask at once; it also makes the server infer again after a deploy.
        await self.verify()
        await asyncio.sleep(NETWORK.delay(attempt, random.uniform, decision.retry_after) if attempt else 0.0)

    def _result(self, message: str | bytes) -> Inference | None:
        received_at = time.time()
        try:
            body = json.loads(message)
            wrong = [key for key, kind in RESULT_KEYS.items() if not isinstance(body[key], kind)]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self._messages_sound.bad(f"not a result, left out ({type(error).__name__}: {error})")
            return None
        if wrong:
            self._messages_sound.bad(f"not a result, left out (wrong type of {', '.join(wrong)})")
            return None
        self._messages_sound.good()
        return Inference(received_at, body)

    # -- the rest

    async def set_prompt(self, prompt: str) -> None:
        """PATCH the prompt of the running stream. Raises Transient, StreamGone, Refused or Permanent."""
        path = f"/streams/{self.stream_id}/config/prompt"
        _expect(Operation.PROMPT, await self._api.call("PATCH", path, {"prompt": prompt}))

    async def info(self) -> Mapping[str, Any]:
        """GET the server's view (v0.2.yaml, StreamInfo). Raises as `set_prompt` does."""
        return _expect(Operation.INFO, await self._api.call("GET", f"/streams/{self.stream_id}/info"))

    async def close(self) -> None:
        if self._may_delete:
            await self._api.delete(self.stream_id, self._log)


def _expect(operation: Operation, answer: Answer) -> Mapping[str, Any]:
    """The body of a success, else the error that the failure table gives."""
    if isinstance(answer, Success):
        return answer.body
    raise decide(operation, answer).error()


def _text(value: object) -> TypeGuard[str]:
    """Whether it is a string with something in it."""
    return isinstance(value, str) and bool(value)


def _ttl(lease: object) -> float | None:
    """`ttl_seconds` of a lease or a keepalive; None when it is not given or makes no sense."""
    ttl = lease.get("ttl_seconds") if isinstance(lease, Mapping) else None
    if not isinstance(ttl, int | float) or isinstance(ttl, bool) or not 0 < ttl < MAD_TTL:
        return None
    return float(ttl)
