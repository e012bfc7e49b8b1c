"""What each failure means to a client that nobody watches: the failure table of api/README.md as one pure function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from overshootd.errors import NotOurs, OvershootdError, Permanent, Portal, Refused, StreamGone, Transient, Unreachable


class Operation(StrEnum):
    CREATE = "create"
    KEEPALIVE = "keepalive"
    RESULTS = "results"
    PROMPT = "prompt"
    INFO = "info"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP answer that is not a success. `error` is the API's own text, None when the body was not the API's
    JSON."""

    status: int
    error: str | None
    details: object = None
    retry_after: float | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class SocketClosed:
    """The results socket closed. `code` is None when it broke without a close frame."""

    code: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Refused, unresolved, timed out, TLS failed: nobody answered. `why` says which."""

    why: str


Seen = HttpAnswer | SocketClosed | NoAnswer


class Do(StrEnum):
    RETRY = "retry"  # exponential backoff; the stream is kept while its lease may live
    ASK_AGAIN = "ask again"  # as RETRY, and more often: nobody answers at all
    RETRY_SLOWLY = "retry slowly"  # a person must act elsewhere
    LET_GO = "let go"  # the stream is not ours: as RETRY_SLOWLY, and never deleted
    LOG_IN = "log in"  # a captive portal, perhaps: slower than RETRY, and at once on another network
    STOP = "stop"  # this stream waits for another configuration
    NEW_STREAM = "new stream"  # at once
    ASK_LEASE = "ask lease"  # send a keepalive at once and let it decide
    FREE_STREAMS = "free streams"  # delete strays of ours, else back off
    OTHER_REGION = "other region"  # repeat with the region that `details` names
    NOTHING = "nothing"  # what was asked for is already so


ERRORS: dict[Do, type[OvershootdError]] = {
    Do.RETRY: Transient,
    Do.ASK_AGAIN: Unreachable,
    Do.FREE_STREAMS: Transient,
    Do.ASK_LEASE: Transient,
    Do.OTHER_REGION: Transient,
    Do.RETRY_SLOWLY: Refused,
    Do.LET_GO: NotOurs,
    Do.LOG_IN: Portal,
    Do.NEW_STREAM: StreamGone,
    Do.STOP: Permanent,
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and one sentence for the log. `may_delete` is False for a stream that is somebody else's (403)."""

    do: Do
    message: str
    retry_after: float | None = None
    may_delete: bool = True
    request_id: str | None = None

    @property
    def context(self) -> dict[str, str]:
        """What the log shows beside the message: the API's name for the request, to ask its owners about."""
        return {"request_id": self.request_id} if self.request_id else {}

    def error(self) -> OvershootdError:
        """The exception that carries this decision up to the stream's supervisor."""
        kind = ERRORS[self.do]
        if issubclass(kind, Transient):
            return kind(self.message, retry_after=self.retry_after)
        return kind(self.message)


def decide(operation: Operation, seen: Seen) -> Decision:
    """The row of the table for what was seen."""
    match seen:
        case NoAnswer(why):
            return Decision(Do.ASK_AGAIN, f"{operation}: {why}")
        case SocketClosed(code, reason):
            return _closed(code, reason)
        case HttpAnswer():
            return replace(_answered(operation, seen), request_id=seen.request_id, retry_after=seen.retry_after)


def _closed(code: int | None, reason: str) -> Decision:
    if code == 1008:
        return Decision(Do.RETRY_SLOWLY, f"the API does not accept the key ({reason or 'authentication failed'})")
    # The reason text is, or ends in, one of the contract's words.
    if code == 1001 and reason.endswith("insufficient_credits"):
        return Decision(Do.RETRY_SLOWLY, "no credits are left")
    if code == 1001 and reason.endswith(("lease_expired", "client_requested")):
        return Decision(Do.NEW_STREAM, f"the stream ended ({reason})")
    return Decision(Do.ASK_LEASE, f"the results socket closed ({_code_and_reason(code, reason)})")


def _code_and_reason(code: int | None, reason: str) -> str:
    return f"{code or 'without a close frame'}{': ' + reason if reason else ''}"


def _answered(operation: Operation, seen: HttpAnswer) -> Decision:
    said = f"{operation}: {seen.status}{' ' + seen.error if seen.error else ''}"
    if operation is Operation.RESULTS and seen.status not in (401, 403):
        # A WebSocket handshake is refused without the API's JSON: whoever refused it, the lease decides.
        return Decision(Do.ASK_LEASE, f"the results socket was refused ({said})")
    if seen.status >= 500 or seen.status in (408, 425) or (seen.status == 429 and seen.error is None):
        return Decision(Do.RETRY, said)
    # While a stream lives its lease decides, so only a create is slowed down by what the table does not name.
    unnamed = Do.RETRY_SLOWLY if operation is Operation.CREATE else Do.RETRY
    if seen.error is None and operation is not Operation.RESULTS:
        portal = Do.LOG_IN if operation is Operation.CREATE and seen.status not in (404, 410) else unnamed
        return Decision(portal, f"what answers is not the API, perhaps a captive portal ({said}, no JSON)")
    match seen.status:
        case 401:
            return Decision(Do.RETRY_SLOWLY, f"the API does not accept the key ({said})")
        case 402:
            return Decision(Do.RETRY_SLOWLY, f"no credits are left ({said})")
        case 403:
            return Decision(Do.LET_GO, f"the key may not use this stream ({said})", may_delete=False)
        case 404 | 410:
            return _not_there(operation, said)
        case 409:
            return Decision(Do.OTHER_REGION, f"wrong region ({said})")
        case 429 if operation is Operation.CREATE:
            why = "five streams are open on this key, by other devices unless this one has so many"
            return Decision(Do.FREE_STREAMS, f"{why} ({said})")
        case 429:
            return Decision(Do.RETRY, said)
        case 400 | 422 if operation in (Operation.CREATE, Operation.PROMPT):
            details = f"; {seen.details}" if seen.details else ""
            return Decision(Do.STOP, f"the API refuses the configuration ({said}{details})")
        case _:
            return Decision(unnamed, f"an answer that the API's contract does not name ({said})")


def _not_there(operation: Operation, said: str) -> Decision:
    match operation:
        case Operation.DELETE:
            return Decision(Do.NOTHING, f"the stream was gone already ({said})")
        case Operation.CREATE:
            return Decision(Do.RETRY_SLOWLY, f"this API version is no longer there, or base_url is wrong ({said})")
        case _:
            return Decision(Do.NEW_STREAM, f"the API no longer knows the stream ({said})")
