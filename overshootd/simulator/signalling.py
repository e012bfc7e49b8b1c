"""LiveKit's signalling, the part that one publisher needs: reading join requests, and the messages of the server.

Field meanings are those of livekit-protocol (livekit_rtc.proto); what the SDK sends is noted in livekit-notes.md.
"""

from __future__ import annotations

import base64
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc

PING_INTERVAL = 5  # seconds; both as livekit-server announces them
PING_TIMEOUT = 15
_JOIN_REQUEST_LIMIT = 1 << 20  # bytes after decompression, as livekit-server


@dataclass(frozen=True, slots=True)
class JoinOptions:
    """What a client asks for when it joins. `offer` is the SDP offer it may send along, to save a round trip."""

    auto_subscribe: bool
    adaptive_stream: bool
    reconnect: bool
    offer: str | None = None

    def violations(self) -> Iterator[str]:
        """What of it the API does not ask for (api/README.md, v0.2 point 1). Dynacast is not visible to a server."""
        if self.auto_subscribe:
            yield "auto-subscribe: the client joined with it on"
        if self.adaptive_stream:
            yield "adaptive stream: the client joined with it on"


def parse_join(query: Mapping[str, str]) -> JoinOptions:
    """Read the query of /rtc/v1 (one `join_request`) or /rtc (a parameter each). Raises ValueError."""
    if "join_request" not in query:
        return JoinOptions(
            auto_subscribe=_flag(query.get("auto_subscribe", "1")),
            adaptive_stream=_flag(query.get("adaptive_stream", "0")),
            reconnect=_flag(query.get("reconnect", "0")),
        )
    request = _unwrap(query["join_request"])
    settings = request.connection_settings
    return JoinOptions(
        auto_subscribe=settings.auto_subscribe,
        adaptive_stream=settings.adaptive_stream,
        reconnect=request.reconnect,
        offer=request.publisher_offer.sdp or None,
    )


def _flag(text: str) -> bool:
    return text.lower() in ("1", "true")


def _unwrap(text: str) -> rtc.JoinRequest:
    wrapped = rtc.WrappedJoinRequest()
    request = rtc.JoinRequest()
    try:
        wrapped.ParseFromString(base64.urlsafe_b64decode(text))
        data = wrapped.join_request
        if wrapped.compression == rtc.WrappedJoinRequest.GZIP:
            data = zlib.decompressobj(wbits=31).decompress(data, _JOIN_REQUEST_LIMIT)
        request.ParseFromString(data)
    except (ValueError, zlib.error, DecodeError) as error:
        raise ValueError(f"join_request is no WrappedJoinRequest in base64: {error}") from error
    return request


def track_violations(request: rtc.AddTrackRequest) -> Iterator[str]:
    """What of a publication the API does not ask for."""
    if request.source != models.CAMERA:
        yield f"source: a track of source {models.TrackSource.Name(request.source)}, not CAMERA"
    if request.type != models.VIDEO:
        yield f"audio: a track of type {models.TrackType.Name(request.type)}"
    layers = max([len(request.layers), *(len(codec.layers) for codec in request.simulcast_codecs)])
    if layers > 1:
        yield f"simulcast: a track of {layers} layers"
    if len(request.simulcast_codecs) > 1:
        yield f"simulcast: a track of {len(request.simulcast_codecs)} codecs"


def joined(room: str, identity: str) -> rtc.SignalResponse:
    """The answer to a join. The publisher is the primary peer connection, and no ICE servers are needed."""
    permission = models.ParticipantPermission(
        can_publish=True, can_subscribe=False, can_publish_data=False, can_publish_sources=[models.CAMERA]
    )
    participant = models.ParticipantInfo(
        sid=_sid("PA"), identity=identity, state=models.ParticipantInfo.JOINED, permission=permission, is_publisher=True
    )
    return rtc.SignalResponse(
        join=rtc.JoinResponse(
            room=models.Room(sid=_sid("RM"), name=room, enabled_codecs=_codecs()),
            participant=participant,
            server_version="1.13.5",  # whose behaviour this follows
            server_info=models.ServerInfo(version="1.13.5", protocol=16),
            subscriber_primary=False,
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_TIMEOUT,
            enabled_publish_codecs=_codecs(),
            fast_publish=True,
        )
    )


def _codecs() -> list[models.Codec]:
    return [models.Codec(mime="video/VP8"), models.Codec(mime="video/H264"), models.Codec(mime="audio/opus")]


def published(request: rtc.AddTrackRequest) -> rtc.SignalResponse:
    """The answer to an AddTrackRequest: the track as the room knows it."""
    track = models.TrackInfo(
        sid=_sid("TR"),
        type=request.type,
        name=request.name,
        source=request.source,
        width=request.width,
        height=request.height,
        muted=request.muted,
        layers=request.layers,
        mime_type="audio/opus" if request.type == models.AUDIO else "video/VP8",
    )
    return rtc.SignalResponse(track_published=rtc.TrackPublishedResponse(cid=request.cid, track=track))


def answer(sdp: str, offer_id: int) -> rtc.SignalResponse:
    return rtc.SignalResponse(answer=rtc.SessionDescription(type="answer", sdp=sdp, id=offer_id))


def pong(timestamp: int, now: float) -> rtc.SignalResponse:
    """Answers a `Ping` sent at `timestamp` (milliseconds); `now` in seconds since the epoch."""
    return rtc.SignalResponse(pong_resp=rtc.Pong(last_ping_timestamp=timestamp, timestamp=int(now * 1000)))


def left(reason: models.DisconnectReason, action: rtc.LeaveRequest.Action) -> rtc.SignalResponse:
    """Sends the client away for good (DISCONNECT) or into a full reconnect (RECONNECT)."""
    return rtc.SignalResponse(leave=rtc.LeaveRequest(reason=reason, action=action))


def _sid(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:12]}"
