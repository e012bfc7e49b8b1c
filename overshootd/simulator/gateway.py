"""The operations of the API on the streams of this process. Knows neither HTTP nor any media package."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from overshootd.simulator.contract import Contract, Problem
from overshootd.simulator.faults import (
    Credits,
    Deploy,
    DropSockets,
    EndStreams,
    ExpireLeases,
    Faults,
    OneShot,
    RoomServerKill,
    RoomServerStart,
)
from overshootd.simulator.ledger import Ledger
from overshootd.simulator.media import Eye, MediaAdapter
from overshootd.simulator.options import TurnServer
from overshootd.simulator.requests import LiveKit, Native, StreamSpec, WebRTC, rule_problems, stream_spec
from overshootd.simulator.sockets import Close
from overshootd.simulator.stream import Stream

STREAMS_PER_KEY = 5
KEPT_STREAMS = 1_000
ENDLESS_TTL = 300
"""What a keepalive says of a lease without end; its `ttl_seconds` may not be null."""

MODELS = (
    {"model": "Qwen/Qwen3.5-9B", "ready": True, "status": "ready"},
    {"model": "Qwen/Qwen3-VL-30B-A3B-Instruct", "ready": True, "status": "degraded"},
    {"model": "Qwen/Qwen3.5-27B", "ready": False, "status": "saturated"},
    {"model": "Qwen/Qwen3.5-35B-A3B", "ready": False, "status": "unavailable"},
)

_MEDIA_SECONDS = 30.0  # leaving a room whose server is out of reach takes the LiveKit SDK up to 20 s
_LOG = logging.getLogger(__name__)


class ApiError(Exception):
    """An answer of the Error schema: `error` is a word for programs, `message` a sentence for people.

    `retry_after` is in seconds.
    """

    def __init__(
        self, status: int, error: str, message: str, problems: Iterable[Problem] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.error, self.message, self.retry_after = status, error, message, retry_after
        self.details = [{"field": problem.field, "message": problem.message} for problem in problems] or None


class RoomServerError(Exception):
    """The room server cannot be killed or started; one sentence."""


class RoomServer(Protocol):
    """A room server that is ours to end and to start again."""

    async def kill(self) -> None:
        """End it as a crash would. Idempotent."""

    async def start(self) -> None:
        """Returns when it answers. Raises RuntimeError when it does not. Idempotent."""


class Answerer(Protocol):
    """Legacy streams: one peer connection for each."""

    async def answer(self, stream_id: str, sdp: str, eye: Eye) -> str:
        """The answer's SDP. Raises ValueError when the offer cannot be taken."""

    async def close(self, stream_id: str) -> None: ...

    async def close_all(self) -> None: ...


class Watch(Protocol):
    """A user's own room that we watch."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Media:
    """Where video comes from, by the stream's source.

    `watch(url, token, eye, lost)` raises OSError or RuntimeError; it calls `lost` when the room cannot be had again.
    `server` is None when the rooms are on no room server of ours. `turn`: the relays that legacy streams are told of.

    All of them bound their own waits; a join that is under way must not be cancelled (livekit-notes.md, "Traps").
    """

    rooms: MediaAdapter
    answerer: Answerer
    watch: Callable[[str, str, Eye, Callable[[str], None]], Awaitable[Watch]]
    server: RoomServer | None = None
    turn: tuple[TurnServer, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds. `lease_ttl` None: a lease without end."""

    lease_ttl: float | None = 45.0
    token_ttl: float = 300.0


