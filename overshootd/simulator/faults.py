"""How the simulator misbehaves on request: what faults there are, and which of them strikes now.

Lasting faults change what operations answer, for a time or a number of times; one-shot faults are acts. The control
endpoint and the scenario file use the same words (docs/simulator.md). Time comes in, in monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

Operation = Literal[
    "listModels", "createStream", "closeStream", "keepalive", "updatePrompt", "streamInfo", "spectate", "results"
]
Reason = Literal[
    "client_requested", "webrtc_disconnected", "livekit_disconnected", "lease_expired", "insufficient_credits"
]


class _Fault(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Lasting(_Fault):
    lasts: Annotated[float | None, Field(alias="for", gt=0)] = None
    """Seconds; until it is taken back when absent."""
    count: Annotated[int | None, Field(ge=1)] = None
    """How many times it strikes; without limit when absent."""


class _OnOperation(_Lasting):
    operation: Operation | None = None
    """The contract's operationId, or `results` for the WebSocket handshake; every operation when absent."""
    after: bool = False
    """Do what was asked first, and only then fail: the client never learns that it was done."""


class Status(_OnOperation):
    """Answer with an error status."""

    fault: Literal["status"]
    status: Annotated[int, Field(ge=400, le=599)] = 503
    retry_after: Annotated[float | None, Field(ge=0)] = None


class Latency(_OnOperation):
    """Answer `seconds` late."""

    fault: Literal["latency"]
    seconds: Annotated[float, Field(gt=0, le=600)]


class NotJson(_OnOperation):
    """Answer with a web page, as a captive portal does."""

    fault: Literal["not_json"]
    status: Annotated[int, Field(ge=200, le=599)] = 200


class Redirect(_OnOperation):
    """Answer 302."""

    fault: Literal["redirect"]
    location: str = "http://captive.portal.invalid/login"


class Hang(_OnOperation):
    """Take the request and never answer."""

    fault: Literal["hang"]


class Cut(_OnOperation):
    """Take the request and close the connection."""

    fault: Literal["cut"]


class Malformed(_Lasting):
    """Spoil messages of the results WebSocket."""

    fault: Literal["malformed"]
    kind: Literal["not_json", "not_object", "missing_fields", "unknown_fields", "wrong_types", "binary"] = "not_json"


class SlowInference(_Lasting):
    """The model needs `seconds` for each answer."""

    fault: Literal["slow_inference"]
    seconds: Annotated[float, Field(gt=0, le=600)]


class FailedInference(_Lasting):
    """The model answers `ok: false`."""

    fault: Literal["failed_inference"]
    error: str = "model_error"


class OnStreams(_Fault):
    """Does something to streams."""

    stream_id: str | None = None
    """One stream; all of them when absent."""


class DropSockets(OnStreams):
    """Close the results sockets with `code` and `reason`; without a code, cut the connection without a close frame."""

    fault: Literal["drop_sockets"]
    code: Annotated[int | None, Field(ge=1000, le=4999)] = None
    reason: Annotated[str, Field(max_length=120)] = ""


class ExpireLeases(OnStreams):
    """Leases run out now."""

    fault: Literal["expire_leases"]


class EndStreams(OnStreams):
    """The server ends streams, for `reason`."""

    fault: Literal["end_streams"]
    reason: Reason = "livekit_disconnected"


class Credits(_Fault):
    """Every account has this much left, in US cents."""

    fault: Literal["credits"]
    cents: Annotated[float, Field(ge=0)] = 0.0


class Deploy(_Fault):
    """The server restarts: sockets drop and legacy streams end; rooms live on, paused until their next keepalive."""

    fault: Literal["deploy"]


class RoomServerKill(_Fault):
    """Our livekit-server dies at once (SIGKILL): its rooms are gone and its ports refuse."""

    fault: Literal["room_server_kill"]


class RoomServerStart(_Fault):
    """Our livekit-server starts again, on the same ports and with the same keys; nothing where it runs."""

    fault: Literal["room_server_start"]


OnOperation = Status | Latency | NotJson | Redirect | Hang | Cut
LastingFault = OnOperation | Malformed | SlowInference | FailedInference
OneShot = DropSockets | ExpireLeases | EndStreams | Credits | Deploy | RoomServerKill | RoomServerStart

AnyFault = LastingFault | OneShot

LASTING: TypeAdapter[list[LastingFault]] = TypeAdapter(list[Annotated[LastingFault, Field(discriminator="fault")]])
ONE_SHOT: TypeAdapter[OneShot] = TypeAdapter(Annotated[OneShot, Field(discriminator="fault")])
ANY: TypeAdapter[AnyFault] = TypeAdapter(Annotated[AnyFault, Field(discriminator="fault")])

F = TypeVar("F", Malformed, SlowInference, FailedInference)


@dataclass(slots=True, eq=False)
class _Active:
    fault: LastingFault
    until: float | None
    left: int | None


class Faults:
    """The lasting faults that are on."""

    def __init__(self) -> None:
        self._active: list[_Active] = []

    def replace(self, faults: Iterable[LastingFault], now: float) -> None:
        self._active = []
        for fault in faults:
            self.add(fault, now)

    def add(self, fault: LastingFault, now: float) -> None:
        self._active.append(_Active(fault, None if fault.lasts is None else now + fault.lasts, fault.count))

    def on(self, operation: str, now: float) -> list[OnOperation]:
        """The faults that strike this request: each latency, then the first of the others. They count as struck."""
        matching = [
            active
            for active in self._current(now)
            if isinstance(active.fault, OnOperation) and active.fault.operation in {None, operation}
        ]
        late = [active for active in matching if isinstance(active.fault, Latency)]
        wrong = [active for active in matching if not isinstance(active.fault, Latency)]
        striking = [*late, *wrong[:1]]
        for active in striking:
            self._struck(active)
        return [active.fault for active in striking if isinstance(active.fault, OnOperation)]

    def first(self, kind: type[F], now: float) -> F | None:
        """The first active fault of a kind that is not bound to an operation; it counts as struck."""
        for active in self._current(now):
            if isinstance(active.fault, kind):
                self._struck(active)
                return active.fault
        return None

    def to_json(self, now: float) -> list[dict[str, Any]]:
        """The active faults as they were set, with what is left of `for` and `count`."""
        return [
            {
                **active.fault.model_dump(by_alias=True, exclude_none=True),
                **({} if active.until is None else {"for": round(active.until - now, 3)}),
                **({} if active.left is None else {"count": active.left}),
            }
            for active in self._current(now)
        ]

    def _current(self, now: float) -> list[_Active]:
        self._active = [active for active in self._active if active.until is None or now < active.until]
        return list(self._active)

    def _struck(self, active: _Active) -> None:
        if active.left is not None:
            active.left -= 1
            if active.left == 0:
                self._active.remove(active)


def mistakes(error: ValidationError) -> list[str]:
    """What a fault got wrong, one line a mistake, e.g. `status: Input should be less than or equal to 599`."""
    lines = []
    for mistake in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in mistake["loc"])
        lines.append(f"{where}: {mistake['msg']}" if where else mistake["msg"])
    return lines
