"""One publisher in an embedded room: its signalling connection and its peer connection."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from aiohttp import WSMsgType, web
from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc

from overshootd.simulator import signalling
from overshootd.simulator.media import Eye
from overshootd.simulator.peer import OfferError, Peer
from overshootd.simulator.signalling import JoinOptions

_LOG = logging.getLogger(__name__)

# a publisher whose signalling is lost may come back within this time, while its media goes on (livekit-server: 20 s)
_DEPARTURE_TIMEOUT = 20.0


class Publisher:
    """Speaks with one client from its join to its end, and tells `eye` what it sees of it."""

    def __init__(self, socket: web.WebSocketResponse, eye: Eye, advertise: str | None) -> None:
        self._socket, self._eye = socket, eye
        self._peer = Peer(eye, advertise, self._left)
        self._end: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()  # why it left; None: by us
        self._closed = asyncio.Event()

    async def run(self, room: str, identity: str, options: JoinOptions) -> None:
        """Serve the client until it leaves, is lost, or is sent away."""
        for violation in options.violations():
            self._eye.violation(violation)
        conversation = asyncio.create_task(self._converse(room, identity, options), name=f"signalling of {identity}")
        try:
            either: list[asyncio.Future[Any]] = [conversation, self._end]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            conversation.cancel()
            await asyncio.wait({conversation})
            await self._peer.close()
            await self._socket.close()
            self._closed.set()
        if not conversation.cancelled():
            conversation.result()
        if (why := self._end.result()) is not None:
            self._eye.publisher_left(why)

    async def send_away(self, reason: models.DisconnectReason) -> None:
        """Disconnect the client for good. Returns before the connection is closed; `wait_closed` waits for that."""
        if not self._end.done():
            self._end.set_result(None)
            await self._say_leave(reason, rtc.LeaveRequest.DISCONNECT)

    async def wait_closed(self) -> None:
        await self._closed.wait()

    async def refuse_resume(self) -> None:
        """Answer a client that wants to resume: it must join anew. Used instead of `run`."""
        await self._say_leave(models.STATE_MISMATCH, rtc.LeaveRequest.RECONNECT)
        await self._peer.close()
        await self._socket.close()

    async def _converse(self, room: str, identity: str, options: JoinOptions) -> None:
        await self._send(signalling.joined(room, identity))
        try:
            if options.offer is not None:
                await self._answer(options.offer, 0)
            await self._listen()
        except OfferError as error:
            self._eye.violation(str(error))
            await self._say_leave(models.MEDIA_FAILURE, rtc.LeaveRequest.DISCONNECT)
            self._left(str(error))
        await asyncio.sleep(_DEPARTURE_TIMEOUT)
        self._left("its signalling connection was lost")

    async def _listen(self) -> None:
        """Handle requests until the connection is lost: closed without a leave, or no ping for PING_TIMEOUT."""
        while True:
            try:
                message = await self._socket.receive(timeout=signalling.PING_TIMEOUT)
            except TimeoutError:
                return
            if message.type is not WSMsgType.BINARY:
                return
            request = rtc.SignalRequest()
            try:
                request.ParseFromString(message.data)
            except DecodeError:
                _LOG.warning("a message that is no SignalRequest: %r", message.data[:64])
                continue
            await self._handle(request)

    async def _handle(self, request: rtc.SignalRequest) -> None:
        match request.WhichOneof("message"):
            case "offer":
                await self._answer(request.offer.sdp, request.offer.id)
            case "trickle":
                await self._peer.add_candidate(request.trickle.candidateInit)
            case "add_track":
                for violation in signalling.track_violations(request.add_track):
                    self._eye.violation(violation)
                await self._send(signalling.published(request.add_track))
            case "ping_req":
                await self._send(signalling.pong(request.ping_req.timestamp, time.time()))
            case "ping":
                await self._send(rtc.SignalResponse(pong=int(time.time() * 1000)))
            case "leave":
                self._left("it left")
            case other:
                _LOG.debug("not needed: %s", other)

    async def _answer(self, offer: str, offer_id: int) -> None:
        """Our candidates are in the answer, so none are trickled."""
        await self._send(signalling.answer(await self._peer.answer(offer), offer_id))

    async def _say_leave(self, reason: models.DisconnectReason, action: rtc.LeaveRequest.Action) -> None:
        await self._send(signalling.left(reason, action))

    async def _send(self, response: rtc.SignalResponse) -> None:
        try:
            await self._socket.send_bytes(response.SerializeToString())
        except ConnectionError as error:
            _LOG.debug("not sent, the connection is gone: %s", error)

    def _left(self, why: str) -> None:
        if not self._end.done():
            self._end.set_result(why)