class Gateway:
    """Its streams run in `group`, which belongs to whoever runs the gateway; `end_all` lets them finish."""

    def __init__(
        self,
        *,
        terms: Terms,
        contract: Contract,
        ledger: Ledger,
        faults: Faults,
        media: Media,
        group: asyncio.TaskGroup,
    ) -> None:
        self.contract = contract
        self.ledger = ledger
        self.faults = faults
        self._terms = terms
        self._media = media
        self._group = group
        self._streams: OrderedDict[str, Stream] = OrderedDict()
        self._watches: dict[str, Watch] = {}

    def authorize(self, key: str | None) -> str:
        if key is None or key not in self.ledger.accounts:
            raise ApiError(401, "unauthorized", "missing or unknown API key")
        return key

    def models(self) -> list[dict[str, Any]]:
        return [dict(model) for model in MODELS]

    async def create(self, key: str, body: Any) -> dict[str, Any]:
        spec = self._spec(body)
        self._admit(key, spec)
        stream = self._open(key, spec)
        try:
            connection = await self._connect(stream)
        except Exception:
            stream.end("client_requested")
            raise
        finally:
            self._group.create_task(self._live(stream))  # which also closes what was half open
        ttl = self._terms.lease_ttl
        lease = None if ttl is None else {"ttl_seconds": math.floor(ttl)}
        return {"stream_id": stream.stream_id, **connection, "lease": lease}

    def keepalive(self, key: str, stream_id: str) -> dict[str, Any]:
        stream = self._living(key, stream_id)
        now = time.monotonic()
        stream.entry.keepalives += 1
        charge = stream.entry.charge(now)
        if not charge.paid:
            stream.end("insufficient_credits")
            raise _no_credits()
        stream.renew(now)
        native = isinstance(stream.spec.source, Native)
        return {
            "status": "ok",
            "stream_id": stream_id,
            "ttl_seconds": math.floor(ENDLESS_TTL if self._terms.lease_ttl is None else self._terms.lease_ttl),
            "credits_remaining_cents": math.floor(stream.entry.account.cents),
            "cost_cents": round(charge.cents, 6),
            "seconds_charged": round(charge.seconds, 3),
            "livekit_token": self._publish(stream_id)["token"] if native else None,
            "state": stream.state(),
        }

    def update_prompt(self, key: str, stream_id: str, body: Any) -> dict[str, Any]:
        stream = self._living(key, stream_id)
        _demand_none(self.contract.request_problems("updatePrompt", body))
        stream.set_prompt(body["prompt"])
        return stream.config()

    def info(self, key: str, stream_id: str) -> dict[str, Any]:
        return self._living(key, stream_id).info()

    def spectate(self, key: str, stream_id: str) -> dict[str, Any]:
        stream = self._living(key, stream_id)
        if not isinstance(stream.spec.source, Native):
            raise ApiError(400, "not_native", "only native streams can be spectated")
        access = self._media.rooms.spectate_access(stream_id, self._terms.token_ttl)
        return {"livekit": {"url": access.url, "token": access.token}}

    def delete(self, key: str, stream_id: str) -> bool:
        """Close and bill. False when it was closed already."""
        stream = self.find(key, stream_id)
        if stream.ended is not None:
            return False
        stream.end("client_requested")
        return True

    def find(self, key: str, stream_id: str) -> Stream:
        """The stream, alive or not. Raises ApiError 404, or 403 when it is another key's."""
        stream = self._streams.get(stream_id)
        if stream is None:
            raise _not_found(stream_id)
        if stream.key != key:
            raise ApiError(403, "forbidden", "the stream belongs to another key")
        return stream

    def knows(self, stream_id: str) -> bool:
        """Whether there is, or was lately, such a stream."""
        return stream_id in self._streams

    def lives(self, stream_id: str) -> bool:
        return stream_id in self._streams and self._streams[stream_id].ended is None

    async def act(self, shot: OneShot) -> None:
        """Do a one-shot fault. Raises RoomServerError."""
        _LOG.info("fault: %s", shot.model_dump(exclude_none=True))
        match shot:
            case Credits():
                self.ledger.set_credits(shot.cents)
            case Deploy():
                self._deploy()
            case DropSockets():
                self._each(shot.stream_id, lambda stream: stream.close_sockets(Close(shot.code, shot.reason)))
            case ExpireLeases():
                self._each(shot.stream_id, Stream.expire)
            case EndStreams():
                self._each(shot.stream_id, lambda stream: stream.end(shot.reason))
            case RoomServerKill():
                await self._room_server().kill()
            case RoomServerStart():
                try:
                    await self._room_server().start()
                except RuntimeError as error:
                    raise RoomServerError(str(error)) from error

    def end_all(self) -> None:
        """The process ends. Clients are not told that their streams did: for them this is a lost server."""
        self._each(None, lambda stream: stream.close_sockets(Close(1012, "service restart")))
        self._each(None, lambda stream: stream.end("client_requested"))

    def _spec(self, body: Any) -> StreamSpec:
        _demand_none(self.contract.request_problems("createStream", body))
        _demand_none(rule_problems(body))
        return stream_spec(body)

    def _admit(self, key: str, spec: StreamSpec) -> None:
        model = next((model for model in MODELS if model["model"] == spec.model), None)
        if model is None:
            known = ", ".join(str(model["model"]) for model in MODELS)
            _demand_none([Problem("inference.model", f"{spec.model} is not known; there are {known}")])
        elif not model["ready"]:
            raise ApiError(503, "model_unavailable", f"{spec.model} is {model['status']}")
        if self.ledger.accounts[key].cents <= 0:
            raise _no_credits()
        if sum(stream.key == key and stream.ended is None for stream in self._streams.values()) >= STREAMS_PER_KEY:
            raise ApiError(429, "too_many_streams", f"{STREAMS_PER_KEY} streams are open on this key")

    def _open(self, key: str, spec: StreamSpec) -> Stream:
        stream_id = str(uuid.uuid4())
        entry = self.ledger.open(stream_id, key, spec.source.kind, spec.processing.mode, time.monotonic())
        ttl = self._terms.lease_ttl
        stream = Stream(key, spec, entry, ttl, contract=self.contract, ledger=self.ledger, faults=self.faults)
        while len(self._streams) >= KEPT_STREAMS:
            self._streams.popitem(last=False)
        self._streams[stream_id] = stream
        return stream

    async def _connect(self, stream: Stream) -> dict[str, Any]:
        """Open the stream's way in; the part of the response that tells the client of it."""
        match stream.spec.source:
            case Native():
                await self._media.rooms.open_room(stream.stream_id, stream)
                return {"livekit": self._publish(stream.stream_id)}
            case WebRTC(sdp=sdp):
                try:
                    answered = await self._media.answerer.answer(stream.stream_id, sdp, stream)
                except ValueError as error:
                    raise ApiError(400, "bad_offer", str(error)) from error
                return {
                    "webrtc": {"type": "answer", "sdp": answered},
                    "turn_servers": [asdict(server) for server in self._media.turn],
                }
            case LiveKit(url=url, token=token):
                try:
                    self._watches[stream.stream_id] = await self._media.watch(url, token, stream, _ender(stream))
                except (OSError, RuntimeError) as error:
                    raise ApiError(400, "livekit_unreachable", f"could not join the room: {error}") from error
                return {}

    def _room_server(self) -> RoomServer:
        if self._media.server is None:
            raise RoomServerError("no livekit-server is ours: run with --media livekit-server, without --livekit-url")
        return self._media.server

    def _publish(self, stream_id: str) -> dict[str, str]:
        access = self._media.rooms.publish_access(stream_id, self._terms.token_ttl)
        return {"url": access.url, "token": access.token}

    async def _live(self, stream: Stream) -> None:
        await stream.run()
        try:
            async with asyncio.timeout(_MEDIA_SECONDS):
                await self._disconnect(stream)
        except TimeoutError:
            _LOG.error("%s: the media did not close within %g s", stream.stream_id, _MEDIA_SECONDS)

    async def _disconnect(self, stream: Stream) -> None:
        match stream.spec.source:
            case Native():
                await self._media.rooms.close_room(stream.stream_id)
            case WebRTC():
                await self._media.answerer.close(stream.stream_id)
            case LiveKit():
                if (watch := self._watches.pop(stream.stream_id, None)) is not None:
                    await watch.close()

    def _living(self, key: str, stream_id: str) -> Stream:
        stream = self.find(key, stream_id)
        if stream.lease_is_over(time.monotonic()):
            stream.end("lease_expired")
        if stream.ended == "insufficient_credits" and stream.entry.account.cents <= 0:
            raise _no_credits()
        if stream.ended is not None:
            raise _not_found(stream_id)
        return stream

    def _each(self, stream_id: str | None, act: Callable[[Stream], None]) -> None:
        for stream in list(self._streams.values()):
            if stream.ended is None and stream_id in {None, stream.stream_id}:
                act(stream)

    def _deploy(self) -> None:
        self._each(None, lambda stream: stream.close_sockets(Close(None)))
        for stream in list(self._streams.values()):
            if stream.ended is None and isinstance(stream.spec.source, WebRTC):
                stream.end("webrtc_disconnected")
            elif stream.ended is None:
                stream.pause()


def _ender(stream: Stream) -> Callable[[str], None]:
    def end(why: str) -> None:
        _LOG.info("%s: the room is lost: %s", stream.stream_id, why)
        stream.end("livekit_disconnected")

    return end


def _demand_none(problems: list[Problem]) -> None:
    if problems:
        told = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
        raise ApiError(422, "validation_error", told, problems)


def _not_found(stream_id: str) -> ApiError:
    return ApiError(404, "stream_not_found", f"there is no stream {stream_id}")


def _no_credits() -> ApiError:
    return ApiError(402, "insufficient_credits", "no credits are left")
