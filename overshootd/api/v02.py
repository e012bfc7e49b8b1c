"""The API's v0.2: leases kept by keepalives, results pushed on a WebSocket (api/v0.2.yaml, api/README.md)."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeGuard

from overshootd.api.charges import Charges
from overshootd.api.failures import Decision, Do, HttpAnswer, Operation, SocketClosed, decide
from overshootd.api.http import Answer, Http, Success
from overshootd.api.lease import LONGEST_TTL, Lease
from overshootd.api.socket import ResultsSocket, SocketEnded, Sockets, open_results
from overshootd.backoff import NETWORK, UNREACHABLE, Backoff
from overshootd.condition import Condition
from overshootd.config.secret import Secret
from overshootd.contracts import Answer as Answered
from overshootd.contracts import IceServer, Inference, LeaseNow, Log, PublishTarget, StreamSpec, Target
from overshootd.errors import StreamGone, Transient

REQUEST_TIMEOUT = 10.0
LEAST_TIMEOUT = 0.5
"""Of the last keepalive of a lease that is nearly over."""

DELETE_TIMEOUT = 4.0
"""Well under the 10 s that an orderly end may take."""

DROP_SECONDS = 1.0
"""Connections that were made anew so shortly before are not made anew again: every stream asks for that."""

TWICE = 64
"""Results whose ids are remembered: while two sockets are open, each brings the same."""

REFUSALS = (401, 402, 403)
"""What another key may mend."""

MAD_TTL = 1e6
"""Seconds. Nobody leases for eleven days: a number beyond (or infinity) is a mistake, and tells nothing."""

RESULT_KEYS = {"id": str, "result": str, "ok": bool}
"""What makes a message a result; the rest is kept as it comes (v0.2.yaml, InferenceResult)."""


class V02:
    """One key at one base URL. Satisfies contracts.Api.

    `key` gives the key; called with True it is read again first, for whoever changed it need not restart us. `hide` is
    told every token, so that no log shows it.
    """

    def __init__(
        self,
        http: Http,
        tls: ssl.SSLContext,
        base_url: str,
        key: Callable[[bool], Secret],
        log: Log,
        hide: Callable[[Secret], None],
    ) -> None:
        self._http = http
        self._tls = tls
        self._base = base_url.rstrip("/")
        self._key = key
        self._log = log
        self._hide = hide
        self._deleting = Condition(log, "ending a stream at the API", time.monotonic)

    async def create(self, spec: StreamSpec) -> V02Session:
        """POST /streams. Raises Transient, Refused or Permanent."""
        body = {
            "source": dict(spec.source),
            "mode": spec.mode,
            "processing": dict(spec.processing),
            "inference": dict(spec.inference),
        }
        sent = time.monotonic()
        answer = await self.call("POST", "/streams", body)
        if spec.source.get("type") == "livekit" and isinstance(answer, HttpAnswer) and answer.status == 400:
            # The API joins the user's room before it answers: a room server that is away is no wrong configuration.
            raise Transient(f"the API does not get into the room, or wants another configuration (400 {answer.error})")
        created = _expect(Operation.CREATE, answer)
        if not _text(stream_id := created.get("stream_id")):
            raise Transient("create: the answer names no stream")
        target = self._target(created)
        if target is None and spec.source.get("type") in ("native", "webrtc"):
            await self.delete(stream_id)  # it exists, and is billed
            raise Transient(f"create: the answer names no {_OTHER_END[str(spec.source['type'])]}")
        return V02Session(self, stream_id, target, Lease(_ttl(created.get("lease")), sent), self._log)

    async def resume(self, stream_id: str, url: str) -> V02Session:
        """The keepalive that renews the lease brings a token. Raises StreamGone, Refused or Permanent."""
        # Nobody knows how much of the lease is left; longer than the longest it is not (api/README.md, v0.2 point 3).
        lease = Lease(LONGEST_TTL, time.monotonic())
        session = V02Session(self, stream_id, PublishTarget(url, "") if url else None, lease, self._log)
        await session.verify()
        if isinstance(session.target, PublishTarget) and not session.target.token:
            await session.close()
            raise StreamGone("the keepalive brought no token to rejoin with")
        return session

    async def delete(self, stream_id: str) -> bool:
        """DELETE, for DELETE_TIMEOUT at most; whether that is settled. A failure is logged."""
        answer = await self.call("DELETE", f"/streams/{stream_id}", timeout=DELETE_TIMEOUT)
        if isinstance(answer, Success):
            self._deleting.good()
            return True
        decision = decide(Operation.DELETE, answer)
        if decision.do is Do.NOTHING or not decision.may_delete:
            return True
        self._deleting.bad(f"{decision.message}; tried again", stream_id=stream_id)
        return False

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout: float = REQUEST_TIMEOUT
    ) -> Answer:
        """One request; a second one when the key is refused and another is there by now."""
        key = self._key(False)
        answer = await self._http.request(method, self._base + path, key=key, body=body, timeout=timeout)
        if isinstance(answer, HttpAnswer) and answer.status in REFUSALS and (newer := self._key(True)) != key:
            return await self._http.request(method, self._base + path, key=newer, body=body, timeout=timeout)
        return answer

    def has_newer_key(self) -> bool:
        """Read the key again; whether it is another now."""
        return self._key(False) != self._key(True)

    def leave_connections(self, *, hurry: bool) -> None:
        """Connections made so far are not used again; with `hurry`, what is under way on them is given up."""
        self._http.drop_connections(unless_within=DROP_SECONDS, hurry=hurry)

    def room(self, url: str, token: str) -> PublishTarget:
        """The token is hidden before anybody can log it."""
        self._hide(Secret(token))
        return PublishTarget(url, token)

    def _target(self, created: Mapping[str, Any]) -> Target | None:
        """What the answer names; None when that is nothing."""
        livekit, webrtc = created.get("livekit"), created.get("webrtc")
        if isinstance(livekit, Mapping) and _text(url := livekit.get("url")) and _text(token := livekit.get("token")):
            return self.room(url, token)
        if isinstance(webrtc, Mapping) and _text(sdp := webrtc.get("sdp")):
            return Answered(sdp, self._turn_servers(created.get("turn_servers")))
        return None

    def _turn_servers(self, given: object) -> tuple[IceServer, ...]:
        """Those that make sense; the contract has each value as one string."""
        servers = [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
        for server in servers:
            if _text(credential := server.get("credential")):
                self._hide(Secret(credential))
        return tuple(
            IceServer(url, server.get("username"), server.get("credential"))
            for server in servers
            if _text(url := server.get("urls"))
        )

    async def results_socket(self, stream_id: str, timeout: float) -> ResultsSocket:
        url = f"ws{self._base.removeprefix('http')}/ws/streams/{stream_id}"
        return await open_results(url, self._key(False), self._tls, timeout)


_OTHER_END = {"native": "room", "webrtc": "answer to the offer"}


class V02Session:
    """One stream. Satisfies contracts.Session."""

    def __init__(self, api: V02, stream_id: str, target: Target | None, lease: Lease, log: Log) -> None:
        self.stream_id = stream_id
        self.target = target
        self._api = api
        self._lease = lease
        self._charges = Charges(lease.sent)
        self._token_at = lease.sent if isinstance(target, PublishTarget) else None
        self._seen = ""
        self._gone = False
        self._asking = asyncio.Lock()
        self._now = asyncio.Event()  # set: whoever sleeps before a try tries at once
        self._sockets: Sockets | None = None
        self._recent: deque[str] = deque(maxlen=TWICE)
        self._may_delete = True
        self._log = log.bind(stream_id=self.stream_id)
        self._keepalive_works = Condition(self._log, "keepalive", time.monotonic)
        self._socket_works = Condition(self._log, "results socket", time.monotonic)
        self._messages_sound = Condition(self._log, "result messages", time.monotonic)

    @property
    def lease(self) -> LeaseNow:
        return LeaseNow(self._lease.sent, self._lease.until, self._token_at, self._seen, self._charges.spent)

    def path_changed(self) -> None:
        self._begin_anew(hurry=True)

    def doubt_path(self) -> None:
        self._begin_anew(hurry=False)

    def _begin_anew(self, *, hurry: bool) -> None:
        self._api.leave_connections(hurry=hurry)
        self._now.set()
        if self._sockets is not None:
            self._sockets.renew()

    # -- the lease

    async def keep_lease(self) -> None:
        while True:
            while (wait := self._lease.due - time.monotonic()) > 0:
                if await self._pause(wait):
                    break
            await self.verify()

    async def _pause(self, seconds: float) -> bool:
        """Wait so long, or until the path changes; whether it did."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._now.wait()
        changed = self._now.is_set()
        self._now.clear()
        return changed

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
            self._end_unless(decision, Do.RETRY, Do.ASK_AGAIN)
            if self._lease.expired(time.monotonic()):
                self._gone = True
                raise StreamGone(f"the lease ran out; {decision.message}")
            backoff = Backoff(NETWORK.base, self._lease.longest_delay)
            # A Retry-After beyond the lease would be a lost stream, so here it is only taken up to the cap.
            wait = backoff.delay(attempt, random.uniform, min(decision.retry_after or 0, backoff.cap))
            until = self._lease.until or float("inf")
            attempt = 0 if await self._pause(min(wait, max(until - time.monotonic(), 0.0))) else attempt + 1
        self._keepalive_works.good()

    async def _ask(self) -> Decision | None:
        """One keepalive. None when the lease was renewed."""
        sent = time.monotonic()
        left = float("inf") if self._lease.until is None else self._lease.until - sent
        timeout = min(self._lease.timeout, max(left, LEAST_TIMEOUT))
        answer = await self._api.call("POST", f"/streams/{self.stream_id}/keepalive", timeout=timeout)
        if not isinstance(answer, Success):
            return decide(Operation.KEEPALIVE, answer)
        self._lease = Lease(_ttl(answer.body), sent)
        self._charges = self._charges.told(answer.body, sent)
        self._seen = seen if _text(seen := answer.body.get("state")) else ""
        if isinstance(self.target, PublishTarget) and _text(token := answer.body.get("livekit_token")):
            self.target, self._token_at = self._api.room(self.target.url, token), time.monotonic()
        return None

    def _end_unless(self, decision: Decision, *bearable: Do) -> None:
        """Raise what ends the stream, remembering whether it is ours to delete."""
        self._may_delete &= decision.may_delete
        self._gone |= decision.do is Do.NEW_STREAM
        if decision.do not in bearable:
            raise decision.error()

    # -- results

    async def results(self) -> AsyncGenerator[Inference, None]:
        attempt = 0
        self._sockets = Sockets(lambda: self._api.results_socket(self.stream_id, self._lease.timeout))
        try:
            while True:
                try:
                    result = self._result(await self._sockets.receive())
                except SocketEnded as ended:
                    await self._after_close(ended, attempt)
                    attempt += 1
                    continue
                attempt = 0
                if result is not None:
                    self._socket_works.good()
                    yield result
        finally:
            await self._sockets.close()

    async def _after_close(self, ended: SocketEnded, attempt: int) -> None:
        """Return when the socket may be opened again, or raise what ends the stream."""
        decision = decide(Operation.RESULTS, ended.seen)
        self._socket_works.bad(decision.message)
        if not (_key_refused(ended) and self._api.has_newer_key()):
            self._end_unless(decision, Do.RETRY, Do.ASK_AGAIN, Do.ASK_LEASE)
        # Any close means the same: ask at once; it also makes the server infer again after a deploy.
        await self.verify()
        # What is inferred while no socket is open is lost, so the pauses stay short whatever refuses it.
        if attempt or decision.retry_after:
            await self._pause(UNREACHABLE.delay(max(attempt - 1, 0), random.uniform, decision.retry_after))

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
        if body["id"] in self._recent:
            return None
        self._recent.append(body["id"])
        return Inference(received_at, body, len(message.encode() if isinstance(message, str) else message))

    # -- the rest

    async def set_prompt(self, prompt: str) -> None:
        """PATCH the prompt of the running stream. Raises Transient, StreamGone, Refused or Permanent."""
        path = f"/streams/{self.stream_id}/config/prompt"
        _expect(Operation.PROMPT, await self._api.call("PATCH", path, {"prompt": prompt}))

    async def info(self) -> Mapping[str, Any]:
        """GET the server's view (v0.2.yaml, StreamInfo). Raises as `set_prompt` does."""
        return _expect(Operation.INFO, await self._api.call("GET", f"/streams/{self.stream_id}/info"))

    async def close(self) -> bool:
        """Whether nothing is left at the API: what ended there by itself, or is not ours, needs no DELETE."""
        # A stream that nobody ends is billed until its lease does; that this one may have been gone earlier, no answer
        # tells.
        now = time.monotonic()
        self._charges = self._charges.ended(now if self._lease.until is None else min(now, self._lease.until))
        if self._gone or not self._may_delete:
            return True
        return await self._api.delete(self.stream_id)


def _key_refused(ended: SocketEnded) -> bool:
    """Or out of credits, which another one may have."""
    seen = ended.seen
    return isinstance(seen, SocketClosed) and (seen.code == 1008 or seen.reason.endswith("insufficient_credits"))


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
